"""Some numbers for each anchor, kept from one visit to the next."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..base import Method
from .inputs import can_be_looked_at
from .view import View

LARGEST = 2**26
"""Of the numbers that a state is kept by."""


class PerAnchor(Method):
    """A method that keeps ``width`` numbers per anchor and direction, zeros before the first visit.

    An anchor is its pair, in both directions: as an image's captions differ, so do its anchors. The state is a buffer,
    which checkpoints carry; ``make_room`` gives it a size. Where that was not called, it grows on a CPU, and elsewhere,
    or in a graph, the loss is refused, as to look at numbers would make the step wait.
    """

    needs = ("captions",)
    width: ClassVar[int]
    state: Tensor
    """``[2, room, width]``: of image and of caption anchors."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.register_buffer("state", torch.zeros(2, 0, self.width))

    def make_room(self, count: int) -> None:
        self.state = self._padded(count)

    def _padded(self, count: int) -> Tensor:
        more = count - self.state.shape[1]
        return nn.functional.pad(self.state, (0, 0, 0, more)) if more > 0 else self.state

    def numbers(self, view: View) -> Tensor:
        """What each anchor's state is kept by, ``[B]``."""
        assert view.extras.captions is not None  # ``needs`` was checked
        return view.extras.captions

    def kept(self, view: View) -> Tensor:
        """The state of the anchors, ``[B, width]``, without gradient."""
        state, place = self._place(view)
        return state[place]

    def keep(self, view: View, rows: Tensor) -> None:
        """The same from now on; an anchor that is there twice keeps one of its rows."""
        self.state, place = self._place(view)
        if torch.compiler.is_compiling():  # a backward may read once more what was read: it must not be written over
            self.state = self.state.clone()
        self.state[place] = rows.to(self.state.dtype)

    def _place(self, view: View) -> tuple[Tensor, tuple[int, Tensor]]:
        """The state, with room for the anchors, and where in it they are."""
        numbers = self.numbers(view).long()
        return self._with_room(numbers), (0 if view.direction == "i2t" else 1, numbers)

    def _with_room(self, numbers: Tensor) -> Tensor:
        """``ValueError`` where none was made and none can be made here."""
        room = self.state.shape[1]
        if can_be_looked_at(numbers):
            least, most = int(numbers.min()), int(numbers.max())
            if least < 0 or most >= LARGEST:
                raise ValueError(
                    f"{type(self).__name__} keeps a state by the numbers of images and captions: {least} .. {most}"
                    f" are not from 0 to {LARGEST - 1}"
                )
            return self.state if most < room else self._padded(max(most + 1, 2 * room))
        if not room:
            raise ValueError(
                f"{type(self).__name__} keeps a state per anchor: call make_room(count) before the first step, with a"
                " count that is above all numbers of images and captions"
            )
        return self.state

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """A state of any room is taken; anchors that it does not have are as new."""
        given = state_dict.get(f"{prefix}state")
        if given is not None and given.dim() == 3:
            self.make_room(given.shape[1])
            state_dict[f"{prefix}state"] = nn.functional.pad(given, (0, 0, 0, self.state.shape[1] - given.shape[1]))
        super()._load_from_state_dict(state_dict, prefix, *others)
