"""A model that was trained elsewhere becomes a record: ranked and measured as a trained cell, without a recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from negbench import methods
from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.figures import Audited, audit_test
from negbench.benchmark.errors import BenchError, NoDataError, RunFailedError
from negbench.benchmark.evaluation.gallery import Gallery, ScoredSplit, Tested
from negbench.benchmark.evaluation.measures import beyond_labels, known_pairs_of, measured, other_protocols
from negbench.benchmark.evaluation.metrics import CUTOFFS, check_cutoffs
from negbench.benchmark.evaluation.protocols import protocols_for
from negbench.benchmark.evaluation.similarities import BINS
from negbench.benchmark.exchange.given import Embeddings, Roster, Submission
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.external import AUDIT_BATCH, AUDIT_METHOD, External
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.benchmark.results.rows import EXTERNAL
from negbench.benchmark.sweeps.recording import write_json, write_tested
from negbench.benchmark.training.loop import failing
from negbench.methods.base import Extras, Method
from negbench.pipelines.atomic import new_folder
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.splits import SplitIndex
from negbench.pipelines.truth import Truth

UNIT = 4e-4
"""How far a row's length may be from 1: half precision is nearer."""
NO_AUDIT = {
    "similarity": "of similarities alone no method can say what it would pick or push",
    "ensemble": "a mean of similarities has no embeddings that a method could be asked about",
    "embeddings": "its rows are not of unit length, so their products are no cosines",
}
"""Why there is none, by what was given."""


def folder_of(external: External) -> Path:
    """Where its record belongs."""
    return RUNS / external.dataset / EXTERNAL / external.method / f"seed-{external.seed}"


def check_test(manifest: Manifest) -> None:
    """``NoDataError`` where the test split is too small for the recalls."""
    try:
        check_cutoffs(CUTOFFS, **manifest.counts()["test"])
    except ValueError as error:
        raise NoDataError(f"{manifest.name}: the test split is too small: {error}") from None


@dataclass(frozen=True)
class Arrived:
    """What is to be recorded."""

    external: External
    tested: Tested
    embeddings: Embeddings | None = None
    """As they are kept in the record."""


def arrived(external: External, given: Submission, roster: Roster) -> Arrived:
    """What was given, checked and in the order of the test; ``NoDataError`` where it is not of this test."""
    split = roster.split
    if given.similarity is not None:
        scores = roster.scores(given)
        owners = torch.tensor(split.caption_image)
        tested = ScoredSplit(scores, owners, split.image_ids, split.caption_ids)
        return Arrived(external.model_copy(update={"digests": {"similarity": scores.digest()}}), tested)
    found = roster.embeddings(given)
    sides = {"images": found.images, "captions": found.captions}
    gallery = gallery_of(found.images, found.captions, split)
    told = {
        "digests": {side: digest(values.dtype.str, values.tobytes()) for side, values in sides.items()},
        "repeated": found.repeated,
        "unit": all(map(is_unit, (gallery.images, gallery.captions))),
    }
    return Arrived(external.model_copy(update=told), gallery, found)


def gallery_of(images: NDArray[Any], captions: NDArray[Any], split: SplitIndex) -> Gallery:
    """Embeddings in the order of a split, as a trained model's."""
    return Gallery(
        images=torch.from_numpy(images.astype(np.float32)),
        captions=torch.from_numpy(captions.astype(np.float32)),
        caption_image=torch.tensor(split.caption_image),
        image_rows=torch.tensor(split.image_rows),
        caption_rows=torch.tensor(split.caption_rows),
        image_ids=split.image_ids,
        caption_ids=split.caption_ids,
    )


def is_unit(rows: Tensor) -> bool:
    """Whether all have unit length."""
    return bool((rows.norm(dim=1) - 1).abs().max() <= UNIT)


def recorded(folder: Path, external: External, manifest: Manifest) -> RunRecord | None:
    """The record in ``folder`` if it is of this very model; ``BenchError`` if of another one."""
    if not (folder / "run.json").exists():
        return None
    record = records.read(folder)
    same = record.config_hash == external.hash and record.manifest_hash == manifest.hash
    if not same:
        raise BenchError(f"{folder} holds another record; use --replace to take its place, or --out for elsewhere")
    return record


def write(folder: Path, new: Arrived, roster: Roster) -> RunRecord:
    """Measure, audit and record; ``NoDataError`` where what was given cannot be ranked."""
    external, tested, manifest, split = new.external, new.tested, roster.manifest, roster.split
    truth = Truth.read(manifest_folder(external.dataset))
    try:
        metrics, ranks = measured(tested)
    except RunFailedError as error:
        raise NoDataError(str(error)) from None
    if not external.unit:
        metrics = {name: value for name, value in metrics.items() if not name.endswith("_similarity")}
    audited, fault = audited_or_why(new, split, manifest, truth)
    with new_folder(folder, records.KIND) as scratch:
        record = RunRecord(
            status="done",
            error=fault,
            metrics=metrics | beyond_labels(tested, split, manifest, truth, external.matches),
            others=other_protocols(tested, external.dataset),
            audit=audited.figures,
            ranks_sha256=write_tested(scratch / "ranks.npz", ranks, tested),
            **facts_for(external, manifest, tested),
        )
        if new.embeddings is not None:
            sides = {"images": new.embeddings.images, "captions": new.embeddings.captions}
            (scratch / "embeddings.safetensors").write_bytes(save(sides))
        if audited.arrays:
            with (scratch / "similarities.npz").open("wb") as file:
                np.savez_compressed(file, edges=np.linspace(-1, 1, BINS + 1), **audited.arrays)
        write_json(scratch, record)
    return records.read(folder)


def facts_for(external: External, manifest: Manifest, tested: Tested) -> dict[str, Any]:
    """What a record says besides its figures."""
    return {
        "method_id": external.method_id,
        "external": external,
        "config_hash": external.hash,
        "recipe_hash": external.recipe_hash,
        "manifest_hash": manifest.hash,
        "features_hash": "",
        "protocol": protocols_for(external.dataset, *tested.scores.shape)[0],
        "versions": identity.versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **identity.commit(),
    }


def audited_or_why(
    new: Arrived, split: SplitIndex, manifest: Manifest, truth: Truth | None
) -> tuple[Audited, str | None]:
    """What ``AUDIT_METHOD`` would push on these embeddings, or why nobody can say."""
    external, gallery = new.external, new.tested
    if not isinstance(gallery, Gallery) or not external.unit:
        return Audited({}, {}), NO_AUDIT[external.given]
    examination = Examination(
        gallery, extras_without_features(gallery), AUDIT_BATCH, 0, seed_for(external.seed, "audit", "test")
    )
    try:
        with failing("the audit"):
            known_pairs = known_pairs_of(split, manifest, truth, external.matches)
            return audit_test(methods.get(AUDIT_METHOD)(), examination, known_pairs, None), None
    except BenchError as error:
        return Audited({}, {}), str(error)


def extras_without_features(gallery: Gallery) -> Callable[[Method, Tensor, Tensor, Tensor], Extras]:
    """What methods see besides the joint space where there are no frozen features."""

    def extras(method: Method, captions: Tensor, pool: Tensor, images: Tensor) -> Extras:
        return Extras(captions=gallery.caption_rows[captions] if "captions" in method.needs else None)

    return extras
