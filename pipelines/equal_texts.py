"""Captions and their vectors: equal texts have equal ones, and how many unlike texts have equal ones too.

A text's vector depends on its batch, in the last digits. So that equal captions tie wherever they stand, each has the
vector of the first of them in its split. An encoder that cannot read a language gives many captions few vectors.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from negbench.pipelines import encoders
from negbench.pipelines.encoders import Encoder
from negbench.pipelines.files import digest
from negbench.pipelines.filling import parts_of
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.rows import Rows
from negbench.pipelines.store import load_array

MOST = 0.05
"""Share of distinct captions that share a vector, or of unknown tokens, above which a warning is due."""
SAMPLE = 5000
"""Distinct captions that are cut into tokens to count the unknown ones."""
DIGITS = 5
CHUNK = 4096  # rows


def make_equal(path: Path, texts: Sequence[str]) -> None:
    """Give each row of a finished ``.npy`` file the bytes of the first row of its text; again is the same."""
    array = load_array(path)
    item = array[:1].nbytes
    start = path.stat().st_size - len(array) * item
    first: dict[str, int] = {}
    with path.open("r+b") as file:
        for row, text in enumerate(texts):
            same = first.setdefault(text, row)
            if same != row and (data := array[same].tobytes()) != array[row].tobytes():
                file.seek(start + row * item)
                file.write(data)


def figures(store: Path, manifest: Manifest, encoder: Encoder | None) -> dict[str, Any]:
    """Of a store's captions: how many are distinct, how many of these share a vector with another, and which share of
    their tokens the encoder does not know, None where it has no such tokens."""
    vector_of: dict[str, str] = {}
    for split, rows in parts_of(manifest, "captions"):
        stored = Rows(load_array(store / f"{split}_captions.npy"))
        texts = rows["text"].tolist()
        for start in range(0, len(texts), CHUNK):
            vectors = np.round(stored[np.arange(start, min(start + CHUNK, len(texts)))].astype(np.float32), DIGITS) + 0
            for text, vector in zip(texts[start : start + CHUNK], vectors, strict=True):
                if text not in vector_of:
                    vector_of[text] = digest(vector.tobytes())
    alike = pd.Series(list(vector_of.values())).duplicated(keep=False)
    return {
        "distinct": len(vector_of),
        "sharing": int(alike.sum()),
        "unknown": None if encoder is None else unknown_tokens(encoder, list(vector_of)),
    }


def unknown_tokens(encoder: Encoder, texts: Sequence[str]) -> float | None:
    """Share of the tokens of some of the texts that an encoder does not know; None where it knows no such token."""
    tokenizer = getattr(encoder, "_tokenizer", None)  # of the encoders whose tokenizer is transformers'
    unknown = getattr(tokenizer, "unk_token_id", None)
    if tokenizer is None or unknown is None or not texts:
        return None
    some = list(texts[:: max(1, len(texts) // SAMPLE)])
    tokens = [token for found in tokenizer(some, add_special_tokens=False)["input_ids"] for token in found]
    return round(tokens.count(unknown) / max(1, len(tokens)), 4)


def unknown_to(name: str, texts: Sequence[str]) -> float | None:
    """The same of a text encoder by its name, where it is on this machine; None, too, of those of a hub."""
    if ":" in name or name == encoders.PRECOMPUTED or not encoders.get(name).packages:
        return None
    if not all(find_spec(package) for package in encoders.get(name).packages):
        return None
    return unknown_tokens(encoders.make(name, "text"), texts)


def warnings(name: str, found: dict[str, Any]) -> Iterator[str]:
    """What of ``figures`` is worth a warning, for the text encoder ``name``."""
    distinct, sharing, unknown = found.get("distinct", 0), found.get("sharing", 0), found.get("unknown")
    if sharing > MOST * distinct:
        yield f"{sharing:,} of {distinct:,} distinct captions share a vector: {name} cannot tell them apart"
    if unknown is not None and unknown > MOST:
        yield f"{name} does not know {unknown:.0%} of the captions' tokens: it cannot read their language"
