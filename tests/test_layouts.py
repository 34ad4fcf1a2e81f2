"""Layouts of the field and what is odd in them: what is read, what is left out and counted, what is refused."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands import bench
from format_samples import CAPTIONS, NAMES, SAMPLES, SPLIT_OF, named, pictures, write_json
from negbench.pipelines import datasets, prepare
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from test_formats_fuzz import MUTATIONS, annotations

COUNTED = ("reid", "reid_img_path", "vse_inf", "multi30k", "headerless", "keyed", "keyed_by_number")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(sample: str, **given: Any) -> Manifest:
    """The sample as dataset ``my``."""
    return prepare.add("my", Path("raw"), file_format=SAMPLES[sample][0], settings=given, replace=True)


def change(file: str, *changes: tuple[str, str]) -> None:
    path = Path("raw", file)
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def balance(manifest: Manifest) -> dict[str, int]:
    """What was left out, by reason; the sum holds."""
    rows = manifest.info["rows"]
    assert rows["kept"] == len(manifest.captions)
    assert rows["seen"] == rows["kept"] + sum(rows["left out"].values())
    left_out: dict[str, int] = rows["left out"]
    return left_out


# --- person search


def test_persons_are_judgements_and_images_stay_the_labels(place: Path) -> None:
    SAMPLES["reid"][1](Path("raw"))
    manifest = add("reid")
    images, judged = manifest.images, manifest.judgements
    assert set(judged["source"]) == {"identity"}
    assert set(judged["match"]) == {1.0}
    own = dict(zip(manifest.captions["caption_id"], manifest.captions["image_id"], strict=True))
    person = {row["file_path"]: row["id"] for row in json.loads(Path("raw/reid_raw.json").read_text())}
    split = dict(zip(images["image_id"], images["split"], strict=True))
    pairs = set(zip(judged["image_id"], judged["caption_id"], strict=True))
    wanted = {
        (image, caption)
        for image in person
        for caption, other in own.items()
        if image != other and person[image] == person[other] and split[image] == split[other]
    }
    assert pairs == wanted
    assert len(judged) == len(wanted) == 2 * len(NAMES)  # two persons a pair, two captions each
    assert "15 persons in 30 pictures" in manifest.info["notes"][0]
    assert balance(manifest) == {}


def test_a_list_without_persons_has_nothing_to_judge(place: Path) -> None:
    SAMPLES["reid"][1](Path("raw"))
    rows = json.loads(Path("raw/reid_raw.json").read_text())
    write_json(Path("raw/reid_raw.json"), [{key: row[key] for key in row if key != "id"} for row in rows])
    manifest = prepare.add("my", Path("raw"))
    assert len(manifest.judgements) == 0
    assert "notes" not in manifest.info


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"split": "query"}, r"\[3\]\.split: split 'query' is none of train"),
        ({"captions": []}, r"\[3\]\.captions: "),
        ({"captions": ["a", None]}, r"\[3\]\.captions\[1\]: expected text"),
        ({"img_path": "b.jpg"}, r"\[3\]: needs one of file_path and img_path, has 2"),
        ({"file_path": None}, r"\[3\]: needs one of file_path and img_path, has 0"),
        ({"file_path": "cam/none.jpg"}, r"\[3\]: there is no picture cam/none\.jpg"),
        ({"file_path": "../x.jpg"}, r"\[3\]: image '\.\./x\.jpg' leads out"),
    ],
)
def test_a_bad_row_of_persons_is_named_or_counted(place: Path, row: dict[str, Any], message: str) -> None:
    SAMPLES["reid"][1](Path("raw"))
    rows = json.loads(Path("raw/reid_raw.json").read_text())
    rows[3] |= row
    write_json(Path("raw/reid_raw.json"), rows)
    with pytest.raises(DataError, match=message):
        add("reid")
    left_out = balance(add("reid", skip_bad=True))
    assert sum(left_out.values()) in (1, 2)  # a row, or its two captions


def test_a_picture_of_two_persons_is_refused(place: Path) -> None:
    SAMPLES["reid"][1](Path("raw"))
    rows = json.loads(Path("raw/reid_raw.json").read_text())
    write_json(Path("raw/reid_raw.json"), [*rows, rows[0] | {"id": 99}])
    with pytest.raises(DataError, match=r"\[30\]\.id: cam/pic\d+\.jpg is of person 99, but was of 0"):
        add("reid")


# --- VSE-inf and LAPS


def test_the_sum_of_a_dev_list_that_was_cut(place: Path) -> None:
    """1,014 images beside 5,000 captions, and 5,070 captions beside 1,000 images."""
    SAMPLES["vse_inf"][1](Path("raw"))
    mapping = json.loads(Path("raw/id_mapping.json").read_text())
    names = [name for name, split in SPLIT_OF.items() if split == "val"]
    many = {f"d{k}": f"dev/{k}.jpg" for k in range(1014)}
    Path("raw/images/dev").mkdir()
    data = Path("raw/images", names[0]).read_bytes()
    for picture in many.values():
        Path("raw/images", picture).write_bytes(data)
    write_json(Path("raw/id_mapping.json"), mapping | many)
    for ids, captions, cut in ((1014, 5000, 0), (1000, 5070, 70), (1014, 5070, 0)):
        for repeated in (1, 5):
            lines = [f"d{k}\n" for k in range(ids) for _ in range(repeated)]
            Path("raw/precomp/dev_ids.txt").write_text("".join(lines))
            Path("raw/precomp/dev_caps.txt").write_text("".join(f"caption {k}\n" for k in range(captions)))
            manifest = add("vse_inf")
            assert manifest.counts()["val"] == {"images": min(ids, captions // 5), "captions": captions - cut}
            assert manifest.captions.set_index("text")["image_id"]["caption 4999"] == "dev/999.jpg"
            assert sum(balance(manifest).values()) == cut


def test_the_list_that_is_not_read_is_named(place: Path) -> None:
    SAMPLES["vse_inf"][1](Path("raw"))
    for end in ("ids", "caps"):
        Path(f"raw/precomp/test_{end}.txt").write_bytes(Path(f"raw/precomp/testall_{end}.txt").read_bytes())
    why = "the test split is read from testall_caps.txt"
    assert add("vse_inf").info["unused"] == {"precomp/test_caps.txt": why, "precomp/test_ids.txt": why}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("id_mapping.json", '"0": ', '"7": ', r'id_mapping\.json: the key \'7\' stands twice in one object'),
        ("id_mapping.json", "{", '{"x": 3, ', r"id_mapping\.json: 'x': expected the name of a picture, got 3"),
        ("id_mapping.json", "{", f'{{"x": "{NAMES[0]}", ', r"id_mapping\.json: 'pic\d+\.jpg' has two ids, 'x' and '0'"),
        ("id_mapping.json", '"0": ', '"nought": ', r"train_ids\.txt:1: id '0' is not in id_mapping\.json"),
        ("precomp/train_ids.txt", "\n", "\n\n", r"train_ids\.txt:2: empty line where an id should be"),
        ("precomp/train_ids.txt", "\n", "", r"train_caps\.txt: 20 captions for 9 lines of train_ids\.txt"),
        ("precomp/dev_caps.txt", "\n", "\n \n", r"dev_caps\.txt: 21 captions for 20 lines"),
    ],
)  # fmt: skip
def test_lists_that_do_not_fit_are_one_line(place: Path, file: str, old: str, new: str, message: str) -> None:
    SAMPLES["vse_inf"][1](Path("raw"))
    change(file, (old, new))
    with pytest.raises(DataError, match=message):
        add("vse_inf")


def test_a_mapping_alone_says_what_is_missing(place: Path) -> None:
    pictures(Path("raw"))
    write_json(Path("raw/id_mapping.json"), {"0": NAMES[0]})
    with pytest.raises(DataError, match=r"id_mapping\.json needs train_ids\.txt, train_caps\.txt and those of dev"):
        datasets.detect(Path("raw"))


# --- Multi30K


def multi30k_task1(root: Path) -> None:
    """One sentence a picture in up to three languages, and a second test set with COCO's names."""
    pictures(root / "images")
    (root / "image_splits").mkdir()
    (root / "raw").mkdir()
    for split, part in {"train": "train", "val": "val", "test": "test_2016_flickr"}.items():
        (root / "image_splits" / f"{part}.txt").write_text("".join(f"{name}\n" for name in named(split)))
        for language in ("en", "de", "fr"):
            if (split, language) != ("val", "fr"):
                text = "".join(f"{language} {CAPTIONS[name][0]}\n" for name in named(split)).encode()
                (root / "raw" / f"{part}.{language}.gz").write_bytes(gzip.compress(text))
    other = "".join(f"{name}#{k}17\n" for k, name in enumerate(named("test")[:4]))
    (root / "image_splits" / "test_2017_mscoco.txt").write_text(other)
    for language in ("en", "de"):
        (root / "raw" / f"test_2017_mscoco.{language}").write_text("".join(f"{language} {k}\n" for k in range(4)))


