"""Where the time of a step goes, measured in a few steps of each epoch: only these wait for the device."""

import time

import torch

EVERY = 40
"""Steps from one that is measured to the next."""
NAMES = ("data", "towers", "loss", "backward", "optimiser")


class Phases:
    """Sums over the measured steps since ``start_epoch``."""

    def __init__(self, device: str) -> None:
        waits = torch.device(device).type not in ("cpu", "meta")
        self._wait = torch.get_device_module(device).synchronize if waits else lambda: None
        self.start_epoch()

    def start_epoch(self) -> None:
        """Begin anew."""
        self._sums, self._steps, self._on = dict.fromkeys(NAMES, 0.0), 0, False

    def begin(self, step: int) -> None:
        """Before the batch of a step is asked for; the first one is left out, as it sets things up."""
        self._on = step % EVERY == 1
        self._steps += self._on
        if self._on:
            self._wait()
            self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """After a part of the step."""
        if self._on:
            self._wait()
            now = time.perf_counter()
            self._sums[name] += now - self._last
            self._last = now

    def report(self) -> dict[str, float]:
        """Mean milliseconds of each part, ``ms_data`` and so on; nothing where no step was measured."""
        return {f"ms_{name}": 1e3 * total / self._steps for name, total in self._sums.items()} if self._steps else {}
