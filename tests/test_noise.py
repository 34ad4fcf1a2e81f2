"""The noise knob: how many captions change their image, which, and what is left alone."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import bench
from negbench.pipelines import features, noise, prepare, sources
from negbench.pipelines.datasets import scenes
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.noise import Noise
from negbench.pipelines.sources import Source
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth

SMALL = {"train": 60, "val": 10, "test": 10}


def made(*counts: int) -> Manifest:
    """Training images with so many captions each, and one image with two captions in each other split."""
    images = [(f"i{k}", "train", "", k, str(k)) for k in range(len(counts))]
    images += [("v", "val", "", 0, "v"), ("t", "test", "", 0, "t")]
    each = [(f"i{k}", number) for k, count in enumerate(counts) for number in range(count)]
    captions = [(f"{i}#{k}", i, f"caption {k} of {i}") for i, k in [*each, ("v", 0), ("v", 1), ("t", 0), ("t", 1)]]
    judged = [("t", "v#0", 0.0, "crowd"), ("i0", "i0#0", 1.0, "crowd")]
    return Manifest("my", table("images", images), table("captions", captions), table("judgements", judged))


def noisy(manifest: Manifest, ratio: float, seed: int = 0) -> Manifest:
    return noise.add(manifest, Noise(noise_ratio=ratio, noise_seed=seed), Path("nowhere"))


def owners(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.captions["caption_id"], manifest.captions["image_id"], strict=True))


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=30), ratio=st.floats(0, 1), seed=st.integers(0, 2**40))
@settings(max_examples=150, deadline=None)
def test_so_many_captions_change_and_none_keeps_its_image(counts: list[int], ratio: float, seed: int) -> None:
    clean = made(*counts)
    total = round(ratio * sum(counts))
    try:
        dirty = noisy(clean, ratio, seed)
    except DataError:
        assert max(counts) * 2 > total  # one image may have most of what is to be exchanged
        return
    dirty.check()
    before, after = owners(clean), owners(dirty)
    changed = {caption for caption in before if before[caption] != after[caption]}
    assert len(changed) == total
    assert all(caption.startswith("i") for caption in changed)  # training alone
    assert Counter(before.values()) == Counter(after.values())  # every image keeps its number
    texts = [dict(zip(m.captions["caption_id"], m.captions["text"], strict=True)) for m in (clean, dirty)]
    assert texts[0] == texts[1]
    assert dirty.captions["image_id"].tolist() == clean.captions["image_id"].tolist()  # rows follow the images
    known = dirty.judgements[dirty.judgements["source"] == "noise"]
    assert dict(zip(known["caption_id"], known["image_id"], strict=True)) == {c: before[c] for c in changed}
    if total:
        assert dirty.judgements.iloc[:2].equals(clean.judgements)
        assert dirty.info["noise"]["exchanged"] == total
    assert noisy(clean, ratio, seed).hash == dirty.hash


def test_the_captions_of_a_smaller_ratio_are_among_those_of_a_larger_one() -> None:
    clean = made(*[5] * 100)
    few, many = (set(noisy(clean, ratio).judgements["caption_id"]) for ratio in (0.2, 0.6))
    assert few < many


def test_another_seed_exchanges_others() -> None:
    clean = made(*[5] * 100)
    assert len({noisy(clean, 0.2, seed).hash for seed in range(5)}) == 5


def test_all_captions_go_everywhere() -> None:
    """With every caption exchanged, the images that get an image's captions are as mixed as chance makes them."""
    clean = made(*[5] * 200)
    dirty = noisy(clean, 1.0)
    before, after = owners(clean), owners(dirty)
    pairs = Counter((before[c], after[c]) for c in before if c.startswith("i"))
    assert len(pairs) > 970  # of 1,000; chance gives about 990
    assert not any(a == b for a, b in pairs)