def test_languages_are_chosen_and_the_others_counted(place: Path) -> None:
    multi30k_task1(Path("raw"))
    english = prepare.add("my", Path("raw"))
    assert english.captions["text"].str.startswith("en ").all()
    assert balance(english) == {
        "captions in de": 30,
        "captions in fr": 20,
        "captions of test_2017_mscoco, another test set": 8,
    }
    assert english.info["notes"][0] == "captions in en; also there: de, fr (--languages takes them)"
    both = prepare.add("my", Path("raw"), settings={"languages": "de,en"}, replace=True)
    assert both.captions.groupby("image_id").size().tolist() == [2] * 30
    assert both.captions["caption_id"].tolist()[:2] == [f"{named('train')[0]}#de.0", f"{named('train')[0]}#en.0"]
    assert balance(both) == {"captions in fr": 20, "captions of test_2017_mscoco, another test set": 8}
    with pytest.raises(DataError, match=r"raw: no captions in 'cs'; --languages takes de, en, fr"):
        prepare.add("my", Path("raw"), settings={"languages": "en,cs"}, replace=True)


def test_another_test_set_is_chosen(place: Path) -> None:
    multi30k_task1(Path("raw"))
    done = bench("data", "add", "my", "--from", "raw", "--test-set", "test_2017_mscoco", "--languages", "en,de")
    assert done.exit_code == 0, done.output
    assert "note: the test set is test_2017_mscoco" in done.stderr
    assert "test 4 images / 8 captions" in done.stdout
    assert prepare.prepare("my").hash == Manifest.read(Path("data/my")).hash
    with pytest.raises(DataError, match="choose one test set with --test-set: test_2016_flickr, test_2017_mscoco"):
        prepare.add("other", Path("raw"), settings={"test_set": "test_2018"})


