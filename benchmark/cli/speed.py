"""``bench speed``: what a step or an evaluation costs, as a ratio to its bare matrix product."""

import json
from typing import Annotated, Any

import typer

from benchmark.screen import out


def speed(
    method: Annotated[str | None, typer.Option(help="Time this method's loss step.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Time every method's loss step.")] = False,
    evaluation: Annotated[bool, typer.Option("--evaluation", help="Time the ranks of a gallery.")] = False,
    batch: Annotated[int, typer.Option(min=2, help="Anchors.")] = 128,
    memory: Annotated[int, typer.Option(min=0, help="Pairs in the memory.")] = 65536,
    dim: Annotated[int, typer.Option(min=1, help="Dimension of the joint space.")] = 512,
    above: Annotated[float, typer.Option(min=0, max=1, help="Share of the memory above FNE's cut.")] = 0.001,
    images: Annotated[int, typer.Option(min=1, help="Images, for --evaluation.")] = 5000,
    captions: Annotated[int, typer.Option(min=1, help="Captions, for --evaluation.")] = 25000,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of --evaluation; the best of them counts.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="Device, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Time loss steps, or the ranks of a gallery, against the bare products of the same run."""
    if sum([method is not None, everything, evaluation]) != 1:
        raise typer.BadParameter("give one of --method NAME, --all and --evaluation")
    if evaluation and device != "cpu":
        raise typer.BadParameter("--evaluation is timed on the CPU only", param_hint="--device")
    from benchmark import devices
    from benchmark.errors import RunFailedError

    devices.check(device)
    if evaluation:
        from benchmark import speed_evaluation

        results = [speed_evaluation.measure(images, captions, dim, threads, repeats)]
    else:
        from benchmark import speed as speeds
        from methods import names

        chosen = names() if method is None else [method]
        try:
            results = [speeds.measure(name, batch, memory, dim, threads, device, above) for name in chosen]
        except (RuntimeError, MemoryError) as error:  # more than there is memory for
            raise RunFailedError(f"{(str(error).splitlines() or ['out of memory'])[0]}") from None
    if as_json:
        typer.echo(json.dumps(results if everything else results[0], indent=2))
    else:
        show(results)


def show(results: list[dict[str, Any]]) -> None:
    """A line with what is the same for all, and a table of the rest."""
    from rich.table import Table

    measured = [key for key in ("method", "step_ms", "product_ms", "ratio", "extra", "peak_mb") if key in results[0]]
    same = {key: value for key, value in results[0].items() if key not in measured}
    out().print("  ".join(f"{key} {value}" for key, value in same.items()), style="dim", markup=False)
    table = Table(*measured)
    for column in table.columns:
        column.justify = "left" if column.header == "method" else "right"
    for result in results:
        values = (result[key] for key in measured)
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values))
    out().print(table)
