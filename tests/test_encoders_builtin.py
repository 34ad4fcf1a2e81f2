"""The encoders that need no download: shapes, values, and no dependence on the batch or the process."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from negbench.pipelines.encoders.hog import Hog
from negbench.pipelines.encoders.ngrams import Ngrams

SIZES = [(64, 64), (1, 1), (500, 333), (7, 90), (64, 1)]


def photos() -> list[Image.Image]:
    lot = np.random.default_rng(0)
    return [Image.fromarray(lot.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES * 15]


def lengths(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.linalg.norm(rows, axis=1)
    return found


def test_hog_has_its_shape_and_finite_values() -> None:
    features = Hog().encode(photos())
    assert features.shape == (75, Hog.dim)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert Hog().encode([]).shape == (0, Hog.dim)


@pytest.mark.parametrize("cut", [1, 3, 64, 70])
def test_hog_of_a_picture_does_not_depend_on_the_batch(cut: int) -> None:
    pictures = photos()
    parts = [Hog().encode(pictures[:cut]), Hog().encode(pictures[cut:])]
    np.testing.assert_array_equal(Hog().encode(pictures), np.concatenate(parts))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (12, 200, 99)])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (300, 20)])
def test_hog_of_one_colour_has_no_edges(colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    (row,) = Hog().encode([Image.new("RGB", size, colour)])
    assert np.isfinite(row).all()
    hues, mean, rest = np.split(row, [6 * 6 * 12, 6 * 6 * 12 + 3])
    np.testing.assert_allclose(rest, 0, atol=1e-3)  # neither differences of colour nor edges
    np.testing.assert_allclose(mean, np.array(colour) / 255, atol=1e-5)
    assert np.linalg.norm(hues) == pytest.approx(0 if len(set(colour)) == 1 else 1, abs=1e-5)


def test_hog_tells_place_colour_and_direction_apart() -> None:
    def picture(box: tuple[int, int, int, int], colour: str) -> Image.Image:
        canvas = Image.new("RGB", (64, 64), "white")
        canvas.paste(colour, box)
        return canvas

    base, *others = Hog().encode(
        [
            picture((8, 8, 24, 16), "red"),
            picture((40, 8, 56, 16), "red"),
            picture((8, 8, 24, 16), "blue"),
            picture((8, 8, 16, 24), "red"),
        ]
    )
    for other in others:
        assert float(base @ other) < 0.95 * float(base @ base)


def test_ngrams_have_their_shape_and_unit_length() -> None:
    features = Ngrams().encode(["A red circle", "two dogs, running!", "Ein Bär läuft"])
    assert features.shape == (3, Ngrams.dim)
    assert features.dtype == np.float32
    np.testing.assert_allclose(lengths(features), 1, rtol=1e-6)
    assert Ngrams().encode([]).shape == (0, Ngrams.dim)


@pytest.mark.parametrize("text", ["", " ", ".", " ,;- ", "_"])
def test_a_text_without_words_gives_zeros(text: str) -> None:
    assert not Ngrams().encode([text]).any()


def test_ngrams_see_words_and_their_order_but_not_case_or_points() -> None:
    plain, shouted, turned, other = Ngrams().encode(
        ["a circle above a square", "A CIRCLE above a square .", "a square above a circle", "two dogs run"]
    )
    np.testing.assert_array_equal(plain, shouted)
    assert float(plain @ turned) < 0.9
    assert float(plain @ other) < float(plain @ turned)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(), min_size=1, max_size=6), st.integers(0, 6))
def test_ngrams_of_a_text_do_not_depend_on_the_batch(texts: list[str], cut: int) -> None:
    together = Ngrams().encode(texts)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(
        together, np.concatenate([Ngrams().encode(texts[:cut]), Ngrams().encode(texts[cut:])])
    )


def test_encoders_give_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from PIL import Image; from negbench.pipelines.encoders.hog import Hog;"
        "from negbench.pipelines.encoders.ngrams import Ngrams;"
        "rows = Ngrams().encode(['a red circle']).tobytes() + Hog().encode([Image.radial_gradient('L')]).tobytes();"
        "print(hashlib.sha256(rows).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
