"""Where records of models that were trained elsewhere stand: tables, comparisons, neighbours, pictures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import negbench
from commands import bench
from negbench.benchmark.exchange.loaded import Loaded
from negbench.benchmark.results import integrity
from negbench.benchmark.results.leaderboard import load as load_board
from negbench.benchmark.sweeps import tracking
from negbench.pipelines import project
from outside import MATRIX, PLACE, RUN, SIDES, recorded

# --- Where such records stand -----------------------------------------------------------------------------------


def externals(images: Tensor, captions: Tensor, count: int = 3) -> None:
    """Seeds that differ a little."""
    for seed in range(count):
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
        negbench.record("small", normalize(images + 0.01 * noise, dim=1), captions, method="SGRAF", seed=seed)


def test_they_have_a_table_of_their_own_unless_asked(own: Loaded) -> None:
    externals(own.gallery.images, own.gallery.captions)
    for seed in (1, 2):
        copy_of_run(seed)
    trained, external = load_board(dataset="small").groups
    assert ([row.method for row in trained.rows], [row.method for row in external.rows]) == (["fne"], ["SGRAF"])
    assert (external.external, external.rows[0].seeds) == (True, (0, 1, 2))
    (both,) = load_board(dataset="small", baseline="fne", with_external=True).groups
    assert {row.key: row.mark is not None for row in both.rows} == {
        trained.rows[0].key: False,
        external.rows[0].key: True,
    }
    for shape in ("md", "latex", "html", "rich", "csv", "json"):
        for more in ([], ["--with-external"]):
            done = bench("leaderboard", "--format", shape, *more)
            assert done.exit_code == 0, done.output
            assert "SGRAF" in done.stdout
    page = bench("leaderboard", "--format", "md").stdout
    assert "| `SGRAF` | external |" in " ".join(page.split())
    assert "trained elsewhere, by no common recipe or budget" in page
    assert "no recipe and no budget is shared" not in page
    assert "no recipe and no budget is shared" in bench("leaderboard", "--format", "md", "--with-external").stdout
    rows = json.loads(bench("leaderboard", "--format", "json").stdout)
    assert [(row["method"], row["external"], row["memory"]) for row in rows] == [
        ("fne", False, 0),
        ("SGRAF", True, None),
    ]


def copy_of_run(seed: int) -> None:
    """The trained cell under another seed."""
    place = RUN.with_name(f"seed-{seed}")
    shutil.copytree(RUN, place)
    record = integrity.read(RUN)
    assert record.config is not None
    config = record.config.model_copy(update={"seed": seed})
    record = record.model_copy(update={"config": config, "config_hash": config.hash})
    (place / "run.json").write_text(record.model_dump_json())


def test_a_board_of_nothing_else_is_written_and_the_baseline_is_never_one_of_them(own: Loaded) -> None:
    recorded(*SIDES)
    shutil.rmtree(RUN)
    assert bench("leaderboard", "--folder", "board").exit_code == 0
    assert json.loads(Path("board/metrics.json").read_text()).keys() == {"small-external"}
    content = json.loads(Path("board/leaderboard.json").read_text())
    assert (content[0]["encoder"], content[0]["baseline"]) == (None, None)


def test_two_are_compared_query_by_query(own: Loaded) -> None:
    recorded(*SIDES)
    done = bench("compare", "fne", "SGRAF", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["b"] == {"method": "SGRAF", "memory": 0, "momentum": None, "external": True}
    assert found["lines"][-1]["difference"] == 0
    assert "trained elsewhere" in found["sentences"][-1]
    negbench.record("small", own.gallery.images, own.gallery.captions.flip(0), method="fne")
    assert "has several rows; choose with --memory" in bench("compare", "fne", "SGRAF").stderr
    both = json.loads(bench("compare", "fne", "SGRAF", "--memory", "external", "--json").stdout)
    assert both["a"]["external"]
    assert both["lines"][-1]["difference"] != 0
    mixed = json.loads(bench("compare", "fne", "fne", "--memory", "0,external", "--json").stdout)
    assert mixed["lines"][-1]["difference"] == -both["lines"][-1]["difference"]


def test_rows_of_other_tests_are_not_compared(own: Loaded) -> None:
    recorded(*SIDES)
    content = json.loads((PLACE / "run.json").read_text())
    (PLACE / "run.json").write_text(json.dumps(content | {"manifest_hash": "0" * 32}))
    done = bench("compare", "fne", "SGRAF")
    assert (done.exit_code, "stand together in no table" in done.stderr) == (3, True)
    assert "trained elsewhere [manifest 00000000]" in " ".join(done.stderr.split())
    assert len(load_board(with_external=True).groups) == 2


def test_dvc_is_told_of_records_of_the_project_alone(own: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(project, "add", lambda folders, say: told.extend(folders))
    Path("params.yaml").write_text("datasets: [small]\n")
    for folder in (PLACE, Path("elsewhere")):
        assert not [*tracking.track_external("small", folder, print)]
    assert not [*tracking.track_external("other", PLACE, print)]
    assert told == [PLACE]


def test_neighbours_are_shown_where_embeddings_were_given(own: Loaded) -> None:
    recorded(*SIDES)
    done = bench("inspect", str(PLACE), "--anchor", "test-00003", "--methods", "hardest,fne,gist", "--json")
    assert done.exit_code == 0, done.stderr
    trained = json.loads(bench("inspect", str(RUN), "--anchor", "test-00003", "--json").stdout)
    for look, expected in zip(json.loads(done.stdout)["looks"], trained["looks"], strict=True):
        assert [item["id"] for item in look["top"]] == [item["id"] for item in expected["top"]]
        assert look["rank"] == expected["rank"]
        assert [picks["method"] for picks in look["picks"]] == ["hardest", "fne", "gist"]
        assert "frozen features" in look["picks"][2]["reason"]
    assert bench("inspect", str(PLACE), "--methods", "", "--html", "page.html").exit_code == 0
    recorded(*MATRIX, "--replace")
    done = bench("inspect", str(PLACE))
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
    assert "no embeddings were given of SGRAF" in done.stderr


@pytest.mark.parametrize("spoil", ["cut", "other", "missing"])
def test_embeddings_that_are_not_those_of_the_record_are_refused(own: Loaded, spoil: str) -> None:
    recorded(*SIDES)
    path = PLACE / "embeddings.safetensors"
    if spoil == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-4] + (b"" if spoil == "cut" else b"xxxx"))
    done = bench("inspect", str(PLACE))
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
    assert "embeddings.safetensors" in done.stderr


def test_pictures_take_them_or_say_why_not(own: Loaded) -> None:
    recorded(*SIDES)
    done = bench("plot", "picks")
    assert done.exit_code == 0
    assert Path("plots/picks-small-external.png").exists()
    for name, why in (("curves", "no history"), ("cost", "all were trained elsewhere")):
        done = bench("plot", name)
        assert (done.exit_code, why in done.stderr) == (0, True)
        assert not Path(f"plots/{name}-small-external.png").exists()
    done = bench("plot", "similarities", "--run", str(PLACE))
    assert (done.exit_code, "no epochs to draw" in done.stderr) == (3, True)
    done = bench("audit", str(PLACE))
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
