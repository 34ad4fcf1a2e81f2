"""New texts and pictures through a record's model: ``bench search`` and what ``negbench.load`` encodes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import negbench
from commands import bench
from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.exchange.loaded import Loaded
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps import cell
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines import sources
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import pictures
from negbench.pipelines.store import FeatureStore
from small_scenes import SMALL

RUN = Path("runs/small/fne/seed-0")


def pictures_of(run: Loaded) -> list[Image.Image]:
    """Of the test split."""
    manifest = run.cell.manifest
    root = sources.read("small").root("small")
    rows = manifest.images.set_index("image_id")[["file", "row", "content"]].loc[list(run.gallery.image_ids)]
    return [pictures.load(root, *row) for row in rows.itertuples(index=False)]


def check_encoded(run: Loaded, folder: Path) -> None:
    """What is new is encoded as the test was, wherever a picture comes from."""
    gallery, images = run.gallery, pictures_of(run)
    texts = run.encode_texts(run.cell.texts)
    torch.testing.assert_close(texts, gallery.captions, atol=1e-5, rtol=0)
    torch.testing.assert_close(run.encode_images(images), gallery.images, atol=1e-5, rtol=0)
    paths = [folder / f"{row}.png" for row in range(3)]
    for path, image in zip(paths, images, strict=False):
        image.save(path)
    torch.testing.assert_close(run.encode_images([paths[0], str(paths[1])]), gallery.images[:2], atol=1e-5, rtol=0)
    assert torch.equal(run.encode_texts(run.cell.texts[:2]), run.encode_texts(run.cell.texts[:2]))  # no dropout
    assert run.encode_texts([]).shape == run.encode_images([]).shape == (0, gallery.images.shape[1])


def test_new_items_come_through_the_frozen_encoder(small_project: Path, tmp_path: Path) -> None:
    check_encoded(negbench.load(RUN), tmp_path)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("a red dog", "texts: a text alone; give a list, as in encode_texts([text])"),
        ([3], "texts: number 0 is no text with a word in it: 3"),
        (["a dog", " "], "texts: number 1 is no text with a word in it: ' '"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(texts: Any, said: str, small_project: Path) -> None:
    with pytest.raises(BenchError) as error:
        negbench.load(RUN).encode_texts(texts)
    assert str(error.value) == said


def test_new_items_come_to_towers_that_read_pixels_and_texts(small_project: Path, tmp_path: Path) -> None:
    words = ("--method", "hardest", "--dataset", "small", "--encoder", "pixels:32+texts", "--out", "here")
    towers = ("--image-tower", "convolution", "--text-tower", "bigru")
    done = bench("run", *words, *towers, *SMALL)
    assert done.exit_code == 0, done.stderr
    check_encoded(negbench.load("here"), tmp_path)
    found = json.loads(bench("search", "here", "a red circle", "--json").stdout)
    assert len(found) == 10


def test_a_text_finds_the_nearest_images(small_project: Path) -> None:
    run = negbench.load(RUN)
    similarity = (run.gallery.images @ run.encode_texts(["a red circle"])[0]).tolist()
    best = sorted(range(20), key=lambda row: -similarity[row])
    done = bench("search", str(RUN), "a red circle", "--top", "3", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [hit["id"] for hit in found] == [run.gallery.image_ids[row] for row in best[:3]]
    assert [hit["similarity"] for hit in found] == pytest.approx([similarity[row] for row in best[:3]])
    first = found[0]
    assert (first["place"], first["file"]) == (1, "data/small/images.npy")
    shown = Image.fromarray(np.load(first["file"])[first["row"]])
    torch.testing.assert_close(run.encode_images([shown])[0], run.gallery.images[best[0]], atol=1e-5, rtol=0)
    table = bench("search", str(RUN), "a red circle", "--top", "50").stdout
    assert table.count("test-") == 20
    assert f"data/small/images.npy, row {first['row']}" in table


def test_what_cannot_encode_a_text_says_so(small_project: Path) -> None:
    gallery = negbench.load(RUN).gallery
    negbench.record("small", gallery.images, gallery.captions, method="B")
    for words, message in (
        (["runs/small/external/B/seed-0", "a dog"], "trained elsewhere"),
        (["nowhere", "a dog"], "no run.json"),
    ):
        done = bench("search", *words)
        assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
        assert message in done.stderr


def test_features_of_nobody_knows_what_take_nothing_new(tiny: tuple[Manifest, FeatureStore]) -> None:
    recipe: dict[str, Any] = {"epochs": 2, "batch": 20, "memory": 0, "dim": 8}
    config = RunConfig(method="hardest", dataset="tiny", encoder="made+up", **recipe)
    cell.run(config, Path("run"), *tiny, Watcher())
    done = bench("search", "run", "a dog")
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
    assert "do not say what encoded them" in done.stderr
    with pytest.raises(NoDataError, match="no new picture"):
        negbench.load("run").encode_images([Image.new("RGB", (8, 8))])


def test_a_dataset_of_features_has_files_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    for split, images in (("train", 30), ("dev", 12), ("test", 12)):
        np.save(f"raw/{split}_ims.npy", np.random.default_rng(0).normal(size=(images, 6)).astype(np.float32))
        lines = [f"a caption {k} of {split} {n}" for n in range(images) for k in range(5)]
        Path(f"raw/{split}_caps.txt").write_text("\n".join(lines))
    assert bench("data", "add", "my", "--from", "raw", "--format", "precomp").exit_code == 0
    assert bench("run", "--method", "hardest", "--dataset", "my", *SMALL, "--out", "run").exit_code == 0
    found = json.loads(bench("search", "run", "a caption", "--top", "2", "--json").stdout)
    assert [(hit["place"], hit["file"], hit["row"]) for hit in found] == [(1, None, None), (2, None, None)]
    with pytest.raises(NoDataError, match="came with the dataset, so no new picture can be encoded"):
        negbench.load("run").encode_images([Image.new("RGB", (8, 8))])


def test_an_encoder_that_is_another_by_now_is_not_used(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from negbench.pipelines.encoders.ngrams import Ngrams

    run = negbench.load(RUN)
    assert len(run.gallery.captions) == 100
    monkeypatch.setattr(Ngrams, "revision", "2")
    with pytest.raises(NoDataError, match=r"encoder 'ngrams' is another by now \(2, not 1\)"):
        run.encode_texts(["a dog"])
