"""How to cite a method: what its own docstring says of its source, as BibTeX. Nothing is added to that.

A source is written ``A. Author, B. Author: Title, VENUE 2020``; a docstring that lacks a part of it has no entry.
"""

import ast
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from negbench.benchmark.errors import BenchError
from negbench.methods import registry

AUTHOR = r"[A-Z]\.(?:[ -][A-Z]\.)* [A-Z][\w'-]+"
SOURCE = re.compile(
    rf"(?P<authors>{AUTHOR}(?:, {AUTHOR})*)(?P<more> et al\.)?: "
    r"(?P<title>[^{}\\]+?)(?: \([\w-]+\))?,"
    r"(?: (?P<venue>[A-Z][\w -]*?),?)? (?P<year>(?:19|20)\d\d)\b"
    r"(?: \(arXiv (?P<arxiv>\d{4}\.\d{5}))?"
)
JOURNALS = ("Transactions", "T-PAMI", "Journal")
"""Words of a venue that is a journal."""


@dataclass(frozen=True)
class Citation:
    """One source."""

    authors: tuple[str, ...]
    more: bool
    """Whether there are authors that are not named."""
    title: str
    venue: str
    year: str
    arxiv: str

    @property
    def key(self) -> str:
        words = (self.authors[0].split()[-1], self.year, re.findall(r"\w+", self.title)[0])
        return "".join(words).lower()

    def bibtex(self) -> str:
        """An entry; a source without a venue is ``@misc``."""
        journal = any(word in self.venue for word in JOURNALS)
        kind, place = ("article", "journal") if journal else ("inproceedings", "booktitle")
        fields = {
            "author": " and ".join([*self.authors, *(["others"] if self.more else [])]),
            "title": f"{{{self.title}}}",
            place: self.venue,
            "year": self.year,
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else "",
        }
        told = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{kind if self.venue else 'misc'}{{{self.key},", *told, "}"])


def found_in(docstring: str) -> Citation | None:
    """The source that the second paragraph of a docstring begins with, if it names one in full."""
    paragraphs = [" ".join(part.split()) for part in docstring.split("\n\n")]
    found = SOURCE.match(paragraphs[1]) if len(paragraphs) > 1 else None
    if found is None:
        return None
    part = found.groupdict(default="")
    return Citation(
        tuple(part["authors"].split(", ")),
        bool(part["more"]),
        part["title"],
        part["venue"],
        part["year"],
        part["arxiv"],
    )


def citation(name: str) -> Citation | None:
    """That of a method; None where its docstring has none. A method of the suite is not imported."""
    place = registry.place_of(name.replace("_", "-"))
    if isinstance(place, Path):
        return found_in(ast.get_docstring(ast.parse(place.read_text(encoding="utf-8"))) or "")
    return found_in(sys.modules[registry.get(name).__module__].__doc__ or "")


def bibliography(names: Iterable[str]) -> tuple[str, list[str]]:
    """Entries of some methods, each source once, and the methods that have none."""
    found = {name: citation(name) for name in names}
    entries = {one.key: one.bibtex() for one in found.values() if one}
    return "\n\n".join(entries.values()), [name for name, one in found.items() if one is None]


def entry(name: str) -> str:
    """Of one method; ``BenchError`` where its docstring does not say what it takes."""
    one = citation(name)
    if one is None:
        raise BenchError(
            f"method '{name}' has no citation: its docstring does not name authors, title and year of a source"
            f" (bench methods {name} shows what it says)"
        )
    return one.bibtex()
