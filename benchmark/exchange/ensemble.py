"""The mean similarity of several records, as many papers report it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.gallery import ScoredSplit
from negbench.benchmark.evaluation.scores import MeanScores
from negbench.benchmark.exchange.cells import ExternalCell, live_cell
from negbench.benchmark.recipe.external import Member
from negbench.benchmark.sweeps.recorded_cell import RecordedCell

LONGEST_NAME = 90
"""Letters of a name that is made of the members'."""

Cells = Sequence[RecordedCell | ExternalCell]


def members_of(folders: Sequence[Path]) -> Cells:
    """The cells of an ensemble; ``BenchError`` of fewer than two, ``NoDataError`` where one is of another dataset."""
    if len(folders) < 2:
        raise BenchError("an ensemble has two members or more; name the folders of their records")
    cells = [live_cell(folder) for folder in folders]
    first = cells[0].record.dataset
    for cell in cells:
        if cell.record.dataset != first:
            raise NoDataError(f"{cell.folder}: of {cell.record.dataset}, but {folders[0]} is of {first}")
    return cells


def name_of(cells: Cells) -> str:
    """Of an ensemble that nobody named: its members' methods."""
    methods = dict.fromkeys(cell.record.about.method for cell in cells)
    return "-".join(["ensemble", *methods])[:LONGEST_NAME].rstrip("-._")


def told_of(cells: Cells) -> tuple[Member, ...]:
    """What the record says of its members."""
    return tuple(
        Member(method_id=record.method_id, seed=record.seed, config_hash=record.config_hash)
        for record in (cell.record for cell in cells)
    )


def mean_of(cells: Cells) -> ScoredSplit:
    """The test with the mean similarity of its pairs."""
    split = cells[0].split
    owners = torch.tensor(split.caption_image)
    scores = MeanScores([cell.gallery.scores for cell in cells])
    return ScoredSplit(scores, owners, split.image_ids, split.caption_ids)
