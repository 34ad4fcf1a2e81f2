"""``bench report``: pages from records alone, whole or not there, in which nothing from outside is markup."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from boards import record, save
from commands import bench
from negbench.benchmark.recipe.flags import parse_changes, resolve
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.site.charts import chart, ticks
from negbench.benchmark.reports.site.commands import command_of
from negbench.benchmark.reports.site.contents import stems
from negbench.benchmark.reports.site.embedded import embedded
from negbench.benchmark.results.leaderboard import load
from negbench.pipelines.manifest import Manifest, table
from sites import HOSTILE, Page, all_kinds, pages, report, some_records

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = report(some_records(folder / "runs"), folder / "site")
    assert done.exit_code == 0, done.output
    return folder / "site"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all kinds of records."""
    folder = tmp_path_factory.mktemp("full")
    done = report(all_kinds(folder / "runs"), folder / "site")
    assert done.exit_code == 0, done.output
    return folder / "site"


@pytest.fixture(params=["site", "full"])
def each(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_every_table_method_and_run_has_a_page(site: Path) -> None:
    assert sorted(path.stem for path in (site / "methods").iterdir()) == [
        *("fne", "hardest", "info-nce", "random", "semi-hard")
    ]
    assert len(list((site / "runs").iterdir())) == 13
    assert [path.name for path in (site / "tables").iterdir()] == ["f8k.html"]
    assert [path.name for path in (site / "compare").iterdir()] == ["f8k.html"]
    assert {path.name for path in site.iterdir() if path.is_file()} == {
        *("index.html", "figures.html", "reproduce.html", "site.css", "site.js", "site.json")
    }


def test_links_lead_somewhere_and_nothing_leads_outside(each: Path) -> None:
    site = each
    ids = {page.path: {attributes["id"] for _, attributes in page.tags if "id" in attributes} for page in pages(site)}
    for page in pages(site):
        for _, attributes in page.tags:
            assert not {name for name in attributes if name.startswith("on") or name == "style"}
            for link in (attributes[name] for name in ("href", "src") if name in attributes):
                assert not re.match(r"[a-z]+:|//", link), link
                place, _, fragment = link.partition("#")
                target = (page.path.parent / place).resolve() if place else page.path
                assert target.is_file(), (page.path, link)
                assert target.is_relative_to(site.resolve())
                assert not fragment or fragment in ids[site / target.relative_to(site.resolve())], (page.path, link)
    assert "url(" not in (site / "site.css").read_text()
    assert not re.search(r"fetch|XMLHttp|innerHTML|eval|import\(|https?:", (site / "site.js").read_text())


def test_pages_are_made_for_everybody(each: Path) -> None:
    for page in pages(each):
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("h1")) == 1
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels)), page.path
        assert len(page.all("table")) == len(page.all("caption"))
        assert all(cell.get("scope") for cell in page.all("th"))
        assert all(picture.get("alt") is not None for picture in page.all("img"))
        assert {one["content"] for one in page.all("meta") if "http-equiv" in one} == {POLICY}
        assert all(one.keys() == {"src"} or one["type"] == "application/json" for one in page.all("script"))


def test_records_of_all_kinds_are_told(full: Path) -> None:
    assert {path.stem for path in (full / "tables").iterdir()} >= {
        "f30k",
        "f30k-external",
        "coco",
        "coco-coco-1k-5fold",
    }
    assert {path.stem for path in (full / "compare").iterdir()} >= {"f30k", "coco"}
    folds = Page(full / "tables" / "coco-coco-1k-5fold.html")
    assert "tests stand in the table of the whole split" in folds.text
    guest = Page(full / "methods" / "guest--external.html")
    assert HOSTILE in guest.text
    assert HOSTILE in Page(full / "tables" / "f30k-external.html").text
    board = Page(full / "tables" / "f30k.html").text
    assert "1 of 1 failed" in board
    assert "1 of 1 collapsed" in board
    assert "boom" in "".join(page.text for page in pages(full) if page.path.parent.name == "runs")