def test_files_that_are_not_parallel_or_no_gzip_are_refused(place: Path) -> None:
    multi30k_task1(Path("raw"))
    path = Path("raw/raw/val.en.gz")
    good = path.read_bytes()
    path.write_bytes(gzip.compress(gzip.decompress(good) + b"one more\n"))
    with pytest.raises(DataError, match=r"val\.en\.gz: 11 sentences for 10 names in raw/image_splits/val\.txt"):
        prepare.add("my", Path("raw"))
    for broken in (good[:20], good[:-4], b"plain text\n"):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"val\.en\.gz: not gzip that can be read: cut off or damaged"):
            prepare.add("my", Path("raw"))
    path.write_bytes(gzip.compress(b"\xe9\n" + b"x\n" * 9))
    with pytest.raises(DataError, match=r"val\.en\.gz:1: not UTF-8 \(byte 0xe9\)"):
        prepare.add("my", Path("raw"))
    assert balance(prepare.add("my", Path("raw"), settings={"skip_bad": True, "languages": "en"}))["bad rows"] == 1


def test_the_folder_of_both_tasks_is_told_what_to_give(place: Path) -> None:
    multi30k_task1(Path("raw/data/task1"))
    with pytest.raises(DataError, match=r"give the folder of one task: raw/data/task1; "):
        datasets.detect(Path("raw"))


# --- Flickr30K Entities


def test_unrelated_captions_are_judged_and_stay(place: Path) -> None:
    SAMPLES["entities"][1](Path("raw"))
    manifest = add("entities")
    wrong = named("train")[0]
    assert manifest.judgements.values.tolist() == [[wrong, f"{wrong}#1", 0.0, "entities"]]
    assert manifest.counts()["train"] == {"images": 10, "captions": 20}
    assert manifest.info["skipped"] == {"unrelated captions of images in no split": 1}
    left_out = {"remarks and blank lines": 1, "unrelated captions of images in no split": 1}
    assert manifest.info["judgement rows"] == {"seen": 3, "kept": 1, "left out": left_out}
    assert "UNRELATED_CAPTIONS" in manifest.info["files"]
    assert "944 are in this train split" in manifest.info["notes"][1]


