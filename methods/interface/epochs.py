"""A count of the epochs, for methods that begin otherwise than they go on."""

from typing import Any

import torch
from torch import Tensor

from ..base import Method


class CountsEpochs(Method):
    """A method that knows in which epoch it is, 1 in the first; checkpoints carry the count."""

    epochs: Tensor

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    def start_epoch(self) -> None:
        self.epochs += 1
