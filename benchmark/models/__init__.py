"""What is trained: towers, one file each, and what they share in ``parts``."""
