"""Where well-known datasets come from."""

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table

from negbench.pipelines.sources.known import Known


def show_list(known: Mapping[str, Known], screen: Console) -> None:
    """A line per dataset."""
    table = Table("dataset", "what it is", "images", "where it comes from")
    for name, each in known.items():
        table.add_row(name, each.title, f"{sum(each.counts.values()):,}", f"bench data where {name}")
    screen.print(table)


def show(name: str, known: Known, screen: Console) -> None:
    """Its downloads with their terms, the files as they are expected, and what to do then."""
    for line in _lines(name, known):
        screen.print(line)


def _lines(name: str, known: Known) -> Iterator[str]:
    several = len(known.downloads) > 1 or any(".zip" in each.what for each in known.downloads)
    counts = ", ".join(f"{split} {count:,}" for split, count in known.counts.items())
    yield from (f"{known.title}: {counts} images; protocol {known.protocol}", "", "Get")
    for number, download in enumerate(known.downloads, start=1):
        yield f"{number}. {download.what}"
        yield f"   from   {download.provider}"
        yield f"   page   {download.page}"
        yield f"   terms  {download.terms}"
    yield from ("", "Unpack it so", known.tree, "", f"Note: {known.note}")
    yield from (
        "",
        "Then run",
        f"  bench data add {name} --from DIR",
        *([f"  bench data add {name} --from FIRST.zip --from SECOND.zip"] if several else []),
        "",
        f"Cite: {known.citation}",
    )
