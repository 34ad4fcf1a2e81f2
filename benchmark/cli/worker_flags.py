"""Flags that several commands share."""

from typing import Annotated

import typer

from negbench.benchmark.cli import complete

PerGpu = Annotated[int | None, typer.Option(min=1, max=64, help="At a time on one GPU; 1 if not given.")]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a dask scheduler, or the file it wrote: its workers do the work.")
]
Storage = Annotated[
    str | None,
    typer.Option(
        envvar="BENCH_STORAGE",
        show_envvar=True,
        help="postgresql://USER:PASSWORD@HOST/DATABASE: a study that many share, in place of its journal.",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        autocompletion=complete.tracker,
        help="Tell a tracker, too: tensorboard, mlflow, wandb or dvclive; several by repeating it.",
    ),
]
RecipeName = Annotated[
    str | None, typer.Option(autocompletion=complete.recipe, help="Named recipe; bench recipes lists them.")
]
EncoderName = Annotated[
    str | None, typer.Option(autocompletion=complete.encoder, help="Encoder; the dataset's own if not given.")
]
