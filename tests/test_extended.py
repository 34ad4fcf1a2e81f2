"""Metrics with extended positives: against an obviously right version, eccv_caption and torchmetrics."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from negbench.benchmark.evaluation import eccv
from negbench.benchmark.evaluation.extended import (
    Positions,
    Positives,
    Relation,
    extended_metrics,
    positions,
    precisions,
    stripes,
)
from negbench.benchmark.evaluation.metrics import CUTOFFS, metrics
from negbench.benchmark.evaluation.positives import of_texts, of_truth
from negbench.benchmark.evaluation.protocols import PROTOCOLS, measure
from negbench.benchmark.evaluation.ranks import BLOCK, Grid, Ranks, Ties, ranks
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps import cell
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.store import FeatureStore, Split
from negbench.pipelines.truth import Truth
from recorded import forget_truth


def split_of(images: int, owner: Sequence[int], captions: Sequence[str] | None = None) -> Split:
    """A split with no features."""
    rows: Any = np.zeros((0, 1), dtype=np.float32)
    return Split(
        images=rows,
        captions=rows,
        caption_image=np.array(owner, dtype=np.int64),
        image_rows=np.arange(images),
        caption_rows=np.arange(len(owner)),
        image_ids=[f"i{row}" for row in range(images)],
        caption_ids=list(captions or (f"c{row}" for row in range(len(owner)))),
        room=max(images, len(owner)),
    )


def labelled(owner: Tensor) -> Positives:
    image, caption = owner.numpy(), np.arange(len(owner))
    return Positives(Relation.of(image, caption), Relation.of(caption, image))


def ranking(similarity: Sequence[float], positive: set[int], ties: Ties) -> list[float]:
    """Positions of the positives of one query: each sees the negatives, and the positives before it."""
    found = []
    best_first = sorted(positive, key=lambda item: (similarity[item], item), reverse=True)
    for place, own in enumerate(best_first, start=1):
        negatives = [item for item in range(len(similarity)) if item not in positive]
        more = sum(similarity[item] > similarity[own] for item in negatives)
        tied = [item for item in negatives if similarity[item] == similarity[own]]
        late = sum(item > own for item in tied)
        found.append(
            place + more + {"mid": len(tied) / 2, "optimistic": 0, "pessimistic": len(tied), "reference": late}[ties]
        )
    return found


def naive(matrix: Tensor, relation: Relation, ties: Ties) -> list[float]:
    found: list[float] = []
    for query in relation.queries.tolist():
        positive = set(relation.item[relation.query == query].tolist())
        found += ranking(matrix[query].tolist(), positive, ties)
    return found


@st.composite
def related(draw: st.DrawFn) -> tuple[Tensor, Tensor, Positives]:
    """Small integers, so that ties abound; queries with few or many positives, or none."""
    count, total = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    features = torch.randint(-2, 3, (count + total, draw(st.integers(1, 3))), generator=random).float()
    share = draw(st.sampled_from([0.02, 0.3, 0.9]))
    relations = []
    for queries, items in ((count, total), (total, count)):
        pairs = torch.rand(queries, items, generator=random) < share
        pairs[draw(st.integers(0, queries - 1)), draw(st.integers(0, items - 1))] = True
        relations.append(Relation.of(*pairs.nonzero().numpy().T))
    return features[:count], features[count:], Positives(*relations)


@settings(max_examples=40, deadline=None)
@given(related(), st.sampled_from([1, 128, BLOCK]), st.sampled_from(get_args(Ties)))
def test_equals_the_naive_version_with_many_ties(
    case: tuple[Tensor, Tensor, Positives], block: int, ties: Ties
) -> None:
    images, captions, positives = case
    i2t, t2i = positions(*case, block=block, ties=ties)
    matrix = images @ captions.T
    assert i2t.position.tolist() == naive(matrix, positives.i2t, ties)
    assert t2i.position.tolist() == naive(matrix.T, positives.t2i, ties)
    assert i2t.size.tolist() == np.unique(positives.i2t.query, return_counts=True)[1].tolist()


@pytest.mark.parametrize("ties", get_args(Ties))
@pytest.mark.parametrize("each", [1, 3])
def test_with_labelled_pairs_alone_the_first_positions_are_the_plain_ranks(each: int, ties: Ties) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(150, 24, generator=random), dim=1)
    images[75:] = images[:75]
    owner = torch.arange(150).repeat_interleave(each)[torch.randperm(150 * each, generator=random)]
    captions = images[owner] + 0.5 * torch.randn(len(owner), 24, generator=random)
    plain = ranks(images, captions, owner, ties=ties)
    for block, threads in ((64, 1), (192, 2), (BLOCK, 3)):
        torch.set_num_threads(threads)
        try:
            found = positions(images, captions, labelled(owner), block, ties)
        finally:
            torch.set_num_threads(1)
        assert Ranks(*(each.first for each in found)).i2t.tolist() == plain.i2t.tolist()
        assert found[1].first.tolist() == plain.t2i.tolist()
    result = extended_metrics("own", *found, 150, len(owner))
    assert result["own_rsum"] == pytest.approx(metrics(plain)["rsum"])
    assert result["own_t2i_r_precision"] == result["own_t2i_map_at_r"] == result["own_t2i_r1"]


def test_a_positive_beyond_the_gallery_counts_and_is_never_found() -> None:
    images, captions = torch.eye(3), torch.eye(3)
    back = Relation.of_lists({0: [0]})
    found, _ = positions(images, captions, Positives(Relation.of_lists({0: [0, -1, -2], 1: [-1]}), back))
    assert found.size.tolist() == [3, 1]
    assert found.position.tolist() == [1, torch.inf, torch.inf, torch.inf]
    assert precisions(found)[0].tolist() == pytest.approx([1 / 3, 0])


def test_precisions_by_hand() -> None:
    """Three positives at 1, 3 and 7; one at 2; two that tie with a negative at the top."""
    found = Positions(torch.tensor([3, 1, 2]), torch.tensor([1.0, 3, 7, 2, 1.5, 2.5]).double())
    r_precision, map_at_r = precisions(found)
    assert r_precision.tolist() == pytest.approx([2 / 3, 0, 1 / 2])
    assert map_at_r.tolist() == pytest.approx([(1 + 2 / 3) / 3, 0, (1 / 1.5) / 2])
    assert found.first.tolist() == [1, 2, 1.5]


@settings(max_examples=30, deadline=None)
@given(related())
def test_bounds_and_order(case: tuple[Tensor, Tensor, Positives]) -> None:
    """mAP@R is at most R-Precision; a kinder rule of ties gives no worse position."""
    by_rule = {ties: positions(*case, ties=ties) for ties in get_args(Ties)}
    for direction in (0, 1):
        kind, mid, harsh = (by_rule[ties][direction].position for ties in ("optimistic", "mid", "pessimistic"))
        reference = by_rule["reference"][direction].position
        assert torch.equal(mid, (kind + harsh) / 2)
        assert ((kind <= reference) & (reference <= harsh)).all()
        for found in (each[direction] for each in by_rule.values()):
            r_precision, map_at_r = precisions(found)
            assert ((map_at_r >= 0) & (map_at_r <= r_precision) & (r_precision <= 1)).all()


def test_equals_torchmetrics() -> None:
    from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_hit_rate, retrieval_r_precision

    random = torch.Generator().manual_seed(1)
    images, captions = torch.randn(20, 8, generator=random), torch.randn(30, 8, generator=random)
    pairs = torch.rand(20, 30, generator=random) < 0.2
    pairs[:, 0] = True
    relation = Relation.of(*pairs.nonzero().numpy().T)
    found, _ = positions(images, captions, Positives(relation, Relation.of(relation.item, relation.query)))
    r_precision, map_at_r = precisions(found)
    matrix = images @ captions.T
    for query, (row, own) in enumerate(zip(matrix, pairs, strict=True)):
        count = int(own.sum())
        assert r_precision[query].item() == pytest.approx(retrieval_r_precision(row, own).item())
        # torchmetrics divides by the positives found, mAP@R by all of them
        ap = retrieval_average_precision(row, own, top_k=count).item() * float(r_precision[query])
        assert map_at_r[query].item() == pytest.approx(ap)
        for cutoff in (1, 3, 7):
            assert float(found.first[query] <= cutoff) == retrieval_hit_rate(row, own, top_k=cutoff).item()


def coco_ids() -> tuple[list[int], list[int]]:
    """Caption ids in the order of COCO's test file, and the row of the image of each."""
    data = eccv.folder()
    assert data is not None
    captions = np.load(data / "coco_test_ids.npy").tolist()
    image_of = eccv.read(data, "original_caption_to_image")
    image_ids = list(dict.fromkeys(image_of[str(caption)][0] for caption in captions))
    row_of = {image: row for row, image in enumerate(image_ids)}
    return captions, [row_of[image_of[str(caption)][0]] for caption in captions]


