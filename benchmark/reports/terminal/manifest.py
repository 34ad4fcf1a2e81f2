"""A manifest that was built."""

from collections.abc import Sequence
from typing import Any

from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.captions import same
from negbench.pipelines.manifest import FEWEST, Manifest
from negbench.pipelines.text import counted, one_line

SHOWN = 5
"""Bad rows that are told."""
MOST_FILES = 20


def show(manifest: Manifest) -> None:
    """Its sizes and sources, what its reader tells; small splits, and what was left out, exchanged or bad."""
    counts = manifest.counts()
    sizes = ", ".join(
        f"{split} {counted(row['images'], 'images')} / {counted(row['captions'], 'captions')}"
        for split, row in counts.items()
    )
    out().print(f"{manifest.name}: {sizes}")
    for split in ("val", "test"):
        if counts[split]["images"] < FEWEST:
            few = f"{split} has {counted(counts[split]['images'], 'images')}, bench run needs {FEWEST}"
            log().print(f"warning: {few}", style="yellow")
    _sources(manifest.info)
    for note in manifest.info.get("notes", []):
        log().print(f"note: {one_line(note)}")
    if odd := _odd(manifest):
        log().print(f"as they are: {odd}")
    if number := manifest.info.get("split_by_id"):
        log().print(f"warning: {split_by_id(number)}", style="yellow")
    for what, number in manifest.info.get("skipped", {}).items():
        log().print(f"left out: {counted(number, what)}")
    if noise := manifest.info.get("noise"):
        log().print(f"noise: {noise['exchanged']:,} of {noise['captions']:,} training captions exchanged")
        if "words" in noise:
            log().print(f"noise: {noise['noise_file']} is {noise['words']} (digest {noise['noise_digest']})")
    for message in manifest.info.get("bad", [])[:SHOWN]:
        log().print(f"bad row: {one_line(message)}", style="yellow")


def _odd(manifest: Manifest) -> str:
    """In numbers what not every dataset has, and training and evaluation take as it is."""
    each = manifest.captions["image_id"].value_counts().reindex(manifest.images["image_id"], fill_value=0)
    said = [f"images have {each.min():,} to {each.max():,} captions"] if each.nunique() > 1 else []
    images_of = manifest.captions["image_id"].groupby(manifest.captions["text"].map(same))
    several = int((images_of.transform("nunique") > 1).sum())
    said += [f"{several:,} captions stand with several images"] if several else []
    names = manifest.images["content"][manifest.images["content"] != ""].value_counts()
    again = names[names > 1]
    if len(again):
        pictures = "picture" if len(again) == 1 else "pictures"
        said.append(f"{again.sum():,} images are {len(again):,} {pictures} under several names")
    return "; ".join(said)


def split_by_id(number: int) -> str:
    """What is said of a split that nobody but the suite has."""
    return f"nothing says the split of {number:,} images, so their ids decided (80 % train, 10 % val, 10 % test)"


def _sources(info: dict[str, Any]) -> None:
    """The files that were read and how, those that were not and why, and what became of the rows."""
    if files := list(info.get("files", {})):
        log().print(f"read: {one_line(', '.join(_some(files)))}")
    for file, how in info.get("dialects", {}).items():
        log().print(f"read: {one_line(file)}: {how}")
    for line in _some([f"{file}: {reason}" for file, reason in info.get("unused", {}).items()]):
        log().print(f"not read: {one_line(line)}")
    if rows := info.get("rows"):
        parts = [f"{rows['kept']:,} kept", *(counted(number, why) for why, number in rows["left out"].items())]
        log().print(f"captions: {rows['seen']:,} seen = {' + '.join(parts)}")


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"{len(lines) - MOST_FILES:,} more"] if len(lines) > MOST_FILES else []
    return [*lines[:MOST_FILES], *more]