def test_the_table_is_the_leaderboard_s(site: Path) -> None:
    page = Page(site / "tables" / "f8k.html")
    group = load(site.parent / "runs").groups[0]
    rows = [each for each in page.all("tr") if "data-row" in each]
    assert [row["data-tuned"] for row in rows] == ["tuned", *["default"] * 4]
    assert [row["data-memory"] for row in rows] == ["in batch", "2,048", "in batch", "in batch", "in batch"]
    assert {row["data-way"] for row in rows} == {"picks one negative", "pushes from all"}
    values = [each["data-value"] for each in page.all("td") if each.get("data-key") == "rsum"]
    assert [float(value) for value in values] == [pytest.approx(row.stats["rsum"].mean) for row in group.rows]
    marks = page.data["marks"]
    assert marks.keys() == {"0", "1", "2", "3"}  # all but the row of one seed
    assert marks["3"].keys() == {"0", "1", "2"}
    for place, row in enumerate(group.rows[:3]):
        assert row.mark is not None
        assert marks["3"][str(place)][0] == pytest.approx(row.mark.p_mark)
        assert marks["3"][str(place)][2] == ("↑" if row.mark.significant else "")
    assert "hardest (in batch)" in page.data["notes"]["3"]


def test_a_comparison_says_what_the_command_says(site: Path) -> None:
    page = Page(site / "compare" / "f8k.html")
    pair = next(each for each in page.data["pairs"] if each["b"] == "hardest (in batch)" and "fne" in each["a"])
    done = bench("compare", "fne", "hardest", "--runs", str(site.parent / "runs"), "--json")
    told = json.loads(done.stdout)
    assert pair["said"] == told["sentences"]
    assert [each["id"] for each in pair["won"]] == [each["id"] for each in told["won"]][:3]


def test_the_same_records_give_the_same_bytes(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(site.parent / "runs", copy)
    assert report(copy, tmp_path / "again").exit_code == 0
    first, again = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (site, tmp_path / "again")
    )
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []
    assert not any(str(tmp_path).encode() in data for data in again.values())


def test_names_and_notes_are_text(tmp_path: Path) -> None:
    cells = [record("fne", seed, 40 + seed, settings={"tau_fn": HOSTILE}) for seed in range(3)]
    runs = save(tmp_path / "runs", *(record("hardest", seed, 30) for seed in range(3)))
    for number, cell in enumerate(cells):
        save(tmp_path / "other", cell.model_copy(update={"device": HOSTILE, "versions": {"x": HOSTILE}}))
        shutil.move(next(path.parent for path in (tmp_path / "other").rglob("run.json")), runs / f"h{number}")
    assert report(runs, tmp_path / "site").exit_code == 0
    for page in pages(tmp_path / "site"):
        assert {each.get("src", "") for each in page.all("script")} <= {"../site.js", "site.js", ""}
        assert page.all("img") == [each for each in page.all("img") if each["src"].startswith("figures/")]
    told = [page for page in pages(tmp_path / "site") if f"fne[tau_fn={HOSTILE}]" in page.text]
    assert {page.path.parent.name for page in told} == {"tables", "compare", "methods", "runs"}
    compared = Page(tmp_path / "site" / "compare" / "f8k.html").data
    assert compared["rows"][0] == f"fne[tau_fn={HOSTILE}] (in batch)"


def test_what_is_embedded_ends_no_element() -> None:
    text = str(embedded({HOSTILE: [HOSTILE, 1.5, None, True, "\u2028\x1b"]}))
    assert not {*"<>&"} & {*text}
    assert text.isascii()
    assert json.loads(text) == {HOSTILE: [HOSTILE, 1.5, None, True, "��"]}


