"""Which records may be believed: what a record says must follow from what lies beside it.

The recalls follow from the ranks, the hashes from the recipe, the id from the method; names are names and numbers lie
where such numbers can lie. A record that says something else is left out of every table, with its reason.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results import plausibility, records
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import AGAIN, RUNS, RecordError, RunRecord, content, history

if TYPE_CHECKING:
    from negbench.benchmark.results.ranks_file import StoredRanks

LONGEST = 300
"""Characters of a method's id with its settings."""
HASH = re.compile(r"[0-9a-f]{32}")
"""Of a manifest or a store (``negbench.pipelines.files.digest``)."""


def read(folder: Path) -> RunRecord:
    """Read one record; ``RecordError`` names the file and what is wrong with it."""
    return believed(folder).record


def believed(folder: Path) -> Recorded:
    """The cell of one record, its ranks read already; ``RecordError`` as of ``read``."""
    cell = Recorded(folder, records.read(folder))
    if fault := next(_faults(cell), ""):
        raise RecordError(folder / "run.json", fault)
    return cell


def survey(root: Path = RUNS) -> tuple[list[Recorded], list[tuple[Path, str]]]:
    """All cells below ``root``, in the order of their paths, and folders that are left out: why."""
    folders, refused = records.folders(root)
    found = []
    for folder in folders:
        try:
            found.append(believed(folder))
        except RecordError as error:
            refused.append((folder, error.reason))
    return found, sorted(refused)


def faults(folder: Path, record: RunRecord) -> Iterator[str]:
    """What cannot be so, each in a few words."""
    return _faults(Recorded(folder, record))


def _faults(cell: Recorded) -> Iterator[str]:
    record = cell.record
    yield from _names(record)
    yield from _recipe(record)
    yield from plausibility.faults(record)
    yield from _training(record)
    yield from _digests(record)
    yield from _status(cell.folder, record)
    if record.status == "failed":
        return
    try:
        stored = cell.ranks
    except NoDataError as error:
        yield _reason(cell.folder, error)
        return
    yield from _ranks(cell.folder, record, stored)


def _reason(folder: Path, error: NoDataError) -> str:
    """What an error says, without the folder and the advice, which a table of what is left out has once."""
    return str(error).removeprefix(f"{folder}/").removesuffix(f"; {AGAIN}")


def _names(record: RunRecord) -> Iterator[str]:
    texts = {"method_id": record.method_id, "protocol": record.protocol.name}
    if record.config is not None:
        texts["warmup"] = record.config.warmup
    if record.external is not None and record.external.note:
        texts["note"] = record.external.note
    for key, text in texts.items():
        if not text.strip() or not text.isprintable() or len(text) > LONGEST:
            yield f"{key}: empty, too long, or with characters that cannot be shown"


def _recipe(record: RunRecord) -> Iterator[str]:
    """Digests and id follow from the configuration. What was trained elsewhere has no features."""
    for key in ("manifest_hash", "features_hash"):
        if record.external is not None and key == "features_hash":
            if record.features_hash:
                yield "features_hash: of a model that was trained elsewhere"
        elif not HASH.fullmatch(getattr(record, key)):
            yield f"{key}: {getattr(record, key)!r:.60} is no digest"
    for key in ("method_id", "config_hash", "recipe_hash"):
        expected = getattr(record.about, key.replace("config_hash", "hash"))
        if getattr(record, key) != expected:
            yield f"{key}: {getattr(record, key)!r:.60}, but the configuration gives {expected!r:.60}"


def _training(record: RunRecord) -> Iterator[str]:
    """What a training leaves, where there was one."""
    if record.config is not None:
        if record.best_epoch is not None and not 0 <= record.best_epoch < record.config.epochs:
            yield f"best_epoch: {record.best_epoch}, of {record.config.epochs} epochs"
        return
    if record.status != "done":
        yield f"status: {record.status}, of a model that was trained elsewhere"
    for key in ("validation", "best_epoch", "false_negative_rate", "cost"):
        if getattr(record, key) not in (None, {}):
            yield f"{key}: of a model that was trained elsewhere"


def _digests(record: RunRecord) -> Iterator[str]:
    """Whether it has the files that its status says. A key that is missing is one that an older record lacks."""
    if record.status == "failed":
        for key in ("metrics", "others", "audit", "validation", "false_negative_rate", "cost", "ranks_sha256", "files"):
            if getattr(record, key):
                yield f"status: failed, but it has {key}"
        return
    for key in ("files", "ranks_sha256"):
        if key in record.model_fields_set and not getattr(record, key):
            yield f"{key}: empty, though the run did not fail"
    if record.files and record.files.get("ranks.npz") != record.ranks_sha256:
        yield "files: another ranks.npz than ranks_sha256 says"


def _status(folder: Path, record: RunRecord) -> Iterator[str]:
    """Whether it collapsed is what the last line of its history says; an older record has no digest of it."""
    if record.status == "failed" or not record.files or record.config is None:
        return
    from negbench.benchmark.evaluation.metrics import COLLAPSED

    try:
        last = history(folder, record)[-1]
        gap = float(last["val_positive_similarity"]) - float(last["val_mean_similarity"])
    except (NoDataError, ValueError, LookupError, TypeError):
        return  # no table reads it, and what draws it says so
    if (record.status == "collapsed") != (gap < COLLAPSED):
        yield f"status: {record.status}, but history.csv ends with positives {gap:.3f} above the average pair"


def _ranks(folder: Path, record: RunRecord, stored: "StoredRanks") -> Iterator[str]:
    """Whether the ranks are of the protocol's queries and give the metrics."""
    from negbench.benchmark.evaluation.metrics import measures

    protocol = record.protocol
    images, captions = len(stored.i2t), len(stored.t2i)
    if captions != protocol.captions or images > protocol.images:
        yield (
            f"ranks.npz: {images} images and {captions} captions, but protocol says"
            f" {protocol.images} and {protocol.captions}"
        )
        return
    if images < protocol.images:
        yield from _gallery(folder, record)
    yield from plausibility.differing("metrics", record.metrics, measures(stored.i2t, stored.t2i), "its ranks give")


def _gallery(folder: Path, record: RunRecord) -> Iterator[str]:
    """Whether there are images without a caption, so many: ``similarities.npz`` counts all pairs of the test.

    Older records have no such counts, nor those whose audit failed, nor those of similarities that were given: then
    there are no more images than captions.
    """
    import numpy as np

    images, captions = record.protocol.images, record.protocol.captions
    found = None
    try:
        if record.files and (record.config is not None or "similarities.npz" in record.files):
            records.check_arrays(folder / "similarities.npz")
            with np.load(io.BytesIO(content(folder, record, "similarities.npz")), allow_pickle=False) as arrays:
                found = sum(int(arrays[f"test_{kind}"].sum()) for kind in ("positive", "negative"))
    except NoDataError as error:
        yield _reason(folder, error)
    except KeyError:
        pass
    except Exception:  # zipfile and numpy raise whatever the damaged bytes lead them to
        yield "similarities.npz: no file of similarities"
    fits = images <= captions if found is None else found == images * captions
    if not fits:
        yield f"protocol.images: {images}, but its ranks and similarities are of other galleries"