def test_the_overlap_with_karpathys_split_is_counted(place: Path) -> None:
    SAMPLES["entities"][1](Path("raw"))
    theirs = [*named("train")[:3], named("test")[0]]
    images = [{"filename": name, "split": "test", "sentences": []} for name in theirs]
    write_json(Path("raw/dataset_flickr30k.json"), {"images": images})
    with pytest.raises(RequestError, match=r"entities \(UNRELATED_CAPTIONS\) or karpathy"):
        datasets.detect(Path("raw"))
    assert "of whose 4 test images 3 are in this train split" in add("entities").info["notes"][1]


@pytest.mark.parametrize("line", ["129602216", "129602216 x", "129602216 0", "129602216 5"])
def test_a_bad_line_of_unrelated_captions_is_named(place: Path, line: str) -> None:
    SAMPLES["entities"][1](Path("raw"))
    wrong = named("train")[0].removesuffix(".jpg")
    text = f"{wrong} 2\n{line if line[-1] != '5' else f'{wrong} 2'}\n"
    Path("raw/UNRELATED_CAPTIONS").write_text(text)
    with pytest.raises(DataError, match=r"UNRELATED_CAPTIONS:2: .*(not an image's id|stands twice)"):
        add("entities")
    assert add("entities", skip_bad=True).info["skipped"] == {"bad lines of UNRELATED_CAPTIONS": 1}


def test_entities_have_sizes_and_a_protocol_of_their_own(place: Path) -> None:
    SAMPLES["entities"][1](Path("raw"))
    with pytest.raises(DataError, match="train has 10 images, expected 29,783"):
        prepare.add("f30k-entities", Path("raw"))
    told = bench("data", "where", "f30k-entities")
    assert "protocol f30k-entities-1k" in told.stdout
    assert "944" in told.stdout


# --- tables without names, JSON by name


@pytest.mark.parametrize(
    ("file", "line", "columns"),
    [
        ("mine.csv", "{name},{text}", None),
        ("mine.tsv", "{name}\t{text}", None),
        ("mine.csv", "{name}\t{text}", None),  # as CC152K: tabs in a .csv
        ("mine.csv", "7,{text},{name},{split}", "-,caption,image,split"),
        ("mine.tsv", "{text}\t{name}", "caption,image"),
    ],
)
def test_columns_without_names(place: Path, file: str, line: str, columns: str | None) -> None:
    pictures(Path("raw"))
    said = {name: CAPTIONS[name][0] for name in NAMES}
    rows = [line.format(name=name, text=said[name], split=SPLIT_OF[name]) for name in NAMES]
    Path("raw", file).write_text("\n".join(rows))
    words = ["--columns", columns] if columns else []
    done = bench("data", "add", "my", "--from", "raw", *words)
    assert done.exit_code == 0, done.output
    assert f"note: {file}: columns {columns or 'image,caption'}, separated by" in done.stderr
    captions = Manifest.read(Path("data/my")).captions
    assert dict(zip(captions["image_id"], captions["text"], strict=True)) == said
    assert prepare.prepare("my").info["rows"] == {"seen": 30, "kept": 30, "left out": {}}


def test_columns_that_do_not_fit_are_one_line(place: Path) -> None:
    pictures(Path("raw"))
    Path("raw/mine.csv").write_text("".join(f"1,{name},a dog\n" for name in NAMES))
    with pytest.raises(DataError, match=r"mine\.csv names no columns: say what they are, as in --columns"):
        datasets.detect(Path("raw"))
    for columns, message in (
        ("image,caption", r"mine\.csv:1: 3 fields, expected 2 \(image,caption\)"),
        ("image,image,caption", r"--columns image,image,caption: name each column"),
        ("-,image,text", r"--columns -,image,text: name each column"),
    ):
        with pytest.raises(DataError, match=message):
            add("headerless", columns=columns)
    Path("raw/mine.csv").write_text("id,image,caption\n")
    with pytest.raises(DataError, match=r"its first line names the columns \(id, image, caption\); leave --columns"):
        add("headerless", columns="-,image,caption")


def test_a_setting_that_a_format_does_not_take_is_refused(place: Path) -> None:
    SAMPLES["table_csv"][1](Path("raw"))
    done = bench("data", "add", "my", "--from", "raw", "--languages", "de")
    assert done.exit_code == 2
    assert "format 'table' takes no --languages; it is of multi30k" in done.stderr
    assert not list(Path("data").iterdir())


