"""Caption rows that are counted: rows seen = rows kept + rows left out, by reason. The sum is checked."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.caption_rows import CaptionRows, Place
from negbench.pipelines.sources import Source

BAD = "bad rows"
UNSEEN = "captions of pictures that are missing or broken"

Row = TypeVar("Row")


class CountedRows(CaptionRows):
    """A reader adds to ``seen`` what a file holds, apart from what it makes of it."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.seen = 0
        """Captions in the source's files; a row that cannot be read counts as one."""
        self.left_out: Counter[str] = Counter()
        """Captions that are whole but not wanted, by reason."""

    def counted(self, found: Iterable[Row]) -> Iterator[Row]:
        """What is found; rows that are bad by then, and not found, count as seen."""
        iterator = iter(found)
        while True:
            before = len(self.faults.found)
            row = next(iterator, None)
            self.seen += len(self.faults.found) - before
            if row is None:
                return
            yield row

    def manifest(
        self,
        name: str,
        root: Path,
        places: Callable[[CaptionRows], dict[str, Place]],
        files: list[Path],
        *,
        order: list[str] | None = None,
        images_are: Literal["pictures", "features"] = "pictures",
    ) -> Manifest:
        """As of ``CaptionRows``; ``rows`` of its ``info`` says how many were seen, kept, and left out."""
        left_out = Counter({BAD: len(self.faults.found)}) + self.left_out
        read = len(self._captions)
        self.skipped.update(self.left_out)
        found = super().manifest(name, root, places, files, order=order, images_are=images_are)
        kept = len(found.captions)
        left_out += Counter({UNSEEN: read - kept})
        if self.seen != kept + left_out.total():
            raise DataError(
                f"{root}: {self.seen:,} rows, but {kept:,} kept and {left_out.total():,} left out: the reader lost"
                " some, which is a fault of negbench; please report it"
            )
        found.info["rows"] = {"seen": self.seen, "kept": kept, "left out": dict(sorted(left_out.items()))}
        return found