def test_what_cannot_be_exchanged_is_one_line() -> None:
    for counts in ((3,), (9, 1)):
        with pytest.raises(DataError, match=r"^noise: \d+ of the \d+ captions to exchange are of image i0, too many"):
            noisy(made(*counts), 1.0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_the_truth_of_scenes_follows_the_captions(project: Path) -> None:
    clean = prepare.generate("clean", "scenes", SMALL)
    dirty = prepare.generate("dirty", "scenes", {**SMALL, "noise_ratio": 0.5, "noise_seed": 3})
    assert dirty.info["noise"] == {"noise_ratio": 0.5, "noise_seed": 3, "captions": 300, "exchanged": 150}
    truths = [Truth.read(Path("data") / name) for name in ("clean", "dirty")]
    assert truths[0] is not None
    assert truths[1] is not None
    row_of = {caption: row for row, caption in enumerate(clean.captions["caption_id"])}
    images = np.arange(len(clean.images))
    rows = np.array([row_of[caption] for caption in dirty.captions["caption_id"]])
    assert (rows != np.arange(len(rows))).sum() == 150
    np.testing.assert_array_equal(truths[0].matrix(images, rows), truths[1].matrix(images, np.arange(len(rows))))
    store = FeatureStore(features.make("dirty"), dirty.hash)
    assert store.info["manifest"] != clean.hash
    with pytest.raises(DataError, match="made from another manifest"):
        FeatureStore(store.folder, clean.hash)
    for split in ("val", "test"):
        clean_store = FeatureStore(features.make("clean"), clean.hash)
        np.testing.assert_array_equal(store.split(split).captions, clean_store.split(split).captions)


def test_no_noise_is_the_same_to_the_byte(project: Path) -> None:
    Path("raw").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(8)))
    for words in ((), ("--noise-ratio", "0"), ("--noise-ratio", "0", "--noise-seed", "5"), ("--noise-ratio", "0.5")):
        done = bench("data", "add", "my", "--from", "raw", "--replace", *words)
        assert done.exit_code == 0, done.output
        made_now = files("data/my") | {"yaml": Path("data/my.yaml").read_bytes()}
        if not words:
            first = made_now
        assert (made_now == first) == ("0.5" not in words)
        assert ("noise" in sources.read("my").model_dump_json()) == ("0.5" in words)


class Small(scenes.SceneSettings):
    """Quick defaults."""

    train: int = 60
    val: int = 10
    test: int = 10


def test_the_knobs_are_written_down_and_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SceneSettings", Small)
    words = ["data", "add", "vague", "--format", "scenes", "--ambiguity", "0.75", "--noise-ratio", "0.2"]
    done = bench(*words, "--noise-seed", "7")
    assert done.exit_code == 0, done.output
    assert "noise: 60 of 300 training captions exchanged" in done.stderr
    assert sources.read("vague").settings == {
        **Small(ambiguity=0.75).model_dump(),
        "noise_ratio": 0.2,
        "noise_seed": 7,
    }
    first = files("data/vague")
    assert bench("data", "prepare", "vague").exit_code == 0
    assert files("data/vague") == first
    assert "ambiguity 0.75, noise 0.2" in bench("data", "list").stdout
    (listed,) = [e for e in json.loads(bench("data", "list", "--json").stdout) if e["format"]]
    assert (listed["settings"]["ambiguity"], listed["settings"]["noise_ratio"]) == (0.75, 0.2)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--format", "scenes", "--noise-ratio", "1.5"), 2, "--noise-ratio: '1.5' must be at most 1.0"),
        (("--format", "scenes", "--ambiguity", "-1"), 2, "--ambiguity: '-1' must be at least 0.0"),
        (("--from", ".", "--ambiguity", "0.5"), 2, "--ambiguity is a setting of --format scenes, which takes no files"),
        (("--format", "flickr8k", "--ambiguity", "0.5"), 2, "format 'flickr8k' reads files: give --from DIR"),
        (("--format", "scene"), 2, "unknown format 'scene'; did you mean 'scenes'?"),
    ],
)
def test_wrong_knobs(project: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = bench("data", "add", "my", *words)
    assert done.exit_code == code
    assert message in done.stderr
    assert not Path("data").exists() or not list(Path("data").iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noise_ratio": 2}, "data/my.yaml: noise_ratio: 2 must be at most 1"),
        ({"noise_ratio": "half"}, "data/my.yaml: noise_ratio: expected a number, got 'half'"),
        ({"noise_ratio": 0.5, "noise_seed": -1}, "data/my.yaml: noise_seed: -1 must be at least 0"),
        ({"noise": 0.5}, "data/my.yaml: unknown key 'noise'"),
    ],
)
def test_wrong_settings_are_named(project: Path, given: dict[str, object], message: str) -> None:
    sources.write("my", Source(format="scenes", encoder="hog+ngrams", settings={**SMALL, **given}))
    with pytest.raises(DataError) as error:
        prepare.prepare("my")
    assert message in str(error.value)
