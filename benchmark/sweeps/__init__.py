"""Cells in numbers: one, many, and a tuning study."""
