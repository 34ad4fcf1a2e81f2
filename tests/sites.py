"""Sites for tests: made from records, and read back."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from boards import a_full_board, record, save
from commands import Done, bench
from negbench.benchmark.evaluation.protocols import Measured, Protocol
from negbench.benchmark.recipe.external import External

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


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


def all_kinds(root: Path) -> Path:
    """Long names, failed, collapsed and many rows, two tables of a dataset, a further protocol, one from elsewhere."""
    a_full_board(root)
    whole = Protocol(name="coco-5k", images=5000, captions=25000)
    folds = Protocol(name="coco-1k-5fold", images=1000, captions=5000, folds=5)
    better = {f"{way}_r{k}": 50.0 for way in ("i2t", "t2i") for k in (1, 5, 10)} | {"rsum": 300.0, "mr": 50.0}
    ranks = {f"{way}_{name}": 2.0 for way in ("i2t", "t2i") for name in ("medr", "meanr")}
    others = (Measured(protocol=folds, metrics=better | ranks),)
    save(
        root,
        *(record(name, seed, 30, "coco", protocol=whole, others=others) for name in ("fne", "sum") for seed in (0, 1)),
    )
    save(root, record("hardest", 0, 30, "f8k"), record("fne", 0, 30, "f8k", epochs=12))
    guest = External(method="guest", dataset="f30k", given="embeddings", note=HOSTILE)
    told = {
        "config": None,
        "external": guest,
        "method_id": "guest",
        "cost": None,
        "recipe_hash": "",
        "features_hash": "",
    }
    one = record("hardest", 0, 44, "f30k", protocol=Protocol(name="f30k-1k", images=1000, captions=5000))
    save(root, one.model_copy(update=told | {"config_hash": guest.hash}))
    path = root / "f30k" / "guest" / "0" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"features_hash": ""}))
    return root


def many_rows(root: Path, rows: int) -> Path:
    """So many rows of one seed."""
    return save(root, *(record("fne", 0, 20 + number % 50, memory=1 + number) for number in range(rows)))
