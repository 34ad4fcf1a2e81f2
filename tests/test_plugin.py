"""Somebody else's package adds a method by an entry point: one file, nothing else touched."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import BENCH, bench_process

METHOD = '''"""Second hardest: the second most similar negative, a cheap guard against one bad neighbour."""

from dataclasses import dataclass

from torch import Tensor

from negbench.methods.base import Candidates, Choice, Sampler, TripletSettings, setting


@dataclass(frozen=True)
class SecondSettings(TripletSettings):
    place: int = setting(2, "which of the hardest, 1 is the hardest", low=1, search=Choice((1, 2, 3)))


class SecondHardest(Sampler):
    """The k-th largest s over negatives."""

    Settings = SecondSettings

    def choose(self, candidates: Candidates) -> Tensor:
        place = min(self.settings.place, candidates.similarity.shape[1])
        order = candidates.similarity.topk(place, dim=1)
        return order.indices[:, -1].where(order.values[:, -1] > -float("inf"), candidates.hardest)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """An installed package, as pip leaves it: a module and its metadata on the path."""
    site = tmp_path / "site"
    info = site / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "elsewhere.py").write_text(METHOD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[negbench.methods]\nsecond-hardest = elsewhere:SecondHardest\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def test_is_listed_run_and_tuned_by_its_name(plugin: dict[str, str], tiny: object, tmp_path: Path) -> None:
    listed = bench_process("methods", "--json", env=plugin, cwd=tmp_path)
    assert "second-hardest" in {method["name"] for method in json.loads(listed.stdout)}
    script = """
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.flags import resolve
from negbench.benchmark.training.loop import train
from negbench.pipelines.store import FeatureStore, read_info
from pathlib import Path
folder = Path("features/tiny/made+up")
store = FeatureStore(folder, read_info(folder)["manifest"])
config = resolve({"method": "second-hardest", "dataset": "tiny", "epochs": 2, "batch": 16, "memory": 32}, {"place": 3})
print(config.method_id, train(config, store, None).validation["rsum"] > 0)
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, env=plugin, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "second-hardest[place=3] True", ran.stderr


ENTRY = "[negbench.methods]\n{}\n"
FAULTS = {  # what stands in entry_points.txt, the method that is asked for, the reason
    "taken": ("hardest = elsewhere:SecondHardest", "hardest", "the name is one of the suite's own"),
    "no value": ("second-hardest = not valid!!", "second-hardest", "its entry point is not written MODULE:CLASS"),
    "a path": (
        "../../evil = elsewhere:SecondHardest",
        "../../evil",
        "its name may have letters, digits, - and . alone",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_shows_without_an_import_is_listed_and_disables_nothing_else(
    plugin: dict[str, str], tmp_path: Path, name: str
) -> None:
    """Before, a taken name or a malformed entry point took all methods away."""
    entry, method, reason = FAULTS[name]
    (tmp_path / "site" / "elsewhere-1.0.dist-info" / "entry_points.txt").write_text(ENTRY.format(entry))
    (tmp_path / "site" / "elsewhere.py").write_text("open('imported', 'w')")
    listed = bench_process("methods", "--json", env=plugin, cwd=tmp_path)
    assert listed.exit_code == 0, listed.stderr
    rows = json.loads(listed.stdout)
    (broken,) = [row for row in rows if "broken" in row]
    assert (broken["name"], reason in broken["broken"], "elsewhere" in broken["broken"]) == (method, True, True)
    assert {"hardest", "fne"} <= {row["name"] for row in rows if "broken" not in row}
    assert "broken: " in bench_process("methods", env=plugin, cwd=tmp_path).stdout
    asked = bench_process("methods", method, env=plugin, cwd=tmp_path)
    if method == "hardest":  # the suite's own names win
        assert "most similar candidate" in asked.stdout
    else:
        assert asked.exit_code == 2
        assert reason in asked.stderr
        assert len(asked.stderr.splitlines()) == 1
    assert not (tmp_path / "imported").exists()


def test_a_name_of_two_packages_is_neither_s(plugin: dict[str, str], tmp_path: Path) -> None:
    info = tmp_path / "site" / "another-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY.format("second-hardest = another:Other"))
    asked = bench_process("methods", "second-hardest", env=plugin, cwd=tmp_path)
    assert asked.exit_code == 2
    for package in ("elsewhere:SecondHardest of elsewhere", "another:Other of another"):
        assert package in asked.stderr


def test_a_list_of_entry_points_that_cannot_be_read_is_its_package_s_fault(
    plugin: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "site" / "elsewhere-1.0.dist-info" / "entry_points.txt").write_text(ENTRY.format("second-hardest"))
    script = "from negbench.methods.registry import broken, names; print(broken(), 'fne' in names())"
    done = subprocess.run([sys.executable, "-c", script], env=plugin, capture_output=True, text=True, check=True)
    assert "elsewhere-1.0: its entry_points.txt cannot be read: " in done.stdout
    assert done.stdout.endswith("} True\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise RuntimeError('no')", "method 'second-hardest' cannot be imported: RuntimeError: no"),
        ("import sys; sys.exit(0)", "method 'second-hardest' cannot be imported: SystemExit: 0"),
        ("raise KeyboardInterrupt", "method 'second-hardest' cannot be imported: KeyboardInterrupt"),
        ("class Odd(BaseException): pass\nraise Odd", "method 'second-hardest' cannot be imported: Odd"),
        ("raise RuntimeError('a\\x1b[31m\\nb' * 900)", "cannot be imported: RuntimeError: a?[31m ba?[31m"),
        ("def broken(", "method 'second-hardest' cannot be imported: SyntaxError"),
        ("Other = 3", "method 'second-hardest' cannot be imported: AttributeError"),
        ("SecondHardest = 3", "its entry point is no class derived from negbench.methods.base.Method"),
        (METHOD.replace("def choose", "def choos"), "SecondHardest has no choose"),
        (METHOD.replace("Settings = SecondSettings", "Settings = 3"), "SecondHardest.Settings is no dataclass"),
    ],
)
def test_a_broken_plugin_is_one_line(plugin: dict[str, str], tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "site" / "elsewhere.py").write_text(content)
    ran = bench_process("run", "--method", "second-hardest", "--dataset", "tiny", env=plugin, cwd=tmp_path)
    assert ran.exit_code == 2
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert len(ran.stderr) < 400


