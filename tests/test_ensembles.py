"""Ensembles: mean similarities, and similarities that are ranked by blocks."""

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

import negbench
from commands import Done, bench
from negbench.benchmark.evaluation.extended import placed, positions
from negbench.benchmark.evaluation.protocols import Protocol, measure, measure_scores
from negbench.benchmark.evaluation.ranks import Products, ranked, ranks
from negbench.benchmark.evaluation.scores import MeanScores, StoredScores
from negbench.benchmark.exchange.given import GivenArray
from negbench.benchmark.exchange.loaded import Loaded
from negbench.benchmark.results import integrity
from outside import MATRIX, PLACE, RUN, check_same, ranks_of, recorded
from test_extended import labelled

# --- Ensembles --------------------------------------------------------------------------------------------------


def ensemble(*words: str) -> Done:
    done = bench("record", "--ensemble", *words)
    assert done.exit_code == 0, done.stderr
    return done


def test_an_ensemble_of_a_run_with_itself_is_that_run(own: Loaded) -> None:
    done = ensemble(str(RUN), str(RUN))
    place = Path("runs/small/external/ensemble-fne/seed-0")
    check_same(place)
    assert "without an audit: a mean of similarities has no embeddings" in done.stderr
    record = integrity.read(place)
    assert record.external is not None
    assert [str(member) for member in record.external.members] == ["fne, seed 0"] * 2
    assert record.external.members[0].config_hash == own.record.config_hash
    assert "mean similarity of fne, seed 0; fne, seed 0" in bench("leaderboard", "--format", "md").stdout
    assert "already recorded" in ensemble(str(RUN), str(RUN)).stderr


def test_an_ensemble_ranks_by_the_mean_similarity(own: Loaded) -> None:
    gallery, noise = own.gallery, torch.Generator().manual_seed(0)
    images = normalize(torch.randn(20, 5, generator=noise), dim=1)
    captions = normalize(images[gallery.caption_image] + 0.5 * torch.randn(100, 5, generator=noise), dim=1)
    other = negbench.record("small", images, captions, method="other")
    ensemble(str(RUN), str(other.folder), "--method", "both", "--out", "both")
    mean = (gallery.images @ gallery.captions.T + images @ captions.T) / 2
    scores = StoredScores(mean.numpy(), np.arange(20), np.arange(100))
    assert ranks_of(Path("both")).i2t.tolist() == ranked(scores, gallery.caption_image).i2t.tolist()


def test_members_need_embeddings_and_one_dataset(own: Loaded) -> None:
    recorded(*MATRIX)
    done = bench("record", "--ensemble", str(RUN), str(PLACE))
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
    assert "no embeddings were given of SGRAF" in done.stderr
    shutil.copy("data/small.yaml", "data/other.yaml")
    negbench.record("other", own.gallery.images, own.gallery.captions, method="B")
    done = bench("record", "--ensemble", str(RUN), "runs/other/external/B/seed-0")
    assert (done.exit_code, "of other, but" in done.stderr) == (3, True)


# --- Similarities by blocks -------------------------------------------------------------------------------------


def test_stored_similarities_are_ranked_as_products_in_any_order_and_by_folds() -> None:
    stream = torch.Generator().manual_seed(5)
    images = normalize(torch.randn(150, 6, generator=stream), dim=1).round(decimals=1)  # with ties
    owner = torch.arange(450) // 3
    captions = normalize(images[owner] + torch.randn(450, 6, generator=stream), dim=1).round(decimals=1)
    array = Products(images, captions).blocks(None, torch.arange(450), 512).product(0, 0).numpy().copy()
    rows, columns = np.random.default_rng(0).permutation(150), np.random.default_rng(1).permutation(450)
    stored = StoredScores(array[rows][:, columns], np.argsort(rows), np.argsort(columns))
    expected = ranks(images, captions, owner)
    for block in (64, 512):
        for scores in (stored, MeanScores([stored, Products(images, captions)])):
            found = ranked(scores, owner, block=block)
            assert (found.i2t.tolist(), found.t2i.tolist()) == (expected.i2t.tolist(), expected.t2i.tolist())
    for one, other in zip(placed(stored, labelled(owner)), positions(images, captions, labelled(owner)), strict=True):
        assert one.position.tolist() == other.position.tolist()
    protocol = Protocol(name="folds", images=50, captions=150, folds=3)
    assert measure_scores(protocol, stored, owner) == measure(protocol, images, captions, owner)


def test_a_large_matrix_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    size = (2000, 4000)
    array = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", np.float32, size)
    for start in range(0, size[0], 100):
        array[start : start + 100] = np.random.default_rng(start).normal(size=(100, size[1]))
    del array
    given = GivenArray.read(tmp_path / "m.npy")
    assert given is not None
    tracemalloc.start()
    given.check("[images, captions]")
    scores = StoredScores(given.values, np.arange(size[0]), np.random.default_rng(0).permutation(size[1]))
    ranked(scores, torch.arange(size[1]) // 2)
    assert len(scores.digest()) == 32
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < given.values.nbytes / 3
