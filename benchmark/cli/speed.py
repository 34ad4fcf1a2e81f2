"""``bench speed``: what a step, an evaluation or the reading of features costs, beside the least it could."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.text import json_text


def speed(
    method: Annotated[str | None, typer.Option(help="Time this method's loss step.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Time every method's loss step.")] = False,
    evaluation: Annotated[bool, typer.Option("--evaluation", help="Time the ranks of a gallery.")] = False,
    operations: Annotated[bool, typer.Option("--operations", help="Count what steps hand to a device.")] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="With --operations: the kernels of a compiled step, too; takes minutes.")
    ] = False,
    cell: Annotated[
        bool, typer.Option("--cell", help="Time training steps of a recipe, and where their time goes.")
    ] = False,
    data: Annotated[bool, typer.Option("--data", help="Time the reading of a large feature store.")] = False,
    batch: Annotated[int, typer.Option(min=2, max=10**6, help="Anchors.")] = 128,
    memory: Annotated[int, typer.Option(min=0, max=10**8, help="Pairs in the memory.")] = 65536,
    dim: Annotated[int, typer.Option(min=1, max=2**16, help="Dimension of the joint space.")] = 512,
    above: Annotated[float, typer.Option(min=0, max=1, help="Share of the memory above FNE's cut.")] = 0.001,
    images: Annotated[int, typer.Option(min=1, max=10**8, help="Images, for --evaluation.")] = 5000,
    captions: Annotated[int, typer.Option(min=1, max=10**8, help="Captions, for --evaluation.")] = 25000,
    repeats: Annotated[int, typer.Option(min=1, max=10**6, help="Turns of --evaluation; the best of them counts.")] = 3,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="Device, as torch names it.")] = "cpu",
    scale: Annotated[
        Literal["coco", "regions"] | None, typer.Option(help="Size of the store, for --data; both if not given.")
    ] = None,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Numbers of the store, for --data.")] = "float32",
    folder: Annotated[Path, typer.Option(help="Where the store is written and removed, for --data.")] = Path(),
    pixels: Annotated[
        bool, typer.Option("--pixels", help="With --data: pictures, beside the steps of a recipe that waits for them.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(help="Named recipe of --pixels, --cell, --operations; pixels or heads if not given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Time loss steps, or the ranks of a gallery, against the bare products of the same run; or reading from disk."""
    if sum([(method is not None) and not (cell or operations), everything, evaluation, data, operations, cell]) != 1:
        raise typer.BadParameter("give one of --method NAME, --all, --cell, --evaluation, --data and --operations")
    if pixels and not data:
        raise typer.BadParameter("--pixels goes with --data")
    if compiled and not operations:
        raise typer.BadParameter("--compiled goes with --operations")
    if evaluation and device != "cpu":
        raise typer.BadParameter("--evaluation is timed on the CPU only", param_hint="--device")
    if cell:
        time_cells(method, recipe, threads, device, as_json)
    elif operations:
        count_operations(method, compiled, batch, memory, dim, recipe, as_json)
    elif pixels:
        time_pixels(recipe or "pixels", device, threads, folder, as_json)
    elif data:
        time_data([scale] if scale else ["coco", "regions"], folder, dtype, as_json)
    elif evaluation:
        time_evaluation(images, captions, dim, threads, repeats, as_json)
    else:
        results = time_steps(method, batch, memory, dim, threads, device, above)
        show_steps(results, as_json, alone=method is not None)
    if not operations:
        warn_if_busy()


def warn_if_busy() -> None:
    """Say after timings that other work runs on this machine, where it does."""
    from negbench.benchmark.speed import busy

    load, processors = busy.load(), busy.processors()
    if load > processors / 2:
        log().print(
            f"{load:.1f} programs run on {processors} processors: times are of them, too; ratios suffer less",
            style="yellow",
        )


def time_evaluation(images: int, captions: int, dim: int, threads: int, repeats: int, as_json: bool) -> None:
    """Time the ranks of a gallery."""
    from negbench.benchmark.speed import evaluation_cost

    show_steps([evaluation_cost.measure(images, captions, dim, threads, repeats)], as_json, alone=True)


