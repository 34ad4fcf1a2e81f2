"""What readers of annotations share."""
