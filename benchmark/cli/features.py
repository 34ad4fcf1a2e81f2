"""``bench features``: encode a dataset's pictures and captions."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.cli.tracked import tell_dvc
from negbench.benchmark.cli.worker_flags import Scheduler
from negbench.benchmark.reports.screen import log, out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.shards import Spread
    from negbench.pipelines.store import FeatureStore

Precision = Literal["float32", "bfloat16", "float16"]


def features(
    dataset: Annotated[str, typer.Option(autocompletion=complete.dataset, help="Name of a registered dataset.")],
    encoder: Annotated[
        str | None,
        typer.Option(autocompletion=complete.encoder, help="IMAGE+TEXT of bench encoders; else the dataset's own."),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(help="Numbers of vectors: float16 halves them, pixels stay uint8. As before if not given."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Encode again, even if nothing changed.")] = False,
    batch: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="Items encoded at once; found if not given.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=1024, help="Threads that decode pictures; one per core if not given.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device, as torch names it; the GPU, where there is one, if not given.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Numbers to compute in; half precision on a GPU if not given.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Processes that share each split; this one alone if not given."),
    ] = None,
    scheduler: Scheduler = None,
) -> None:
    """Encode a dataset's pictures and captions into features/DATASET/ENCODER. Goes on where it was stopped."""
    from negbench.benchmark.recipe.params import default_encoder
    from negbench.benchmark.reports.progress import encoding
    from negbench.pipelines.features import make
    from negbench.pipelines.names import check_dataset

    check_dataset(dataset)
    if device is not None:
        from negbench.benchmark.training import devices

        devices.check_here(device)
    screen = log()
    with _spread(jobs, scheduler, device) as spread, encoding(screen) as report:
        folder = make(
            dataset,
            encoder or default_encoder(dataset),
            spread=spread,
            dtype=dtype,
            batch=batch,
            workers=workers,
            device=device,
            precision=precision,
            main=default_encoder(dataset),
            force=force,
            progress=report,
            waiting=screen.print,
        )
    out().print(str(folder))
    _tell(folder)
    tell_dvc(features=[dataset])


def _tell(folder: "Path") -> None:
    """What the store says of its captions; warnings where the encoder does not fit them."""
    from negbench.pipelines import equal_texts, stronger_texts
    from negbench.pipelines.store import read_info

    info = read_info(folder)
    found = info.get("captions", {})
    if found:
        unknown = "" if found["unknown"] is None else f"; {found['unknown']:.1%} of their tokens are unknown"
        log().print(f"captions: {found['distinct']:,} distinct, {found['sharing']:,} share a vector{unknown}")
    for line in equal_texts.warnings(info.get("text", {}).get("name", "the encoder"), found):
        log().print(f"warning: {line}", style="yellow")
    if hint := stronger_texts.hint(info["encoder"]):
        log().print(hint)


@contextmanager
def _spread(jobs: int | None, scheduler: str | None, device: str | None) -> "Iterator[Spread | None]":
    """Workers that encode; None where this process does all of it."""
    if jobs is None:
        if scheduler is not None:
            from negbench.benchmark.errors import BenchError

            raise BenchError("--jobs is missing: the number of parts that each split is cut into")
        yield None
        return
    from negbench.benchmark.sweeps.engine.where import Where
    from negbench.benchmark.sweeps.feature_jobs import CrewOfFeatures
    from negbench.pipelines.encoding import How, device_for

    where = Where(None if scheduler else jobs, scheduler=scheduler)
    with where.crew_on(device_for(How(device=device)).name, jobs, log().print) as (crew, place):
        yield CrewOfFeatures(crew, place, jobs)


def ensure_for(config: "RunConfig") -> "tuple[Manifest, FeatureStore]":
    """Manifest and features of a cell, those of its guide too."""
    if config.guide_encoder:
        ensure_with_progress(config.dataset, config.guide_encoder)
    return ensure_with_progress(config.dataset, config.encoder)


def ensure_with_progress(dataset: str, encoder: str | None = None) -> "tuple[Manifest, FeatureStore]":
    """Manifest and features of a dataset, built with progress on stderr where they are missing or stale."""
    from negbench.benchmark.recipe.params import default_encoder
    from negbench.benchmark.reports.progress import encoding
    from negbench.pipelines.features import ensure

    screen = log()
    with encoding(screen) as report:
        return ensure(dataset, encoder, report, screen.print, default_encoder(dataset))
