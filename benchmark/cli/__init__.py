"""The ``bench`` command: one file per sub-command; each parses, calls and prints, and holds no logic."""
