"""What a method picks, pushes and suspects in a gallery."""
