"""A store in the making: a folder beside the store's own place, so that the last step is a rename on one disk.

``.<encoder>.work/`` holds ``store/``, the store to be, ``parts/`` of splits that several encode, and ``state.json``:
what the work belongs to, the size of batch that was found to fit, and, once all is written, the digest of
``features.json``. By that digest a call that comes after a kill knows whether ``store/`` is still to be moved, or is
the old one that made way. Beside it lies ``.<encoder>.lock``. DVC, which removes a stage's outputs before it runs, does
not know of either.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from negbench.pipelines.atomic import move_into_place, real, write_text
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import file_digest, read_json
from negbench.pipelines.store import KIND, intact

MARK = KIND.mark


class Work:
    """What was done so far for the store ``target``. Its methods are called by who holds ``lock``."""

    def __init__(self, target: Path) -> None:
        self.target = real(target)
        self.folder = self.target.with_name(f".{self.target.name}.work")
        self.store = self.folder / "store"
        self.parts = self.folder / "parts"
        self.lock = self.target.with_name(f".{self.target.name}.lock")
        self._path = self.folder / "state.json"

    def begin(self, belongs: dict[str, Any]) -> dict[str, int]:
        """Keep what an earlier try left, if it was the same work; the sizes of batch it found, per modality."""
        state = self._state()
        found: dict[str, int] = state.get("found", {})
        if {**belongs, "found": found, "finished": None} != state:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._write({**belongs, "found": {}, "finished": None})
            found = {}
        self.store.mkdir(exist_ok=True)
        return found

    def halve(self, modality: str, batch: int) -> None:
        """Note that batches of this size are to be tried next."""
        state = self._state()
        self._write({**state, "found": {**state["found"], modality: batch}})

    def finish(self) -> None:
        """Note that the store is complete."""
        self._write({**self._state(), "finished": file_digest(self.store / MARK)})

    def finished(self, belongs: dict[str, Any]) -> bool:
        """Whether an earlier call completed this very work; it stands in place then."""
        state = self._state()
        digest = state.get("finished")
        if not digest or {**belongs, "found": state.get("found"), "finished": digest} != state:
            return False
        if _digest(self.target) != digest:
            if _digest(self.store) != digest or not intact(self.store):
                return False
            self.move()
        self._remove()
        return True

    def move(self) -> None:
        """Let the complete store take its place."""
        KIND.check(self.target)
        move_into_place(self.store, self.target)
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)  # before the state, by which the rest is known
        shutil.rmtree(self.folder, ignore_errors=True)

    def _state(self) -> dict[str, Any]:
        try:
            state = read_json(self._path)
        except DataError:
            return {}
        return state if isinstance(state, dict) and isinstance(state.get("found"), dict) else {}

    def _write(self, state: dict[str, Any]) -> None:
        write_text(self._path, json.dumps(state, indent=2) + "\n")


def _digest(store: Path) -> str | None:
    try:
        return file_digest(store / MARK)
    except DataError:
        return None
