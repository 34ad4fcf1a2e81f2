"""Counting ranks against an obviously right version on the whole matrix."""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from negbench.benchmark.evaluation.metrics import chance_rsum, metrics
from negbench.benchmark.evaluation.ranks import BLOCK, TILE, Grid, Ranks, Ties, ranks
from negbench.benchmark.speed.evaluation_cost import measure


def position(positive: float, negatives: list[float]) -> float:
    greater = sum(value > positive for value in negatives)
    tied = sum(value == positive for value in negatives)
    return 1 + greater + tied / 2


def naive(images: Tensor, captions: Tensor, caption_image: Tensor) -> tuple[list[float], list[float]]:
    """Query by query on the full matrix."""
    matrix = (images.float() @ captions.float().T).tolist()
    owner = caption_image.tolist()
    i2t, t2i = [], []
    for image, row in enumerate(matrix):
        own = [value for value, o in zip(row, owner, strict=True) if o == image]
        if own:
            i2t.append(position(max(own), [value for value, o in zip(row, owner, strict=True) if o != image]))
    for caption, image in enumerate(owner):
        column = [row[caption] for row in matrix]
        t2i.append(position(column[image], column[:image] + column[image + 1 :]))
    return i2t, t2i


def same(found: Ranks, expected: tuple[list[float], list[float]]) -> bool:
    assert found.i2t.dtype == found.t2i.dtype == torch.float32
    return (found.i2t.tolist(), found.t2i.tolist()) == expected


