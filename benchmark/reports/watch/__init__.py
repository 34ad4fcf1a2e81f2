"""One screen for many trainings while they run: what is known of them, and how it is shown."""
