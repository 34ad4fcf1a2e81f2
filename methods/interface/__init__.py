"""What methods are made of: settings, inputs, what one direction of a batch sees, and draws."""