def test_values_of_an_object_may_have_any_of_the_forms(place: Path) -> None:
    pictures(Path("raw"))
    forms: list[Any] = ["one", ["one", "two"], {"caption": "one"}, {"caption": {"caption": "one"}}, [{"raw": "one"}]]
    counts = [1, 2, 1, 1, 1]
    values = {name: forms[k % len(forms)] for k, name in enumerate(NAMES)}
    write_json(Path("raw/all.json"), values)
    manifest = prepare.add("my", Path("raw"))
    each = manifest.captions.groupby("image_id").size()
    assert {name: each[name] for name in NAMES} == {name: counts[k % len(forms)] for k, name in enumerate(NAMES)}
    assert balance(manifest) == {}


def test_tables_take_a_caption_that_is_an_object(place: Path) -> None:
    pictures(Path("raw"))
    rows = [{"image": name, "caption": {"caption": CAPTIONS[name][0]}} for name in NAMES]
    Path("raw/mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = prepare.add("my", Path("raw")).captions.set_index("image_id")["text"].to_dict()
    assert texts == {name: CAPTIONS[name][0] for name in NAMES}


def test_what_json_would_lose_in_silence_is_refused(place: Path) -> None:
    pictures(Path("raw"))
    Path("raw/all.json").write_text(f'{{"{NAMES[0]}": "one", "{NAMES[0]}": "two"}}')
    with pytest.raises(DataError, match=rf"all\.json: the key '{NAMES[0]}' stands twice in one object"):
        prepare.add("my", Path("raw"))
    write_json(Path("raw/all.json"), CAPTIONS)
    write_json(Path("raw/copy.json"), CAPTIONS)
    with pytest.raises(DataError, match=r"raw holds several datasets: 'all' \(all\.json\), 'copy' \(copy\.json\)"):
        prepare.add("my", Path("raw"))
    Path("raw/copy.json").rename("raw/all-2.json")
    with pytest.raises(DataError, match=rf"all\.json: '{NAMES[0]}': {NAMES[0]} stands in all-2\.json already"):
        prepare.add("my", Path("raw"))


def test_an_object_of_something_else_is_not_taken(place: Path) -> None:
    pictures(Path("raw"))
    for value in ({"name": "my-package", "version": "1"}, {"images": [{"filename": "x.jpg"}]}, {"0": "1000.jpg"}):
        write_json(Path("raw/some.json"), value)
        with pytest.raises(DataError, match="raw holds no known format"):
            datasets.detect(Path("raw"))
    write_json(Path("raw/some.json"), {"1000": ["a dog"]})
    with pytest.raises(DataError, match=r"some\.json is an object whose first key is '1000', no picture's name"):
        datasets.detect(Path("raw"))


# --- nothing vanishes


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("counted")
    with pytest.MonkeyPatch.context() as patch:
        for sample in COUNTED:
            SAMPLES[sample][1](root / sample / "raw")
        patch.chdir(root)
        yield root


@settings(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    sample=st.sampled_from(COUNTED),
    which=st.integers(0, 1000),
    mutations=st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=2),
    seed=st.integers(0, 2**32),
)
def test_rows_seen_are_rows_kept_and_left_out(
    trees: Path, sample: str, which: int, mutations: list[Any], seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trees / sample)
        files = annotations(Path("raw"))
        path, lot = files[which % len(files)], random.Random(seed)
        good = path.read_bytes()
        data = gzip.decompress(good) if path.suffix == ".gz" else good
        for mutation in mutations:
            data = mutation(data or b"\n", lot)
        try:
            path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
            manifest = add(sample, skip_bad=True)
        except DataError as error:
            said = str(error)
        else:
            said = ""
            balance(manifest)
        finally:
            path.write_bytes(good)
    assert "please report it" not in said


def test_matches_alone_make_no_share_of_matches(place: Path) -> None:
    """Of persons only other true pairs are known: a share of false picks among known pairs would be 1 by itself."""
    SAMPLES["reid"][1](Path("raw"))
    small = ["--epochs", "1", "--batch", "5", "--memory", "0", "--set", "dim=8", "--set", "warmup_epochs=0"]
    for words in (
        ["data", "add", "my", "--from", "raw"],
        ["features", "--dataset", "my"],
        ["run", "--method", "hardest", "--dataset", "my", *small],
    ):
        done = bench(*words)
        assert done.exit_code == 0, done.output
    (record,) = place.glob("runs/my/*/seed-0/run.json")
    run = json.loads(record.read_text())
    assert not [key for key in run["audit"] if "pushed" in key or "picked" in key]
    assert run["metrics"]["extended_rsum"] >= run["metrics"]["rsum"]
