"""A manifest that was built."""

from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.manifest import FEWEST, Manifest
from negbench.pipelines.text import one_line

SHOWN = 5
"""Bad rows that are told."""


def show(manifest: Manifest) -> None:
    """Its sizes; splits that are too small, and what its reader tells, what was left out, exchanged or bad."""
    counts = manifest.counts()
    sizes = ", ".join(
        f"{split} {row['images']:,} images / {row['captions']:,} captions" for split, row in counts.items()
    )
    out().print(f"{manifest.name}: {sizes}")
    for split in ("val", "test"):
        if counts[split]["images"] < FEWEST:
            few = f"{split} has {counts[split]['images']:,} images, bench run needs {FEWEST}"
            log().print(f"warning: {few}", style="yellow")
    for note in manifest.info.get("notes", []):
        log().print(f"note: {one_line(note)}")
    for what, number in manifest.info.get("skipped", {}).items():
        log().print(f"left out: {number:,} {what}")
    if noise := manifest.info.get("noise"):
        log().print(f"noise: {noise['exchanged']:,} of {noise['captions']:,} training captions exchanged")
        if "words" in noise:
            log().print(f"noise: {noise['noise_file']} is {noise['words']} (digest {noise['noise_digest']})")
    for message in manifest.info.get("bad", [])[:SHOWN]:
        log().print(f"bad row: {one_line(message)}", style="yellow")