@pytest.mark.parametrize("noise", [0.6, pytest.param(None, marks=pytest.mark.thorough)], ids=["structured", "random"])
def test_equals_eccv_caption_on_coco(noise: float | None) -> None:
    pytest.importorskip("tqdm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would rather have ujson
        package = pytest.importorskip("eccv_caption")
    caption_ids, owner = coco_ids()
    split = split_of(5000, owner, [str(caption) for caption in caption_ids])
    theirs = package.Metrics()
    image_ids = [theirs.coco_gts["t2i"][caption][0] for caption in caption_ids[::5]]
    random = torch.Generator().manual_seed(2)
    images = torch.nn.functional.normalize(torch.randn(5000, 12, generator=random), dim=1)
    captions = torch.nn.functional.normalize(torch.randn(25000, 12, generator=random), dim=1)
    if noise is not None:
        captions = images[owner] + noise * captions
    ours: dict[str, float] = {}
    for name, positives in eccv.positives(split).items():
        ours |= extended_metrics(name, *positions(images, captions, positives), 5000, 25000)
    assert len(ours) == 22

    def ranked(rows: slice, k: int) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """The best of a gallery of whole images, by id; from the very similarities that we count."""
        part = slice(5 * rows.start, 5 * rows.stop)
        ids = np.array(image_ids[rows]), np.array(caption_ids[part])
        grid = Grid(images[rows], captions[part], torch.arange(len(ids[1])), BLOCK)
        i2t, t2i = (torch.cat([each.topk(k).indices for each in stripes(grid, back)]) for back in (False, True))
        return (
            dict(zip(ids[0].tolist(), ids[1][i2t].tolist(), strict=True)),
            dict(zip(ids[1].tolist(), ids[0][t2i].tolist(), strict=True)),
        )

    theirs_found = theirs.compute_all_metrics(
        *ranked(slice(0, 5000), 50),
        target_metrics=("coco_5k_recalls", "cxc_recalls", "eccv_r1", "eccv_rprecision", "eccv_map_at_r"),
        Ks=CUTOFFS,
    )
    folds: tuple[dict[int, list[int]], dict[int, list[int]]] = {}, {}
    for first in range(0, 5000, 1000):
        for whole, fold in zip(folds, ranked(slice(first, first + 1000), 10), strict=True):
            whole.update(fold)
    theirs_found |= theirs.compute_all_metrics(*folds, target_metrics=("coco_1k_recalls",), Ks=CUTOFFS)
    plain = metrics(ranks(images, captions, torch.tensor(owner)))
    five = measure(PROTOCOLS["coco"][1], images, captions, torch.tensor(owner))
    names = {"eccv_rprecision": "r_precision", "eccv_map_at_r": "map_at_r", "eccv_r1": "r1"}
    for key, values in theirs_found.items():
        for direction, value in values.items():
            source, _, last = key.rpartition("_")
            if source == "coco_5k":
                own = plain[f"{direction}_{last}"]
            elif source == "coco_1k":
                own = five.metrics[f"{direction}_{last}"]
            elif source == "cxc":
                own = ours[f"cxc_{direction}_{last}"]
            else:
                own = ours[f"eccv_{direction}_{names[key]}"]
            assert own == pytest.approx(100 * value, abs=1e-9), (key, direction)
    assert len(theirs_found) == 12


def test_eccv_asks_for_the_ids_of_coco() -> None:
    captions, owner = coco_ids()
    assert eccv.positives(split_of(5000, owner)) == {}
    assert eccv.positives(split_of(4999, owner[:-5], [str(caption) for caption in captions[:-5]])) == {}
    found = eccv.positives(split_of(5000, owner, [str(caption) for caption in captions]))
    assert {name: (len(each.i2t.query), len(each.t2i.query)) for name, each in found.items()} == {
        "eccv": (22550, 11279),
        "cxc": (35585, 35585),
    }
    assert (len(found["eccv"].i2t.queries), len(found["eccv"].t2i.queries)) == (1261, 1332)


def test_the_truth_and_the_labelled_pairs_are_positives() -> None:
    """Image 2 has no caption of its own: it is no query, but it is found."""
    truth = Truth(np.array([[True], [False], [True]]), np.array([[0], [0]], dtype=np.int32))
    found = of_truth(split_of(3, [0, 1]), truth)
    assert list(zip(found.i2t.query, found.i2t.item, strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert list(zip(found.t2i.query, found.t2i.item, strict=True)) == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_judgements_and_equal_texts_are_positives() -> None:
    texts = ["a dog", "a dog runs", "A dog .", "a cat", "two cats"]  # the first and the third say the same
    owner = [0, 0, 1, 2, 2]
    captions = [(f"c{row}", f"i{owner[row]}", text) for row, text in enumerate(texts)]
    judgements = [
        ("i2", "c1", 2 / 3, "expert"),  # yes
        ("i2", "c1", 0.0, "crowd"),  # the experts say
        ("i1", "c1", 1 / 3, "expert"),  # no
        ("i1", "c1", 1.0, "crowd"),
        ("i0", "c3", 0.5, "crowd"),  # yes
        ("i1", "c3", 0.4, "crowd"),  # no
        ("i2", "c3", 0.0, "expert"),  # labelled all the same
    ]
    manifest = Manifest(
        "made",
        table("images", [(f"i{row}", "test", "", -1, "") for row in range(3)]),
        table("captions", captions),
        table("judgements", judgements),
    )
    found = of_texts(manifest, split_of(3, owner))
    assert list(zip(found.i2t.query.tolist(), found.i2t.item.tolist(), strict=True)) == [
        *((0, item) for item in (0, 1, 2, 3)),
        *((1, item) for item in (0, 2)),
        *((2, item) for item in (1, 3, 4)),
    ]
    assert sorted(zip(found.t2i.item, found.t2i.query, strict=True)) == list(
        zip(found.i2t.query, found.i2t.item, strict=True)
    )


@pytest.mark.parametrize(
    "positives, message",
    [
        (Positives(Relation.of_lists({0: [1]}), Relation.of_lists({0: [2]})), "row 2 of 2 candidates"),
        (Positives(Relation.of_lists({5: [1]}), Relation.of_lists({0: [0]})), "row 5 of 2 queries"),
        (Positives(Relation.of_lists({}), Relation.of_lists({0: [0]})), "no query has a positive"),
    ],
)
def test_wrong_positives_are_refused(positives: Positives, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        positions(torch.eye(2), torch.eye(2), positives)


def test_a_query_without_positives_and_a_cutoff_beyond_the_gallery() -> None:
    with pytest.raises(ValueError, match="query 7 has no positive; leave it out"):
        Relation.of_lists({3: [1], 7: []})
    one = Positions(torch.tensor([1]), torch.tensor([1.0]))
    with pytest.raises(ValueError, match="R@10 needs a gallery of at least 10 images; this one has 9"):
        extended_metrics("own", one, one, 9, 45)
    with pytest.raises(ValueError, match="R@50 needs a gallery of at least 50 captions; this one has 45"):
        extended_metrics("own", one, one, 50, 45, (1, 50))
    with pytest.raises(ValueError, match="R@0: K counts from 1"):
        extended_metrics("own", one, one, 50, 45, (0,))
    with pytest.raises(ValueError, match="hold NaN"):
        positions(torch.full((2, 2), torch.nan), torch.eye(2), labelled(torch.arange(2)))
    with pytest.raises(ValueError, match="ties: 'first' is none of mid"):
        positions(torch.eye(2), torch.eye(2), labelled(torch.arange(2)), ties="first")  # type: ignore[arg-type]


def test_a_record_holds_them(tiny: tuple[Manifest, FeatureStore], tmp_path: Path) -> None:
    manifest, store = tiny
    config = RunConfig(method="hardest", dataset="tiny", encoder="made+up", epochs=2, batch=16, memory=8, dim=8)
    found = cell.run(config, tmp_path / "known", manifest, store, Watcher()).metrics
    for key in (f"{direction}_r{cutoff}" for direction in ("i2t", "t2i") for cutoff in CUTOFFS):
        assert found[key] <= found[f"true_{key}"] <= 100
    assert found["rsum"] < found["true_rsum"] <= 600
    assert 0 < found["true_i2t_map_at_r"] <= found["true_i2t_r_precision"] <= 100
    forget_truth(tmp_path / "data/tiny")
    unknown = cell.run(config, tmp_path / "unknown", manifest, store, Watcher()).metrics
    assert {key for key in unknown if not key.startswith("extended_")} == {
        key for key in found if not key.startswith("true_")
    }
    assert unknown["extended_rsum"] == pytest.approx(unknown["rsum"])
