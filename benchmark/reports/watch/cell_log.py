"""How far a training is, by the log that its worker writes: a line per epoch, or per trial of a study."""

import re
from dataclasses import dataclass
from pathlib import Path

EPOCH = re.compile(r"epoch +(\d+)/(\d+)  .*?val rSum +(\S+)")
TRIAL = re.compile(r"trial +(\d+)/(\d+)  .*?best +(\S+)")
MOST = 2**20
"""Bytes that are read at a look."""


@dataclass(frozen=True)
class Reached:
    """A line of an epoch or a trial."""

    number: int
    of: int
    words: str
    """``epoch  3/20  val rSum  252.9``."""


class CellLog:
    """A log, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._rest = b""
        """Of a line that is not whole yet."""
        self.reached: Reached | None = None
        """What it said last."""

    def look(self) -> int:
        """Read what is new; how many epochs or trials there are in it. 0 where there is no log."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read(MOST)
        except OSError:
            return 0
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        found = [each for line in lines if (each := reached(line.decode("utf-8", "replace")))]
        self.reached = found[-1] if found else self.reached
        return len(found)


def reached(line: str) -> Reached | None:
    """What a line says; None of another line."""
    for what, score, pattern in (("epoch", "val rSum", EPOCH), ("trial", "best", TRIAL)):
        if told := pattern.match(line):
            number, of, rsum = told.groups()
            return Reached(int(number), int(of), f"{what} {number:>{len(of)}}/{of}  {score} {rsum:>6}")
    return None
