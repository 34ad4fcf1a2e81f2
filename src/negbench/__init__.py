"""A benchmark suite for negative sampling in image-text matching."""
