"""What a training tells while it runs. Needs no torch."""

History = dict[str, float]
"""Figures of an epoch by their names."""


class Watcher:
    """Told of steps and epochs. Override what is of interest."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """After a training step; steps count from 1, epochs from 0."""

    def epoch(self, row: History) -> None:
        """After an epoch and its validation; may raise to stop the training."""

    def said(self, line: str) -> None:
        """What a person should know."""