def time_steps(
    method: str | None, batch: int, memory: int, dim: int, threads: int, device: str, above: float
) -> list[dict[str, Any]]:
    """Time the loss step of a method, or of all."""
    from negbench.benchmark.errors import RunFailedError, first_line, out_of_memory
    from negbench.benchmark.speed import method_cost
    from negbench.benchmark.training import devices
    from negbench.methods import names

    devices.check(device)
    chosen = names() if method is None else [method]
    try:
        return [method_cost.measure(name, batch, memory, dim, threads, device, above) for name in chosen]
    except (RuntimeError, MemoryError) as error:  # more than there is memory for
        raise RunFailedError(out_of_memory(error) or first_line(error)) from None


def show_steps(results: list[dict[str, Any]], as_json: bool, alone: bool) -> None:
    """For programs, or as a table."""
    from negbench.benchmark.reports.terminal.speed import show

    if as_json:
        typer.echo(json_text(results[0] if alone else results))
    else:
        show(results, out())


def time_cells(method: str | None, recipe: str | None, threads: int, device: str, as_json: bool) -> None:
    """Time a training step of a recipe with a method, or with each that can be timed."""
    from negbench.benchmark.recipe.flags import resolve
    from negbench.benchmark.speed import cell_cost
    from negbench.benchmark.speed.made_step import can_be_made
    from negbench.benchmark.training import devices
    from negbench.methods import names

    devices.check(device)
    cell = {"dataset": "generated", "encoder": "made+up", "preset": recipe, "device": device, "threads": threads}
    chosen = [name for name in names() if can_be_made(name)] if method is None else [method]
    results = [cell_cost.measure(resolve({"method": name, **cell})) for name in chosen]
    show_steps(results, as_json, alone=method is not None)


def count_operations(
    method: str | None, compiled: bool, batch: int, memory: int, dim: int, recipe: str | None, as_json: bool
) -> None:
    """Count the operations of the loss step of a method, or of each, and of a recipe's whole training step with it."""
    from negbench.benchmark.recipe.flags import resolve
    from negbench.benchmark.reports.terminal.speed import show_operations
    from negbench.benchmark.speed import launches, operations
    from negbench.benchmark.training import devices
    from negbench.methods import get, names

    if compiled:
        devices.check_compiler()
    found = []
    for name in names() if method is None else [method]:
        if "words" in get(name).needs:
            continue  # captions as text are no operations
        config = resolve({"method": name, "dataset": "generated", "encoder": "made+up", "preset": recipe})
        step = operations.measure_step(config)
        row = {**operations.measure(name, batch, memory, dim), "step": step and step["all"]}
        if compiled:
            row |= {"compiled": launches.measure(name), "compiled_step": launches.measure_step(config)}
        found.append(row)
    if not found:
        raise typer.BadParameter(f"{method} makes texts, which are no operations", param_hint="--method")
    if as_json:
        typer.echo(json_text(found))
    else:
        show_operations(found, out())


def time_data(scales: list[str], folder: Path, dtype: str, as_json: bool) -> None:
    """Time the reading of a store of each scale."""
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.reports.terminal.speed import show_data
    from negbench.benchmark.speed import data_cost
    from negbench.benchmark.sweeps.processes import ended_by_signals

    destinations.check(f"--folder {folder}", folder / "scratch")
    results = {}
    for name in scales:
        size = data_cost.SCALES[name]
        log().print(f"{name}: {size.size(dtype) / 1e9:.1f} GB are written and read again", style="dim")
        with ended_by_signals():  # so that the store is removed
            results[name] = data_cost.measure(size, folder, dtype)
    if as_json:
        typer.echo(json_text(results))
    else:
        for name, result in results.items():
            show_data(name, result, out())


def time_pixels(recipe: str, device: str, threads: int, folder: Path, as_json: bool) -> None:
    """Time the reading of pictures and a recipe's steps on them."""
    from negbench.benchmark.recipe.flags import resolve
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.reports.terminal.speed import show_pixels
    from negbench.benchmark.speed import pixels_cost
    from negbench.benchmark.sweeps.processes import ended_by_signals
    from negbench.benchmark.training import devices

    cell = {"method": "hardest", "dataset": "generated", "preset": recipe, "device": device, "threads": threads}
    config = resolve(cell)
    devices.check(device)
    destinations.check(f"--folder {folder}", folder / "scratch")
    with ended_by_signals():  # so that the pictures are removed
        result = pixels_cost.measure(config, folder)
    if as_json:
        typer.echo(json_text(result))
    else:
        show_pixels(result, out())
