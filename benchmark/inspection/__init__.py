"""One anchor of a recorded cell, looked at closely."""
