"""What decides a cell's numbers: schema, resolution of flags, seeds, identity."""