@pytest.fixture
def with_captions(small_project: Path) -> Path:
    """A project whose captions are hostile, though the records are of them; its features are others by now."""
    folder = Path("data/small")
    manifest = Manifest.read(folder)
    captions = manifest.captions.assign(text=[f"{HOSTILE} {number}" for number in range(len(manifest.captions))])
    changed = replace(manifest, captions=captions)
    changed.write(folder)
    path = Path("runs/small/fne/seed-0/run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"manifest_hash": changed.hash}))
    return small_project


def test_captions_are_text_and_pictures_are_shown(with_captions: Path) -> None:
    done = bench("report")
    assert done.exit_code == 0, done.output
    assert "not asked, as model or features are not there: fne" in done.stderr
    page = Page(with_captions / "site" / "gallery" / "small.html")
    assert HOSTILE in page.text
    pictures = page.all("img")
    assert len(pictures) > 12
    assert all((with_captions / "site" / "gallery" / each["src"]).is_file() for each in pictures)
    assert all(each["alt"].startswith(HOSTILE) for each in pictures)


def test_the_gallery_shows_true_pairs_that_nobody_labelled_and_who_suspects_them(small_project: Path) -> None:
    assert bench("report").exit_code == 0
    page = Page(small_project / "site" / "gallery" / "small.html")
    assert "the truth of every pair is known" in page.text
    assert page.text.count("not labelled") == len(page.all("dl")) > 0
    assert page.text.count("labelled") - page.text.count("not labelled") >= len(page.all("h2"))
    run = Page(small_project / "site" / "runs" / "small-fne-seed-0.html")
    assert len(run.all("polyline")) > 3
    assert "Similarities of the test's pairs" in run.text


def test_the_gallery_shows_what_people_judged(small_project: Path) -> None:
    folder = Path("data/small")
    manifest = Manifest.read(folder)
    test = manifest.images["image_id"][manifest.images["split"] == "test"].tolist()
    caption = manifest.captions["caption_id"][manifest.captions["image_id"] == test[0]].iloc[0]
    judged = [(test[1], caption, 0.8, "expert"), (test[1], caption, 0.4, "crowd"), (test[2], caption, 0.1, "expert")]
    info = {key: value for key, value in manifest.info.items() if key != "truth"}
    changed = replace(manifest, judgements=table("judgements", judged), info=info)
    (folder / "truth.npz").unlink()
    changed.write(folder)
    path = Path("runs/small/fne/seed-0/run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"manifest_hash": changed.hash}))
    assert bench("report").exit_code == 0
    text = Page(small_project / "site" / "gallery" / "small.html").text
    assert "1 captions" in text
    assert "judged, from 0 to 1: crowd 0.40, expert 0.80" in text
    assert text.count("not labelled") == 1


def test_without_the_data_there_are_records_alone(small_project: Path) -> None:
    shutil.rmtree("data")
    shutil.rmtree("features")
    assert bench("report").exit_code == 0
    assert not (small_project / "site" / "gallery").exists()
    assert not (small_project / "site" / "pictures").exists()


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--dataset", "nothing"], 3, "no records of 'nothing' in runs"),
        (["--baseline", "gist"], 2, "--baseline: no records of gist"),
        (["--runs", "empty"], 3, "no records in empty"),
        (["--out", "taken"], 2, "taken holds 'mine.txt', so it is not a site that bench may replace"),
        (["--out", "taken/mine.txt"], 2, "taken/mine.txt is in the way: a file, not a folder"),
        (["--out", "runs/site"], 2, "--out runs/site: runs is the project's own"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    some_records(Path("runs"))
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = bench("report", *flags)
    assert (done.exit_code, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_site_is_replaced_as_a_whole_and_broken_records_are_told(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    shutil.copytree(site, out)
    broken = tmp_path / "runs" / "f8k" / "sum" / "seed-0"
    save(tmp_path / "runs", record("hardest", 0, 30))
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    assert report(tmp_path / "runs", out).exit_code == 0
    assert [path.stem for path in (out / "methods").iterdir()] == ["hardest"]
    index = Page(out / "index.html").text
    assert "f8k/sum/seed-0: " in index
    assert str(tmp_path) not in index
    (out / "methods" / "notes.txt").write_text("mine")
    done = report(tmp_path / "runs", out)
    assert (done.exit_code, (out / "methods" / "notes.txt").read_text()) == (2, "mine")


def test_files_have_names_that_no_system_takes_for_one() -> None:
    found = stems(["fne[a=1]", "fne-a=1", "FNE-A=1", "..", "</script>", "x" * 300])
    assert len({stem.lower() for stem in found.values()}) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9=_.-]+", stem) and not stem.startswith(".") for stem in found.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"settings": {"tau_false": 1.5}, "rate_factor": 2.0, "tuned": True},
        {"epochs": 9, "decays": (3, 5), "memory": 0, "image_tower": "mlp", "precision": "bfloat16"},
    ],
)
def test_a_run_s_command_gives_its_configuration(changes: dict[str, Any], tiny: object) -> None:
    config = RunConfig(**{"method": "fne", "dataset": "tiny", "encoder": "made+up", "seed": 3, **changes})
    words = shlex.split(command_of(config))
    assert words[:2] == ["bench", "run"]
    pairs = list(zip(words[2::2], words[3::2], strict=True))
    flags = {name[2:]: value for name, value in pairs if name != "--set"}
    again = resolve(
        {**flags, "seed": int(flags["seed"])}, parse_changes([value for name, value in pairs if name == "--set"])
    )
    assert again.hash == config.hash


def test_a_chart_lies_in_its_frame() -> None:
    made = chart("t", "x", {"one": [(1, 5.0), (2, 7.0)], "short": [(1, 1.0)]})
    assert made is not None
    assert [name for name, _ in made.lines] == ["one"]
    assert made.lines[0][1] == "52.0,206.0 630.0,10.0"
    assert chart("t", "x", {"short": [(1, 1.0)]}) is None
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.123, 0.321) == [0.15, 0.2, 0.25, 0.3]