def test_a_cell_of_another_method_is_run_beside_a_broken_plugin(
    plugin: dict[str, str], tiny: object, tmp_path: Path
) -> None:
    (tmp_path / "site" / "elsewhere.py").write_text("import os; os._exit(0)")
    (tmp_path / "site" / "elsewhere-1.0.dist-info" / "entry_points.txt").write_text(
        ENTRY.format("second-hardest = elsewhere:SecondHardest\nhardest = elsewhere:SecondHardest\nx = ?")
    )
    words = ("--method", "hardest", "--dataset", "tiny", "--epochs", "2", "--batch", "16", "--memory", "0", "--json")
    script = (
        "import negbench.benchmark.cli.features as features; from negbench.benchmark.cli.main import main\n"
        "from negbench.pipelines.manifest import Manifest; from pathlib import Path\n"
        "from negbench.pipelines.store import FeatureStore\n"
        "manifest = Manifest.read(Path('data/tiny'))\n"
        "store = FeatureStore(Path('features/tiny/made+up'), manifest.hash)\n"
        "features.ensure_with_progress = lambda *words: (manifest, store)\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "run", *words]
    ran = subprocess.run(command, env=plugin, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["method_id"] == "hardest"


def test_an_interrupt_while_a_plugin_loads_stays_one(plugin: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "site" / "elsewhere.py").write_text("import time\nopen('loads', 'w').close()\ntime.sleep(60)\n")
    command = [*BENCH, "methods", "second-hardest"]
    with subprocess.Popen(
        command,
        env=plugin,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        while not (tmp_path / "loads").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert (process.returncode, said) == (130, "interrupted\n")


def test_a_method_that_ends_the_process_while_it_trains_is_no_success(
    plugin: dict[str, str], tiny: object, tmp_path: Path
) -> None:
    (tmp_path / "site" / "elsewhere.py").write_text(
        METHOD.replace("        place = ", "        raise SystemExit(0)\n        place = ")
    )
    words = ["--method", "second-hardest", "--batch", "16", "--memory", "64", "--dim", "8"]
    ran = bench_process("speed", *words, env=plugin, cwd=tmp_path)
    assert ran.exit_code == 1
    assert "error: something that was imported called sys.exit(0)" in ran.stderr


@pytest.mark.parametrize(
    ("content", "listed", "told"),
    [
        ("def broken(", "broken: line 1", "SyntaxError"),
        ('"""None."""', "None.", "one class derived from Method is needed, found none"),
        (METHOD.replace("SecondHardest(", "Two(") + METHOD, "Second hardest", "found SecondHardest, Two"),
    ],
)
def test_a_broken_method_file_is_one_line(
    content: str, listed: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from negbench import methods
    from negbench.methods import registry

    name = f"broken_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert registry.summaries()[name.replace("_", "-")].startswith(listed)
    with pytest.raises(registry.RegistryError, match=told):
        registry.get(name)