@st.composite
def galleries(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Small integers, so that products are exact and ties abound; sizes beyond one block; any owners."""
    count, total = draw(st.integers(1, 150)), draw(st.integers(1, 200))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    values, dim = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    features = torch.randint(-values, values + 1, (count + total, dim), generator=random).float()
    owners = torch.randint(draw(st.integers(1, count)), (total,), generator=random)
    return features[:count], features[count:], owners


@settings(max_examples=40, deadline=None)
@given(galleries(), st.sampled_from([1, TILE, 2 * TILE, BLOCK]))
def test_equals_the_naive_version_with_many_ties(gallery: tuple[Tensor, Tensor, Tensor], block: int) -> None:
    assert same(ranks(*gallery, block=block), naive(*gallery))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_equals_the_naive_version_on_real_values(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(1)
    images = torch.randn(150, 40, generator=random).to(dtype)
    owner = torch.randint(150, (400,), generator=random)
    captions = (images[owner] + 2 * torch.randn(400, 40, generator=random)).to(dtype)
    expected = naive(images, captions, owner)
    for block in (64, 128, 192, 512):
        assert same(ranks(images, captions, owner, block=block), expected)


@pytest.mark.parametrize("dim", [5, 77, 768])
@pytest.mark.parametrize("block", [64, 128, 320])
def test_duplicates_tie_exactly_wherever_they_stand(dim: int, block: int) -> None:
    """Five distinct images, each many times over, with a caption each: all copies tie, half of them before."""
    random = torch.Generator().manual_seed(2)
    kinds = torch.nn.functional.normalize(torch.randn(5, dim, generator=random), dim=1)
    kind = torch.randint(5, (397,), generator=random)
    others = torch.bincount(kind)[kind] - 1
    found = ranks(kinds[kind], kinds[kind], torch.arange(397), block=block)
    assert torch.equal(found.i2t, 1 + others / 2)
    assert torch.equal(found.t2i, 1 + others / 2)


def test_the_order_of_captions_does_not_matter() -> None:
    random = torch.Generator().manual_seed(3)
    images, captions = torch.randn(90, 16, generator=random), torch.randn(450, 16, generator=random)
    owner = torch.arange(450) // 5
    shuffle = torch.randperm(450, generator=random)
    straight, shuffled = ranks(images, captions, owner, 64), ranks(images, captions[shuffle], owner[shuffle], 64)
    assert torch.equal(straight.i2t, shuffled.i2t)
    assert torch.equal(straight.t2i[shuffle], shuffled.t2i)


def test_own_captions_never_count_against_an_image() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    captions = torch.tensor([[0.9, 0.0], [0.9, 0.0], [0.5, 0.0], [0.9, 0.3]])  # three of image 0, one of image 1
    found = ranks(images, captions, torch.tensor([0, 0, 0, 1]))
    assert found.i2t.tolist() == [1.5, 1.0]
    assert found.t2i.tolist() == [1, 1, 1, 2]


def test_an_image_without_captions_is_no_query_but_stands_in_the_gallery() -> None:
    images = torch.tensor([[2.0], [1.0], [3.0]])
    found = ranks(images, torch.tensor([[1.0], [1.0]]), torch.tensor([1, 0]))
    assert found.i2t.tolist() == [1.5, 1.5]
    assert found.t2i.tolist() == [3, 2]


def test_one_image() -> None:
    found = ranks(torch.ones(1, 4), torch.ones(3, 4), torch.zeros(3, dtype=torch.long))
    assert found.i2t.tolist() == [1]
    assert found.t2i.tolist() == [1, 1, 1]


@given(st.integers(20, 80), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_a_collapsed_model_does_not_score_above_chance(images: int, each: int) -> None:
    owner = torch.arange(images * each) // each
    found = ranks(torch.full((images, 7), 0.3), torch.full((images * each, 7), 0.7), owner)
    result = metrics(found)
    assert result["rsum"] <= chance_rsum(owner, images)
    assert result["t2i_meanr"] == pytest.approx((images + 1) / 2)


def test_autocast_does_not_lower_the_precision() -> None:
    random = torch.Generator().manual_seed(4)
    images, captions = torch.randn(70, 32, generator=random), torch.randn(140, 32, generator=random)
    owner = torch.arange(140) // 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ranks(images.requires_grad_(), captions, owner)
    assert same(found, naive(images.detach(), captions, owner))


@pytest.mark.parametrize(
    "images, captions, owner, message",
    [
        (torch.ones(2, 3), torch.ones(2, 4), torch.tensor([0, 1]), "must be"),
        (torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0]), "caption_image"),
        (torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0, 2]), "rows 0 to 2"),
        (torch.ones(2, 3), torch.ones(2, 3), torch.tensor([-1, 1]), "rows -1 to 1"),
        (torch.ones(2, 3), torch.ones(0, 3), torch.tensor([], dtype=torch.long), "no captions"),
        (torch.full((2, 3), torch.nan), torch.ones(2, 3), torch.tensor([0, 1]), "images' features hold NaN"),
        (torch.ones(2, 3), torch.full((2, 3), torch.inf), torch.tensor([0, 1]), "captions' features hold NaN"),
        (torch.full((2, 3), 1e30), torch.full((2, 3), -1e30), torch.tensor([0, 1]), "overflow"),
    ],
)
def test_wrong_input_is_refused(images: Tensor, captions: Tensor, owner: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranks(images, captions, owner)


def test_arrays_are_told() -> None:
    arrays = {"images": torch.ones(2, 3), "captions": torch.ones(2, 3), "caption_image": torch.tensor([0, 1])}
    for name, value in arrays.items():
        changed: dict[str, Any] = {**arrays, name: value.numpy()}
        with pytest.raises(ValueError, match=rf"^{name}: expected a tensor, got ndarray; torch.as_tensor makes one$"):
            ranks(**changed)


def test_speed_reports_both_times_and_the_peak() -> None:
    found = measure(images=100, captions=500, dim=32, threads=1, repeats=1)
    assert found["ratio"] == pytest.approx(found["step_ms"] / found["product_ms"])
    assert found["peak_mb"] > 10
    assert [found[key] for key in ("images", "captions", "dim", "threads")] == [100, 500, 32, 1]


def argsorted(matrix: NDArray[Any], positives: list[set[int]]) -> list[int]:
    """The loop of VSE++ and its heirs: 1 + the least place of a positive in the reversed argsort."""
    return [
        1 + min(int(np.flatnonzero(np.argsort(row, kind="stable")[::-1] == own)[0]) for own in positive)
        for row, positive in zip(matrix, positives, strict=True)
    ]


@settings(max_examples=30, deadline=None)
@given(galleries(), st.sampled_from([TILE, BLOCK]))
def test_reference_ranks_are_those_of_the_common_argsort(gallery: tuple[Tensor, Tensor, Tensor], block: int) -> None:
    """Duplicates abound; images have captions anywhere, and any number of them."""
    images, captions, caption_image = gallery
    matrix, owner = (images @ captions.T).numpy(), caption_image.tolist()
    found = ranks(*gallery, block=block, ties="reference")
    own = [{caption for caption, image in enumerate(owner) if image == row} for row in range(len(images))]
    queries = [row for row in range(len(images)) if own[row]]
    assert found.i2t.tolist() == argsorted(matrix[queries], [own[row] for row in queries])
    assert found.t2i.tolist() == argsorted(matrix.T, [{image} for image in owner])


def test_without_ties_every_rule_is_the_unstable_argsort_of_the_references() -> None:
    random = torch.Generator().manual_seed(5)
    images, captions = torch.randn(200, 32, generator=random), torch.randn(1000, 32, generator=random)
    owner = torch.arange(1000) // 5
    matrix = torch.cat([torch.cat(list(row), dim=1) for row in blocks(images, captions)]).numpy()
    i2t = [min(np.flatnonzero(np.isin(np.argsort(row)[::-1], range(5 * k, 5 * k + 5)))) for k, row in enumerate(matrix)]
    t2i = [np.flatnonzero(np.argsort(row)[::-1] == k // 5)[0] for k, row in enumerate(matrix.T)]
    for ties in get_args(Ties):
        found = ranks(images, captions, owner, ties=ties)
        assert found.i2t.tolist() == [1 + rank for rank in i2t]
        assert found.t2i.tolist() == [1 + rank for rank in t2i]


def blocks(images: Tensor, captions: Tensor) -> Iterator[Iterator[Tensor]]:
    grid = Grid(images, captions, torch.arange(len(captions)), TILE)
    for row in range(grid.rows):
        yield (grid.product(row, column).clone() for column in range(grid.columns))


@settings(max_examples=30, deadline=None)
@given(galleries())
def test_the_middle_lies_halfway_and_the_others_between_the_ends(gallery: tuple[Tensor, Tensor, Tensor]) -> None:
    found = {ties: ranks(*gallery, ties=ties) for ties in get_args(Ties)}
    for mid, kind, harsh, reference in zip(
        *(found[ties] for ties in ("mid", "optimistic", "pessimistic", "reference")), strict=True
    ):
        assert torch.equal(mid, (kind + harsh) / 2)
        assert ((kind >= 1) & (kind <= reference) & (reference <= harsh)).all()


def test_a_collapsed_model_by_every_rule() -> None:
    found = {
        ties: ranks(torch.ones(4, 3), torch.ones(8, 3), torch.arange(8) // 2, ties=ties) for ties in get_args(Ties)
    }
    assert {ties: (each.i2t.tolist(), each.t2i.tolist()[::2]) for ties, each in found.items()} == {
        "mid": ([4] * 4, [2.5] * 4),
        "optimistic": ([1] * 4, [1] * 4),
        "pessimistic": ([7] * 4, [4] * 4),
        "reference": ([7, 5, 3, 1], [4, 3, 2, 1]),  # the first is ranked last
    }


@pytest.mark.parametrize("ties", get_args(Ties))
def test_no_block_and_no_thread_changes_a_rank(ties: Ties) -> None:
    """Real values with many copies: one bit of difference between two products would break the ties."""
    random = torch.Generator().manual_seed(6)
    images = torch.nn.functional.normalize(torch.randn(700, 96, generator=random), dim=1)[torch.arange(700) // 2]
    owner = torch.randint(700, (1500,), generator=random)
    captions = images[owner] + 0.3 * torch.randn(30, 96, generator=random).repeat(50, 1)
    expected = ranks(images, captions, owner, ties=ties)
    for block, threads in ((64, 1), (64, 4), (320, 2), (512, 3), (2048, 4)):
        torch.set_num_threads(threads)
        try:
            found = ranks(images, captions, owner, block, ties)
        finally:
            torch.set_num_threads(1)
        assert torch.equal(found.i2t, expected.i2t)
        assert torch.equal(found.t2i, expected.t2i)
