"""Models that were trained elsewhere come in, and those of records go out."""
