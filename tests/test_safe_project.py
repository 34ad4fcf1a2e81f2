"""What the project's own small files say is checked: names, sizes, shapes; and none of it reaches a shell."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from commands import BENCH, bench
from negbench.benchmark.recipe.schema import RunConfig
from negbench.pipelines import project as pipeline
from negbench.pipelines import sources
from negbench.pipelines.encoders import spelled
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import LARGEST_YAML, read_yaml
from negbench.pipelines.names import check_encoder
from negbench.pipelines.sources.known import KNOWN

ROOT = Path(__file__).parents[1]
PARAMS = "# kept\ndatasets: [] # and this\nencoders: {}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with ``params.yaml`` and a folder ``raw`` of precomputed features."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    Path("params.yaml").write_text(PARAMS)
    Path("raw").mkdir()
    for part in ("train", "dev", "test"):
        np.save(f"raw/{part}_ims.npy", np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
        Path(f"raw/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(24)))
    return tmp_path


def one_line(*words: str) -> tuple[int, str]:
    """Exit code and the one line of a command that is refused."""
    code, _, err = bench(*words)
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert len(line) < 600
    return code, line


def dvc(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False)


LISTER = """
import sys, time
from negbench.pipelines import project
from pathlib import Path
Path(f"{sys.argv[1]}.ready").touch()
while not Path("go").exists():
    time.sleep(0.001)
for round in range(8):
    project.list_in_params(f"{sys.argv[1]}{round}", "hog+ngrams", lambda line: None)
"""


def test_four_processes_at_once_lose_no_dataset(project: Path) -> None:
    names = ["a", "b", "c", "d"]
    running = [subprocess.Popen([sys.executable, "-c", LISTER, name]) for name in names]
    while not all(Path(f"{name}.ready").exists() for name in names):
        time.sleep(0.01)
    Path("go").touch()
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    expected = sorted(f"{name}{turn}" for name in names for turn in range(8))
    params = pipeline.read_params()
    assert sorted(params["datasets"]) == expected
    assert sorted(params["encoders"]) == expected
    assert Path("params.yaml").read_text().startswith("# kept\n")


def test_four_adds_at_once_are_all_listed_and_one_name_is_taken_once(project: Path) -> None:
    shutil.copytree("raw", "other")
    np.save("other/dev_ims.npy", np.ones((12, 3), dtype=np.float32))
    words = [("one", "raw"), ("two", "raw"), ("one", "other"), ("three", "raw")]
    command = [*BENCH, "data", "add"]
    running = [
        subprocess.Popen([*command, name, "--from", folder], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, folder in words
    ]
    said = [process.communicate()[1] for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 0, 0, 2], said
    loser = codes.index(2)
    assert words[loser][0] == "one"
    assert said[loser].splitlines()[-1] == "error: dataset 'one' is registered already; --replace takes its place"
    assert sorted(pipeline.read_params()["datasets"]) == ["one", "three", "two"]
    (winner,) = (folder for (name, folder), code in zip(words, codes, strict=True) if name == "one" and code == 0)
    assert sources.read("one").path == winner


def test_an_unlisted_dataset_is_listed_when_it_is_the_same_and_never_replaced(project: Path) -> None:
    assert bench("data", "add", "my", "--from", "raw")[0] == 0
    Path("params.yaml").write_text(PARAMS)  # as an add that was cut short leaves it
    shutil.copytree("raw", "other")
    np.save("other/dev_ims.npy", np.ones((12, 3), dtype=np.float32))
    before = {path: path.read_bytes() for path in [*Path("data/my").iterdir(), Path("data/my.yaml")]}
    for more in (["--from", "other"], ["--from", "raw", "--noise-ratio", "0.5"], ["--format", "scenes"]):
        code, _, err = bench("data", "add", "my", *more)
        assert code == 2
        assert "'my' is registered already" in err.splitlines()[-1]
        assert {path: path.read_bytes() for path in [*Path("data/my").iterdir(), Path("data/my.yaml")]} == before
        assert Path("params.yaml").read_text() == PARAMS
    assert bench("data", "add", "my", "--from", "raw")[0] == 0
    assert pipeline.read_params()["datasets"] == ["my"]
    assert bench("data", "add", "my", "--from", "other", "--replace")[0] == 0


def test_an_add_that_was_killed_while_dvc_recorded_it_is_taken_up(project: Path) -> None:
    """It is listed by then. Without a mark of that nothing tells it from one that came to its end."""
    kill = (
        "import os, sys; from negbench.pipelines import project; project.track = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    script = f"{kill}from negbench.benchmark.cli.main import main; main()"
    words = ["data", "add", "my", "--from", "raw"]
    assert subprocess.run([sys.executable, "-c", script, *words], check=False).returncode == -9
    assert pipeline.read_params()["datasets"] == ["my"]
    Path("raw/dev_caps.txt").write_text("other\n" * 24)
    code, _, err = bench(*words)
    assert (code, "registered already, made from something else" in err) == (2, True)
    Path("raw/dev_caps.txt").write_text("".join(f"dev caption {k}\n" for k in range(24)))
    assert bench(*words)[0] == 0
    code, _, err = bench(*words)
    assert (code, err) == (2, "error: dataset 'my' is registered already; --replace takes its place\n")


def test_params_behind_a_link_keep_it_and_their_mode(project: Path) -> None:
    Path("elsewhere").mkdir()
    Path("params.yaml").rename("elsewhere/real.yaml")
    Path("elsewhere/real.yaml").chmod(0o600)
    Path("params.yaml").symlink_to("elsewhere/real.yaml")
    assert pipeline.list_in_params("my", "hog+ngrams", print)
    assert Path("params.yaml").is_symlink()
    assert Path("elsewhere/real.yaml").stat().st_mode & 0o777 == 0o600
    assert "- my" in Path("elsewhere/real.yaml").read_text() or "[my]" in Path("elsewhere/real.yaml").read_text()
    assert [path.name for path in Path("elsewhere").iterdir()] == ["real.yaml"]


PIPELINE = """\
stages:
  prepare:
    foreach: ${encoders}
    do:
      cmd: bench data prepare ${key}
      deps:
        - data/${key}.yaml
      outs:
        - data/${key}
