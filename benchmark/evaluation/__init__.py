"""What a trained model is worth: ranks, the metrics made of them, and the protocol they belong to."""
