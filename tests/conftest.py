"""A tiny project: 60 images in a folder of their own, made in milliseconds; a small one that was run once."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from negbench.pipelines import sources
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.store import FeatureStore, digest_of, digests
from negbench.pipelines.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from negbench.benchmark.exchange.loaded import Loaded
    from negbench.methods.base import Extras

SPLITS = {"train": 40, "val": 10, "test": 10}
CAPTIONS = 3
DIM = 12


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Threads would wait for each other longer than they work on small tensors."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of whoever's terminal the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Manifest, FeatureStore]:
    """Dataset ``tiny`` with encoder ``made+up``, in the current directory; learnable, with known truth.

    Images of the same kind (of 8) share their facts, so captions are true of all images of the kind.
    """
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images, captions, kinds = [], [], []
    for split, count in SPLITS.items():
        for number in range(count):
            name = f"{split}{number}"
            kinds.append(rng.integers(8))
            images.append((name, split, "", -1, name))
            captions += [(f"{name}#{k}", name, f"caption {k} of {name}") for k in range(CAPTIONS)]
    folder = sources.manifest_folder("tiny")
    folder.mkdir(parents=True)
    facts = np.eye(8, dtype=bool)[kinds]
    truth = Truth(facts, np.repeat(np.array(kinds, dtype=np.int32), CAPTIONS)[:, None]).write(folder)
    manifest = Manifest("tiny", table("images", images), table("captions", captions), info={"truth": truth})
    manifest.write(folder)
    sources.write("tiny", sources.Source(format="scenes", encoder="made+up"))

    store = sources.store_folder("tiny", "made+up")
    store.mkdir(parents=True)
    items = rng.normal(size=(len(images), DIM)).astype(np.float32)
    split_of = np.array([row[1] for row in images])
    for split in SPLITS:
        rows = items[split_of == split]
        np.save(store / f"{split}_images.npy", rows + rng.normal(scale=0.2, size=rows.shape).astype(np.float32))
        texts = np.repeat(rows, CAPTIONS, axis=0)
        np.save(store / f"{split}_captions.npy", texts + rng.normal(scale=0.2, size=texts.shape).astype(np.float32))
    split_of_image = manifest.images.set_index("image_id")["split"]
    manifest.images[["image_id", "split"]].to_parquet(store / "images.parquet", index=False)
    (
        manifest.captions[["caption_id", "image_id"]]
        .assign(split=manifest.captions["image_id"].map(split_of_image))
        .to_parquet(store / "captions.parquet", index=False)
    )
    files = digests(store)
    info = {
        "files": files,
        "schema_version": 1,
        "dataset": "tiny",
        "encoder": "made+up",
        "manifest": manifest.hash,
        "hash": digest_of(files),
    }
    (store / "features.json").write_text(json.dumps(info))
    return manifest, FeatureStore(store, manifest.hash)


@pytest.fixture(scope="session")
def small_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_scenes``, made once."""
    from small_scenes import make_small

    folder = tmp_path_factory.mktemp("made")
    make_small(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> "Iterator[Any]":
    """Chromium, driven by Playwright; skipped where either is missing."""
    driver = pytest.importorskip("playwright.sync_api", reason="pip install playwright: no driver for a browser")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def own(small_project: Path) -> "Loaded":
    """The cell of a small project, its embeddings and similarities beside it, as if somebody else had made them."""
    import torch

    import negbench

    run = negbench.load(Path("runs/small/fne/seed-0"))
    gallery = run.gallery
    np.save("im.npy", gallery.images.numpy())
    np.save("ca.npy", gallery.captions.numpy())
    every = torch.arange(len(gallery.captions))
    np.save("sim.npy", gallery.scores.blocks(None, every, 512).product(0, 0).numpy())
    Path("i.txt").write_text("\n".join(gallery.image_ids) + "\n")
    Path("c.txt").write_text("\n".join(gallery.caption_ids) + "\n")
    return run


@pytest.fixture
def small_project(small_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be damaged, as the current directory."""
    shutil.copytree(small_made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def extras() -> "Callable[[int, int, int], Extras]":
    """Makes all ``Extras`` for B anchors and N candidates in a joint space of D dimensions."""
    import torch
    from torch import Tensor
    from torch.nn.functional import normalize

    from negbench.methods.base import Extras, Guide, Words

    def made(anchors: int, candidates: int, dim: int) -> Extras:
        stream = torch.Generator().manual_seed(7)

        def unit(*shape: int) -> Tensor:
            return normalize(torch.randn(*shape, generator=stream), dim=-1)

        text = unit(candidates, 5)
        support = torch.cat([text[:anchors, None], unit(anchors, 2, 5)], dim=1)
        table = unit(100, dim)
        words = Words(
            [[f"a {['red', 'blue', 'tiny'][k % 3]} cat {k}", f"cat {k}"] for k in range(anchors)],
            lambda sentences: normalize(torch.stack([table[len(line) % 100] for line in sentences]), dim=1),
        )
        return Extras(torch.arange(anchors), Guide(unit(candidates, 6), text, support), words)

    return made
