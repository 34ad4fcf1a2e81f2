"""The pictures of scenes: shapes that differ, things where they stand."""

import numpy as np

from negbench.pipelines.scenes.render import render, shape_mask
from negbench.pipelines.scenes.world import KINDS, SIZES, Scene, Thing, generator


def test_shapes_differ_and_fit_their_cell() -> None:
    masks = [shape_mask(kind, size, angle) for kind in KINDS for size in SIZES for angle in range(5)]
    for mask in masks:
        assert 0 <= mask.min() <= mask.max() == 1
        assert max(np.ptp(np.flatnonzero(mask.any(axis=axis))) for axis in (0, 1)) <= 23
    large = [shape_mask(kind, "large", 2) for kind in KINDS]
    for row, one in enumerate(large):
        for other in large[:row]:
            assert abs(one - other).sum() > 0.12 * max(one.sum(), other.sum())


def test_a_picture_shows_its_things_where_they_stand() -> None:
    thing = Thing("square", "red", "large", 2, 0)
    lots = [generator(0, 0, 0, "picture") for _ in range(2)]
    difference = abs(
        render(Scene("snow", (thing,)), lots[0]).astype(int) - render(Scene("snow", ()), lots[1]).astype(int)
    ).sum(axis=2)
    rows, columns = np.nonzero(difference > 60)
    assert 43 - 4 < rows.min() < rows.max() < 64
    assert 0 <= columns.min() < columns.max() < 21 + 4
