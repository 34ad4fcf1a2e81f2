"""What a training tells while it runs. Needs no torch."""

History = dict[str, float]
"""Figures of an epoch by their names."""


class Watcher:
    """Told of steps and epochs. Override what is of interest."""

    every: int = 0
    """Steps between two samples; 0: none is taken."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """After a training step; steps count from 1, epochs from 0."""

    def sample(self, step: int, values: History) -> None:
        """After every ``every``-th step of the whole training, which counts from 1: its ``loss``, which a device is
        waited for, and ``learning_rate``."""

    def epoch(self, row: History) -> None:
        """After an epoch and its validation; may raise to stop the training."""

    def said(self, line: str) -> None:
        """What a person should know."""
