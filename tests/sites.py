"""Sites for tests: made from records, and read back."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from boards import record, save
from commands import Done, bench


class Page(HTMLParser):
    """What stands in a page: tags with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and attributes.get("type") == "application/json" and data.strip():
            self.data = json.loads(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pages(site: Path) -> list[Page]:
    return [Page(path) for path in sorted(site.rglob("*.html"))]


def report(runs: Path, out: Path, *flags: str) -> Done:
    return bench("report", "--runs", str(runs), "--out", str(out), *flags)


def some_records(root: Path) -> Path:
    """Four rows of three seeds, of which one is tuned; one row of one seed."""
    rows: dict[str, dict[str, Any]] = {
        "hardest": {},
        "semi-hard": {},
        "fne": {"memory": 2048},
        "info-nce": {"settings": {"temperature": 0.05}, "tuned": True},
    }
    cells = [
        record(method, seed, 30 + 3 * place + seed, false_negative_rate={"both": 0.05}, **own)
        for place, (method, own) in enumerate(rows.items())
        for seed in range(3)
    ]
    return save(root, *cells, record("random", 0, 5))


def many_rows(root: Path, rows: int) -> Path:
    """So many rows of one seed."""
    return save(root, *(record("fne", 0, 20 + number % 50, memory=1 + number) for number in range(rows)))
