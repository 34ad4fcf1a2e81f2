"""Captions beside precomputed pictures: which installed encoder reads them better than the one that is always there."""

from importlib.util import find_spec

from negbench.pipelines import encoders

PLAIN = f"{encoders.PRECOMPUTED}+ngrams"
"""The pair that needs nothing."""
STRONGER = ("mpnet", "minilm")
"""Encoders of words whose weights come in packages, the strongest first."""


def hint(pair: str) -> str | None:
    """A line on what is installed, where a dataset's pair is ``PLAIN``; None where there is nothing to say."""
    if pair != PLAIN:
        return None
    here = [name for name in STRONGER if all(find_spec(package) for package in encoders.get(name).packages)]
    if not here:
        return None
    pair = f"{encoders.PRECOMPUTED}+{here[0]}"
    return f"ngrams knows letters, no words; {here[0]}, which is installed, does: --encoder {pair}"
