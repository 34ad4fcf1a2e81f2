"""When a training is saved: after each epoch, every few minutes, and before it is ended."""

import signal
import time
from collections.abc import Callable
from threading import Event, current_thread, main_thread
from types import FrameType
from typing import Any

from negbench.benchmark.training import processes
from negbench.benchmark.training.checkpoint import Checkpoint
from negbench.benchmark.training.progress import Saved

ENDING = (signal.SIGTERM, signal.SIGINT)
"""What asks a training to end: a cluster's preemption, and Ctrl-C."""
ASKED = Event()
"""Set where something else asks the training of this process to end: its worker closes, its client was interrupted."""


class Signals:
    """While inside, a signal that asks the training to end is only noted; the second one ends it at once."""

    def __init__(self) -> None:
        self._noted = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether the training is to end."""
        return self._noted or ASKED.is_set()

    def __enter__(self) -> "Signals":
        if current_thread() is main_thread():
            self._before = {number: signal.signal(number, self._note) for number in ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            raise KeyboardInterrupt
        self._noted = True


class Saving:
    """Saves a training to its checkpoint, where it has one."""

    def __init__(
        self,
        training: Saved,
        checkpoint: Checkpoint | None,
        signals: Signals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._training, self._checkpoint, self._signals, self._clock = training, checkpoint, signals, clock
        self._saved = clock()

    def after_step(self) -> None:
        """Save where it is time to, or the training is asked to end, which then is a ``KeyboardInterrupt``."""
        late = self._clock() - self._saved >= 60 * self._training.config.checkpoint_minutes
        ending = processes.agreed(2 if self._signals.asked else int(late))
        if ending:
            self._save()
        if ending == 2:
            raise KeyboardInterrupt

    def after_epoch(self) -> None:
        """Save; at the end of the training too: what comes after it may fail."""
        self._save()
        if processes.agreed(int(self._signals.asked)):
            raise KeyboardInterrupt

    def _save(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint.save(self._training)
        self._saved = self._clock()
