"""What a reader could take for something it is not: read right, or refused with what was seen and what helps."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from negbench.pipelines import prepare
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest

HUNDRED = [f"{number}.jpg" for number in range(100)]


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the source, in the current one."""
    monkeypatch.chdir(tmp_path)
    folder = Path("raw")
    folder.mkdir()
    return folder


def pictures(names: Iterable[str] = HUNDRED, folder: str = "pics") -> None:
    for number, name in enumerate(names):
        path = Path("raw", folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 37 % 256, number * 101 % 256, number % 256)).save(path, "PNG")


def put(file: str, content: Any) -> None:
    """Bytes and text as they are, anything else as JSON."""
    path = Path("raw", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def add(**settings: Any) -> Manifest:
    return prepare.add("my", Path("raw"), settings=settings, replace=True)


def refused(**settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        add(**settings)
    said = str(caught.value)
    assert "\n" not in said
    return said


# Ids


def test_ids_that_floats_cannot_tell_apart_are_refused() -> None:
    ids = [2**53 + 2 * (number // 2) for number in range(100)]
    np.savez("raw/f.npz", features=np.random.default_rng(0).normal(size=(100, 8)))
    put("ids.txt", "".join(f"{number}\n" for number in ids[::2] + list(range(50))))
    put("c.jsonl", "\n".join(f'{{"image": {number}.0, "caption": "a thing"}}' for number in ids))
    assert "raw/c.jsonl:1.image: 9007199254740992.0 is a float beyond 2^53" in refused()


def persons(ids: Iterable[Any]) -> None:
    pictures()
    splits = ("train", "val", "test")
    put(
        "reid_raw.json",
        [
            {"split": splits[number // 2 % 3], "captions": [f"man {number}"], "file_path": f"{number}.jpg", "id": one}
            for number, one in enumerate(ids)
        ],
    )


def test_a_persons_number_may_be_text() -> None:
    persons(number // 2 if number % 2 else str(number // 2) for number in range(100))
    manifest = add()
    assert "50 persons in 100 pictures" in manifest.info["notes"][0]
    assert len(manifest.judgements) == 100


def test_rows_without_a_person_beside_rows_with_one_are_refused_or_counted() -> None:
    persons(None if number == 7 else number // 2 for number in range(100))
    assert "raw/reid_raw.json: [7].id: no person, but other rows have one" in refused()
    assert add(skip_bad=True).info["rows"] == {"seen": 100, "kept": 99, "left out": {"bad rows": 1}}
