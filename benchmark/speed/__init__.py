"""Cost against a lower bound: methods, evaluation, data."""
