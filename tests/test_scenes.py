"""The embedded dataset: what captions say against what pictures show, determinism, ambiguity, bad settings."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from negbench.pipelines.atomic import new_folder
from negbench.pipelines.datasets import scenes
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import KIND, Manifest
from negbench.pipelines.scenes.grammar import MOST_FACTS, caption
from negbench.pipelines.scenes.world import COLOURS, KINDS, Scene, Thing, scene
from negbench.pipelines.sources import Source
from negbench.pipelines.truth import Truth, ambiguity_of

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = {"train": 40, "val": 30, "test": 60}


# A slow evaluator that reads a caption's words and looks at the things, and knows nothing of fact tables.

NUMBER = {"two": 2, "three": 3, "four": 4, "five": 5}
SIZE = {"small": "small", "little": "small", "large": "large", "big": "large"}
BACKGROUND = {
    "on the grass": "grass",
    "in the sky": "sky",
    "on the sand": "sand",
    "at night": "night",
    "in the snow": "snow",
}
RELATION: dict[str, "Callable[[Thing, Thing], bool]"] = {
    "above": lambda a, b: a.row < b.row,
    "over": lambda a, b: a.row < b.row,
    "below": lambda a, b: a.row > b.row,
    "under": lambda a, b: a.row > b.row,
    "to the left of": lambda a, b: a.column < b.column,
    "left of": lambda a, b: a.column < b.column,
    "to the right of": lambda a, b: a.column > b.column,
    "right of": lambda a, b: a.column > b.column,
    "next to": lambda a, b: a.row == b.row and abs(a.column - b.column) == 1,
    "beside": lambda a, b: a.row == b.row and abs(a.column - b.column) == 1,
}
PLACE = re.compile(
    r" (?:on the (left|right)(?: side)?|(?:at|near) the (top|bottom)|in the (middle|centre)"
    r"|in the (top|upper|bottom|lower) (left|right) corner)$"
)


def stands(thing: Thing, place: re.Match[str]) -> bool:
    side, end, middle, corner_end, corner_side = place.groups()
    row = {"top": 0, "upper": 0, "bottom": 2, "lower": 2}
    column = {"left": 0, "right": 2}
    if middle:
        return (thing.row, thing.column) == (1, 1)
    asked_row, asked_column = row.get(end or corner_end), column.get(side or corner_side)
    return asked_row in (None, thing.row) and asked_column in (None, thing.column)


def matching(phrase: str, things: tuple[Thing, ...]) -> tuple[int, list[Thing]]:
    """The number a phrase asks for (0: at least one) and the things that its other words fit."""
    place = PLACE.search(phrase)
    words = phrase[: place.start() if place else None].split()
    number = NUMBER.get(words[0], 0)
    assert number or words[0] in ("a", "an", "something")
    found = []
    for thing in things:
        fits = place is None or stands(thing, place)
        for word in words[1:]:
            if word in SIZE:
                fits &= thing.size == SIZE[word]
            elif word in COLOURS:
                fits &= thing.colour == word
            elif word not in ("shape", "shapes"):
                kind = word if word in KINDS else word.removesuffix("es" if word == "crosses" else "s")
                assert kind in KINDS, word
                fits &= thing.kind == kind
        if fits:
            found.append(thing)
    return number, found


def said(phrase: str, things: tuple[Thing, ...]) -> bool:
    number, found = matching(phrase, things)
    return len(found) == number if number else len(found) > 0


def is_true(text: str, of: Scene) -> bool:
    """Whether a caption is true of a scene, from its words alone."""
    rest = text[0].lower() + text[1:]
    for words, background in BACKGROUND.items():
        before = re.search(rf"^{words}, | {words}(?=,| and nothing|$)", rest)
        if before:
            if of.background != background:
                return False
            rest = rest[: before.start()] + rest[before.end() :]
    mentioned = None
    if only := re.search(r"(,| and) nothing else$", rest):
        rest, mentioned = rest[: only.start()], 0
    if among := re.match(r"(\w+) shapes, among them ", rest):
        if len(of.things) != NUMBER[among[1]]:
            return False
        rest = rest[among.end() :]
    relation = re.search(rf",? ({'|'.join(sorted(RELATION, key=len, reverse=True))}) (?=an? |something )", rest)
    if relation:
        one, other = rest[: relation.start()], rest[relation.end() :]
        holds = RELATION[relation[1]]
        pairs = [(a, b) for a in matching(one, of.things)[1] for b in matching(other, of.things)[1]]
        true, count = any(a is not b and holds(a, b) for a, b in pairs), 2
    else:
        parts = rest.split(" and ")
        true, count = all(said(part, of.things) for part in parts), sum(NUMBER.get(p.split()[0], 1) for p in parts)
    return true and (mentioned is None or len(of.things) == count)


# Built once per setting.


@cache
def built(**settings: Any) -> tuple[Manifest, Truth]:
    source = Source(format="scenes", encoder="hog+ngrams", settings=SMALL | settings)
    with TemporaryDirectory() as folder:
        manifest = scenes.build("scenes", source, Path(folder))
        truth = Truth.load(Path(folder) / "truth.npz")
    return manifest, truth


def split_rows(manifest: Manifest, split: str) -> tuple[np.ndarray, np.ndarray]:
    images = np.flatnonzero(manifest.images["split"] == split)
    captions = np.flatnonzero(manifest.captions["image_id"].str.startswith(split))
    return images, captions


@pytest.mark.parametrize("ambiguity", [0.0, 0.5, 1.0])
def test_truth_agrees_with_the_words_read_against_the_things(ambiguity: float) -> None:
    manifest, truth = built(ambiguity=ambiguity)
    of_split = scenes.scenes(scenes.settings("scenes", SMALL))["test"]
    images, captions = split_rows(manifest, "test")
    texts = manifest.captions["text"].iloc[captions]
    expected = np.array([[is_true(text, one) for text in texts] for one in of_split])
    found = truth.matrix(images, captions)
    wrong = np.argwhere(found != expected)
    assert not len(wrong), (of_split[wrong[0][0]], texts.iloc[wrong[0][1]])
    assert 0 < expected.mean() < 1
    pairs = np.argwhere(np.ones_like(found))
    np.testing.assert_array_equal(truth.pairs(images[pairs[:, 0]], captions[pairs[:, 1]]), found.ravel())


@pytest.mark.parametrize("ambiguity", [0.0, 0.25, 0.5, 1.0])
def test_every_caption_is_true_of_its_own_image(ambiguity: float) -> None:
    manifest, truth = built(ambiguity=ambiguity)
    row_of = pd.Series(range(len(manifest.images)), index=manifest.images["image_id"])
    own = row_of.loc[manifest.captions["image_id"]].to_numpy().astype(np.int64)
    assert truth.pairs(own, np.arange(len(own))).all()


def test_equal_texts_assert_equal_facts() -> None:
    facts: dict[str, set[Any]] = {}
    lot = np.random.default_rng(0)
    for index in range(3000):
        one = caption(scene(1, 0, index), lot, index / 3000)
        assert 1 <= len(one.facts) <= MOST_FACTS
        facts.setdefault(one.text, set()).add(frozenset(one.facts))
    assert [text for text, sets in facts.items() if len(sets) > 1] == []


def test_the_manifest_follows_its_contract(tmp_path: Path) -> None:
    source = Source(format="scenes", encoder="hog+ngrams", settings=SMALL)
    with new_folder(tmp_path / "scenes", KIND) as folder:
        scenes.build("scenes", source, folder).write(folder)
    manifest = Manifest.read(tmp_path / "scenes")
    assert manifest.counts() == {split: {"images": n, "captions": 5 * n} for split, n in SMALL.items()}
    pictures = np.load(tmp_path / "scenes" / "images.npy")
    assert pictures.shape == (130, 64, 64, 3)
    assert pictures.dtype == np.uint8
    assert manifest.images["content"].is_unique
    assert manifest.images["row"].tolist() == list(range(130))


def test_two_builds_are_the_same_to_the_byte_in_any_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from negbench.pipelines.sources import Source\n"
        "from negbench.pipelines.datasets.scenes import build;"
        "folder = pathlib.Path(sys.argv[1]); folder.mkdir();"
        "settings = dict(train=20, val=5, test=5);"
        "build('scenes', Source(format='scenes', encoder='e', settings=settings), folder).write(folder)"
    )
    for seed in ("1", "2"):
        command = [sys.executable, "-c", code, str(tmp_path / seed)]
        subprocess.run(command, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed}, check=True)
    files = {seed: {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "2")}
    assert {"images.npy", "truth.npz", "images.parquet", "captions.parquet", "dataset.json"} <= set(files["1"])
    assert files["1"] == files["2"]


def test_sizes_and_ambiguity_change_no_scene() -> None:
    manifest, _ = built()
    smaller, _ = built(train=10, val=7)
    vaguer, _ = built(ambiguity=1.0)
    seeded, _ = built(seed=1)
    test = manifest.images["split"] == "test"
    contents = manifest.images["content"][test].tolist()
    assert smaller.images["content"][smaller.images["split"] == "test"].tolist() == contents
    assert vaguer.images["content"].tolist() == manifest.images["content"].tolist()
    assert vaguer.captions["text"].tolist() != manifest.captions["text"].tolist()
    texts = manifest.captions["text"][manifest.captions["image_id"].str.startswith("test")].tolist()
    assert smaller.captions["text"][smaller.captions["image_id"].str.startswith("test")].tolist() == texts
    assert not set(seeded.images["content"]) & set(manifest.images["content"])


@pytest.fixture(scope="module")
def by_ambiguity() -> dict[float, dict[str, float]]:
    knob = (0.0, 0.25, 0.5, 0.75, 1.0)
    return {value: ambiguity_of(*built(train=1, val=1, test=500, ambiguity=value)) for value in knob}


def test_the_default_has_about_five_true_pairs_per_labelled_pair(by_ambiguity: dict[float, dict[str, float]]) -> None:
    assert scenes.SceneSettings().ambiguity == 0.5
    counts = by_ambiguity[0.5]
    assert counts["labelled_pairs"] == 2500
    assert 4.0 <= counts["true_per_labelled"] <= 6.0
    assert counts["true_pairs"] == pytest.approx(counts["true_per_labelled"] * 2500, rel=1e-3)


def test_captions_have_a_long_tail(by_ambiguity: dict[float, dict[str, float]]) -> None:
    counts = by_ambiguity[0.5]
    assert counts["captions_true_of_one_image"] > 0.5
    assert counts["images_per_caption_q50"] == 1
    assert counts["images_per_caption_q90"] >= 5
    assert counts["images_per_caption_q99"] >= 36
    assert counts["images_per_caption_max"] < 300


def test_more_ambiguity_makes_more_pairs_true(by_ambiguity: dict[float, dict[str, float]]) -> None:
    ratios = [counts["true_per_labelled"] for counts in by_ambiguity.values()]
    assert ratios == sorted(ratios)
    assert ratios[0] < 1.3
    assert ratios[-1] > 15


def test_calibration_counts_pairs() -> None:
    manifest, truth = built()
    images, captions = split_rows(manifest, "val")
    matrix = truth.matrix(images, captions)
    counts = ambiguity_of(manifest, truth, "val")
    assert counts["true_pairs"] == matrix.sum()
    assert counts["captions_true_of_one_image"] == round(float((matrix.sum(axis=0) == 1).mean()), 3)
    assert counts["captions_per_image_max"] == matrix.sum(axis=1).max()


def test_the_truth_of_the_test_split_is_quick() -> None:
    from time import process_time

    manifest, truth = built(train=1, val=1, test=500, ambiguity=0.5)
    images, captions = split_rows(manifest, "test")
    start = process_time()
    truth.matrix(images, captions)
    assert process_time() - start < 0.5


@pytest.mark.parametrize(
    "given, words",
    [
        ({"ambigiuty": 0.5}, "data/scenes.yaml: unknown key 'ambigiuty'; did you mean 'ambiguity'?"),
        ({"ambiguity": 1.5}, "ambiguity: 1.5 must be at most 1"),
        ({"ambiguity": -0.1}, "ambiguity"),
        ({"ambiguity": float("nan")}, "ambiguity"),
        ({"ambiguity": "high"}, "ambiguity"),
        ({"train": 0}, "train: 0 must be at least 1"),
        ({"test": 10**9}, "test"),
        ({"val": 1.5}, "val"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({3: 4}, "3"),
    ],
)
def test_bad_settings_are_one_line(given: dict[Any, Any], words: str, tmp_path: Path) -> None:
    source = Source.model_construct(format="scenes", path=None, encoder="hog+ngrams", settings=given)
    with pytest.raises(DataError) as caught:
        scenes.build("scenes", source, tmp_path)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_the_committed_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    from negbench.pipelines import sources

    monkeypatch.chdir(Path(__file__).parents[1])
    source = sources.read("scenes")
    assert source.encoder == "hog+ngrams"
    assert scenes.settings("scenes", source.settings) == scenes.SceneSettings()