"""


def test_add_ends_with_1_when_dvc_recorded_nothing(project: Path) -> None:
    Path(".dvc").mkdir()  # a repository that DVC cannot work in
    Path(".dvc/config").write_text("[core\n")
    Path("dvc.yaml").write_text(PIPELINE)
    code, _, err = bench("data", "add", "my", "--from", "raw")
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("error: 'my' is added, but DVC did not record data/my (")
    assert last.endswith("; run: dvc commit --force prepare@my")
    shutil.rmtree(".dvc")
    assert bench("data", "add", "my", "--from", "raw")[0] == 0  # or the same again, once that is mended
    assert bench("data", "add", "my", "--from", "raw")[0] == 2
    assert Path("data/my/dataset.json").exists()
    assert pipeline.read_params()["datasets"] == ["my"]


def test_add_waits_for_another_dvc_process(project: Path) -> None:
    assert dvc("init", "--no-scm", "--quiet").returncode == 0
    Path("dvc.yaml").write_text(PIPELINE)
    Path(".dvc/tmp").mkdir(exist_ok=True)
    held = os.open(".dvc/tmp/lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        threading.Timer(0.5, os.close, [held]).start()

    sources.write("my", sources.Source(format="precomp", path="raw", encoder="precomputed+ngrams"))
    assert pipeline.list_in_params("my", "precomputed+ngrams", print)
    assert bench("data", "prepare", "my")[0] == 0
    lines = list(pipeline.track("my", lambda: None, say))
    assert lines == [pipeline.Tracked("DVC tracks data/my (stage prepare@my)")]
    assert said == [f"waiting for another DVC process, up to {pipeline.PATIENCE} s"]


@pytest.fixture
def whole(project: Path) -> Path:
    """A project with the pipeline as it is, in a repository of DVC; ``bench`` is that of this environment."""
    for name in ("benchmark", "methods", "pipelines"):
        shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    settings = {"seed": 0, "train": 20, "val": 10, "test": 10}
    sources.write("scenes", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    assert dvc("init", "--no-scm", "--quiet").returncode == 0
    return project


EVIL = ["$(touch PWN1)/../scenes", "'; touch PWN2; '/../scenes", "x\ntouch PWN3\n/../scenes"]


@pytest.mark.slow
def test_what_params_name_reaches_no_shell_and_empties_no_folder(whole: Path) -> None:
    """Before, ``--encoder`` of a hand-written ``params.yaml`` was a piece of a command line."""
    Path("victim").mkdir()
    Path("victim/thesis.txt").write_text("years")
    code = {path: path.read_bytes() for path in Path("methods").rglob("*.py")}
    good = {"datasets": ["scenes"], "encoders": {"scenes": "hog+ngrams"}, "methods": ["random"], "seeds": [0]}
    good |= {"tune": {"method": "fne", "dataset": "scenes"}, "recipe": {}, "settings": {}}
    for change in ({"encoders": {"scenes": "../../victim"}}, {"methods": [f"{EVIL[0]}/../random"]}):
        Path("params.yaml").write_text(json.dumps(good | change))
        done = dvc("repro", "--keep-going")
        assert done.returncode != 0
        assert "error: params.yaml: " in done.stdout + done.stderr
    # not even where the stage that looks at the names is passed over, as it may be by hand
    Path("checked").mkdir(exist_ok=True)
    Path("data/scenes").mkdir()
    Path("features").mkdir()
    Path("features/scenes.json").write_text("{}")
    for evil in EVIL:
        named = {"encoders": {evil: f"hog+hf:./x{evil}"}, "datasets": [evil], "settings": {"random": {}}}
        Path("params.yaml").write_text(json.dumps(good | named))
        for stage in (f"features@{evil}", f"run@{evil}-random-0")[: 2 if evil == EVIL[0] else 1]:
            done = dvc("repro", "--force", "--single-item", stage)
            assert done.returncode != 0
            assert f"Running stage '{stage}'" in done.stdout
    assert not list(Path().rglob("PWN*"))
    assert Path("victim/thesis.txt").read_text() == "years"
    assert {path: path.read_bytes() for path in Path("methods").rglob("*.py")} == code


@pytest.mark.slow
def test_a_model_in_a_folder_with_spaces_goes_through_the_pipeline(whole: Path) -> None:
    hf = pytest.importorskip("transformers", reason="extra [hf] is not installed")
    from tiny_models import TEXT, tokenizer

    hf.BertModel(hf.BertConfig(**TEXT)).save_pretrained("my model")
    tokenizer(16).save_pretrained("my model")
    encoder = spelled("hog+hf:./my model")
    sources.write("scenes", sources.read("scenes").model_copy(update={"encoder": encoder}))
    params = {"datasets": ["scenes"], "encoders": {"scenes": encoder}, "methods": ["random"], "seeds": [0]}
    params |= {"tune": {"method": "fne", "dataset": "scenes"}, "settings": {"random": {}}}
    params |= {"recipe": {"epochs": 2, "batch": 16, "memory": 0, "dim": 8}}
    Path("params.yaml").write_text(json.dumps(params))
    done = dvc("repro", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(Path("runs/scenes/random/seed-0/run.json").read_text())
    assert record["config"]["encoder"] == "hog+hf:.--my model"
    assert Path("features/scenes/hog+hf:.--my model/features.json").exists()


@pytest.mark.parametrize(
    "bad", ["$(x)", "`x`", "a;b", "a|b", "'", '"', "a\\b", "a\nb", "\x1b[31m", "a*", "<b>", "{x}", "&"]
)
def test_an_encoder_s_name_is_checked_wherever_it_comes_in(project: Path, bad: str) -> None:
    encoder = f"hog+hf:./x{bad}"
    with pytest.raises(RequestError, match="cannot stand in it; use letters, digits, spaces and "):
        check_encoder(encoder)
    with pytest.raises(ValueError, match="cannot stand in it"):
        RunConfig(method="fne", dataset="my", encoder=encoder)
    sources.write("my", sources.Source(format="precomp", path="raw", encoder=encoder))
    flags = ["--method", "fne", "--dataset", "my"]
    Path("cell.yaml").write_text(json.dumps({"encoder": encoder}))
    for words in (
        ["features", *flags[2:], "--encoder", encoder],
        ["features", *flags[2:]],
        ["run", *flags],
        ["run", *flags, "--config", "cell.yaml"],
        ["data", "add", "other", "--from", "raw", "--encoder", encoder],
    ):
        code, line = bench(*words)[0], bench(*words)[2].splitlines()[-1]
        assert (code, "cannot stand in it" in line) == (2, True), (words, line)
    Path("params.yaml").write_text(json.dumps({"encoders": {"my": encoder}}))
    code, line = one_line("run", *flags)
    assert (code, line.startswith("error: params.yaml: encoders: encoder 'hog+hf:./x")) == (2, True)
    assert not Path("features").exists()
    assert not Path("runs").exists()


NAMES = ["../../evil", "/etc/x", "con", "nul", "a\nb", "a b", "A", "", ".", "..", "-x", "a" * 300, "\x1b[31m"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused_in_params_and_flags(project: Path, name: str) -> None:
    for content in ({"datasets": [name]}, {"encoders": {name: "hog+ngrams"}}, {"tune": {"dataset": name}}):
        Path("params.yaml").write_text(json.dumps(content))
        code, line = one_line("run", "--method", "fne", "--dataset", "my")
        assert code == 2
        assert line.startswith(f"error: params.yaml: {next(iter(content))}")
        assert "dataset name '" in line
    Path("params.yaml").write_text(PARAMS)
    Path("cell.yaml").write_text(json.dumps({"dataset": name, "method": "fne"}))
    for words in (
        ["run", "--method", "fne", "--dataset", name],
        ["run", "--config", "cell.yaml"],
        ["features", "--dataset", name],
        ["tune", "--method", "fne", "--dataset", name],
        ["sweep", "--methods", "fne", "--datasets", f"{name},"],
    ):
        if name in ("", "-x") and "--dataset" in words:
            continue  # no dataset is named, or an option
        assert one_line(*words)[0] == 2, words
    with pytest.raises(ValueError, match="dataset name"):
        RunConfig(method="fne", dataset=name, encoder="hog+ngrams")
    assert sorted(path.name for path in project.iterdir()) == ["cell.yaml", "params.yaml", "raw"]


def test_names_of_methods_in_params_are_checked_with_the_nearest(project: Path) -> None:
    for content, said in (
        ({"methods": ["hardes"]}, "methods: unknown method 'hardes'; did you mean 'hardest'?"),
        ({"methods": ["../x"]}, "methods: unknown method '../x'; valid: "),
        ({"methods": ["fne+x=/../../y"]}, "methods: 'fne+x=/../../y': write it as method+key=value"),
        ({"settings": {"fnee": {}}}, "settings: unknown key 'fnee'; did you mean 'fne'?"),
        ({"tune": {"method": "fnne"}}, "tune.method: unknown method 'fnne'; did you mean 'fne'?"),
        ({"tune": {"trails": 3}}, "tune: unknown key 'trails'; did you mean 'trials'?"),
        ({"seeds": [-1]}, "seeds[0]: -1 must be at least 0"),
    ):
        Path("params.yaml").write_text(json.dumps(content))
        for words in (["run", "--method", "fne", "--dataset", "my"], ["params"]):
            code, line = one_line(*words)
            assert (code, line.startswith(f"error: params.yaml: {said}")) == (2, True), line
    Path("params.yaml").write_text(json.dumps({"datasets": ["scnes"]}))
    sources.write("scenes", sources.Source(format="scenes", encoder="hog+ngrams"))
    said = "error: params.yaml: datasets: unknown dataset 'scnes'; did you mean 'scenes'?"
    assert one_line("params") == (2, said)
    assert not Path("checked").exists()


def test_tune_does_what_params_say_where_it_is_told_nothing_else(project: Path) -> None:
    Path("params.yaml").write_text(json.dumps({"tune": {"method": "fne", "dataset": "absent", "trials": 3}}))
    Path("data").mkdir()
    assert one_line("tune") == (3, f"error: unknown dataset 'absent'; valid: {', '.join(sorted(KNOWN))}")
    assert one_line("tune", "--dataset", "other")[1].startswith("error: unknown dataset 'other'")


BOMB = "a0: &a0 [1, 1, 1]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}, *a{k - 1}]\n" for k in range(1, 40))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}\n" for k in range(1, 40))
BROKEN: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b"datasets: [a]\nrecipe: {device: \xff}\n", ":2: not UTF-8 (byte 0xff)"),
    "UTF-16": ("datasets: []".encode("utf-16"), ": not UTF-8"),
    "deep": (b"recipe: " + b"[" * 20_000, ": not YAML that can be read: nested too deep"),
    "digits": (b"seeds: [" + b"9" * 5000 + b"]", ": not YAML that can be read: a number has too many digits"),
    "hexadecimal": (b"seeds: [0x" + b"f" * 5000 + b"]", ": not YAML that can be read: a number has too many digits"),
    "date": (b"seeds: [2020-99-99]", ": not YAML that can be read: "),
    "laughs": (BOMB.encode(), ": more than 100,000 values, with what its aliases repeat"),
    "merged laughs": (MERGED.encode(), ": more than 100,000 values, with what its aliases repeat"),
    "itself": (b"a: &a [*a]", ": more than 100,000 values, with what its aliases repeat"),
    "twice": (b"seeds: [1]\nseeds: [2]\n", ":2: the same key again (column 1)"),
    "two texts": (b"---\na: 1\n---\nb: 2\n", ":3: not YAML"),
    "a tag": (b'seeds: !!python/object/apply:os.system ["touch PWN"]', ":1: not YAML"),
    "NUL": (b"seeds: \0", ": not YAML"),
    "large": (b"#" * (LARGEST_YAML + 1), " too large for what it should be"),
    "no mapping": (b"- 1\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_of_the_project_is_one_line(project: Path, name: str) -> None:
    content, said = BROKEN[name]
    for file, words, codes in (
        ("params.yaml", ["run", "--method", "fne", "--dataset", "my"], (2,)),
        ("cell.yaml", ["run", "--method", "fne", "--dataset", "my", "--config", "cell.yaml"], (2,)),
        ("data/my.yaml", ["data", "check", "my"], (3,)),
        ("params.yaml", ["data", "add", "new", "--from", "raw"], (3,)),
    ):
        if name == "a tag" and words[0] == "data" and words[1] == "add":
            continue  # what changes a file keeps a tag, and does nothing with it
        before = Path("params.yaml").read_bytes()
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_bytes(content)
        code, line = one_line(*words)
        assert code in codes, line
        assert line.startswith(f"error: {file}{said}") or said in line, line
        assert file in line
        Path(file).unlink()
        Path("params.yaml").write_bytes(before)
    assert not Path("PWN").exists()
    assert sorted(path.name for path in project.iterdir()) == ["data", "params.yaml", "raw"]


def test_a_pipe_in_a_file_s_place_is_refused_and_not_waited_for(project: Path) -> None:
    Path("params.yaml").unlink()
    os.mkfifo("params.yaml")
    Path("data").mkdir()
    os.mkfifo("data/my.yaml")
    for words in (["run", "--method", "fne", "--dataset", "my"], ["data", "add", "new", "--from", "raw"]):
        assert one_line(*words)[1] == "error: params.yaml: not a file"
    Path("params.yaml").unlink()
    assert one_line("data", "check", "my") == (3, "error: data/my.yaml: not a file")
    os.mkfifo("cell.yaml")
    assert one_line("run", "--config", "cell.yaml") == (2, "error: cell.yaml: not a file")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[" * 50_000, "the value: not YAML that can be read: nested too deep"),
        ("9" * 5000, "the value: not YAML that can be read: a number has too many digits"),
        ("2020-99-99", "the value: not YAML that can be read: "),
        ("[", "the value:1: not YAML"),
        ("x" * 50_000, "epochs: expected a whole number, got 'x"),
    ],
)
def test_a_value_that_is_none_is_one_short_line(project: Path, value: str, said: str) -> None:
    sources.write("my", sources.Source(format="precomp", path="raw", encoder="precomputed+ngrams"))
    code, line = one_line("run", "--method", "fne", "--dataset", "my", "--set", f"epochs={value}")
    assert code == 2
    assert said in line


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_registration_leaves_the_others_listed(project: Path, name: str) -> None:
    sources.write("good", sources.Source(format="precomp", path="raw", encoder="precomputed+ngrams"))
    Path("data/bad.yaml").write_bytes(BROKEN[name][0])
    code, out, err = bench("data", "list", "--json")
    assert code == 0, err
    listed = {row["name"]: row for row in json.loads(out)}
    assert (listed["good"]["status"], listed["bad"]["status"]) == ("not prepared", "broken")
    assert listed["bad"]["fault"].startswith("data/bad.yaml")
    code, out, err = bench("data", "list")
    assert code == 0
    assert "broken: data/bad.yaml" in err
    assert "good" in out


@pytest.mark.parametrize(
    "content", ["[]", "{", "{}", '{"counts": 3}', '{"counts": {"train": {"images": 1e999}}}', "[" * 9999]
)
def test_one_broken_manifest_leaves_the_others_listed(project: Path, content: str) -> None:
    for name in ("good", "bad"):
        sources.write(name, sources.Source(format="precomp", path="raw", encoder="precomputed+ngrams"))
    Path("data/bad").mkdir()
    Path("data/bad/dataset.json").write_text(content)
    code, out, _ = bench("data", "list", "--json")
    assert code == 0
    listed = {row["name"]: row for row in json.loads(out)}
    assert (listed["good"]["status"], listed["bad"]["status"]) == ("not prepared", "broken")
    assert "run: bench data prepare bad" in listed["bad"]["fault"]


def test_aliases_that_repeat_little_are_read(project: Path) -> None:
    Path("x.yaml").write_text("base: &base {a: 1}\nother: {<<: *base, b: 2}\n")
    assert read_yaml(Path("x.yaml")) == {"base": {"a": 1}, "other": {"a": 1, "b": 2}}
    with pytest.raises(DataError, match="No such file"):
        read_yaml(Path("absent.yaml"))


def test_what_lies_in_the_folder_is_not_what_runs(project: Path) -> None:
    assert dvc("init", "--no-scm", "--quiet").returncode == 0
    Path("dvc.yaml").write_text(PIPELINE)
    for what in ("dvc", "typer", "methods", "benchmark", "ruamel"):
        Path(f"{what}.py").write_text("open('HIJACKED', 'w')")
        Path(what).mkdir()
        Path(what, "__init__.py").write_text("open('HIJACKED', 'w')")
    bench_itself = str(Path(sys.executable).with_name("bench"))
    done = subprocess.run(
        [bench_itself, "data", "add", "my", "--from", "raw"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "DVC tracks data/my" in done.stderr) == (0, True), done.stderr
    assert not Path("HIJACKED").exists()
