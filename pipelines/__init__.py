"""Raw data to manifest to features. Knows nothing of methods, training or screens."""
