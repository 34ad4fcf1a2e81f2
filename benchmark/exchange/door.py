"""The door: what was trained elsewhere becomes a record of this project."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.gallery import ScoredSplit
from negbench.benchmark.exchange import recording
from negbench.benchmark.exchange.given import GivenArray, GivenIds, Roster, Submission
from negbench.benchmark.exchange.recording import Arrived
from negbench.benchmark.recipe.external import LONGEST_NOTE, External, Member
from negbench.benchmark.recipe.params import params
from negbench.benchmark.recipe.schema import Judging
from negbench.benchmark.results.recorded import Recorded
from negbench.pipelines import prepare, sources
from negbench.pipelines.errors import invalid
from negbench.pipelines.text import one_line


def record(
    dataset: str,
    images: Any = None,
    captions: Any = None,
    *,
    method: str,
    seed: int = 0,
    similarity: Any = None,
    image_ids: Sequence[str] | None = None,
    caption_ids: Sequence[str] | None = None,
    note: str = "",
    out: Path | str | None = None,
    replace: bool = False,
) -> Recorded:
    """Record a model that was trained elsewhere, by its embeddings or similarities of a dataset's test split.

    Args:
        dataset: name of a dataset of this project.
        images: ``[I, D]`` floats, an array or a tensor: a row per test image, or per caption, as VSE code has it.
        captions: ``[C, D]``: a row per test caption.
        method: what the model is called.
        seed: tells trainings of one model apart.
        similarity: ``[I, C]``, in place of both.
        image_ids: ids of the images in the order of the rows; that of the manifest if not given.
        caption_ids: the same of captions.
        note: a line to stand under tables.
        out: folder of the record; ``runs/<dataset>/external/<method>/seed-<seed>`` if not given.
        replace: take the place of another record.

    Returns:
        The record, with its folder and ranks.

    Raises:
        BenchError: a name, or a mix of arguments, that cannot be.
        NoDataError, DataError: arrays that are not of this test, or a dataset that is not there.
    """
    given = Submission(
        GivenArray.of("images", images),
        GivenArray.of("captions", captions),
        GivenArray.of("similarity", similarity),
        GivenIds.of("image_ids", image_ids),
        GivenIds.of("caption_ids", caption_ids),
    )
    external = external_of(dataset, method, seed, kind_of(given), note)
    return submit(external, given, None if out is None else Path(out), replace)[0]


def kind_of(given: Submission) -> Literal["embeddings", "similarity"]:
    """What is given; ``BenchError`` where it is neither both sides nor their similarities, or all of it."""
    sides = [given.images, given.captions]
    if given.similarity is not None and sides == [None, None]:
        return "similarity"
    if given.similarity is None and None not in sides:
        return "embeddings"
    raise BenchError("give images and captions, or similarity alone")


def external_of(
    dataset: str,
    method: str,
    seed: int,
    given: Literal["embeddings", "similarity", "ensemble"],
    note: str = "",
    members: tuple[Member, ...] = (),
) -> External:
    """What is said of a model; ``BenchError`` where that cannot be."""
    if len(note) > LONGEST_NOTE:
        raise BenchError(f"note: {len(note)} characters; use at most {LONGEST_NOTE}")
    judging = {key: value for key, value in params().recipe.items() if key in Judging.model_fields}
    told = {"dataset": dataset, "method": method, "seed": seed, "given": given, "note": one_line(note)}
    try:
        return External.model_validate(judging | told | {"members": members})
    except ValidationError as error:
        raise BenchError(invalid(error)) from None


def submit(external: External, given: Submission, out: Path | None, replace: bool) -> tuple[Recorded, bool]:
    """Record arrays; and whether that is new, not recorded already."""
    roster = roster_of(external.dataset)
    return keep(recording.arrived(external, given, roster), roster, out, replace)


def submit_ensemble(external: External, tested: ScoredSplit, out: Path | None, replace: bool) -> tuple[Recorded, bool]:
    """The same of an ensemble."""
    return keep(Arrived(external, tested), roster_of(external.dataset), out, replace)


def roster_of(dataset: str) -> Roster:
    """The test of a dataset, whose manifest is made where it is missing or stale."""
    roster = Roster(prepare.ensure(dataset, sources.read(dataset)))
    recording.check_test(roster.manifest)
    return roster


def keep(new: Arrived, roster: Roster, out: Path | None, replace: bool) -> tuple[Recorded, bool]:
    """Write the record, unless it is there."""
    folder = out or recording.folder_of(new.external)
    there = None if replace else recording.recorded(folder, new.external, roster.manifest)
    if there is not None:
        return Recorded(folder, there), False
    return Recorded(folder, recording.write(folder, new, roster)), True
