"""What the documents show runs: every Python block, and every line of ``bench``, at least as far as it is parsed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from commands import bench
from negbench.benchmark.cli.main import app
from negbench.pipelines import sources

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = {"", "sh", "bash", "console"}
MEANT = {"$r": "margin=0.2", "$seed": "0", "NAME": "curves", "N": "0"}
"""What stands for words that a reader fills in."""
RUN = """
bench data add my --precomp path/to/features
bench data check my
bench data check my --json
bench data list
bench features --dataset my
bench run --method fne --dataset my
bench run --method fne --dataset scenes
bench run --method hardest --dataset scenes
bench leaderboard
bench leaderboard --dataset scenes --format md
bench inspect runs/scenes/fne/seed-0 --anchor worst --html worst.html
bench plot similarities --run runs/scenes/fne/seed-0 --epoch 2 --epoch 5
""".strip().splitlines()
"""What runs in a small project, in this order."""
OWN = {"bench run --method fne --dataset scenes", "bench run --method hardest --dataset scenes"}
"""Lines that no document has, which others need."""


def fenced(path: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each block."""
    for found in re.finditer(
        r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    ):
        yield found[1], found[2]


def blocks() -> Iterator[tuple[str, str]]:
    """Name and text of each Python block."""
    for path in PAGES:
        for number, (language, text) in enumerate(fenced(path)):
            if language == "python":
                yield f"{path.relative_to(ROOT)}-{number}", text


def lines() -> Iterator[str]:
    """Each line of ``bench`` in a block for a shell, without what a reader leaves out and the remark behind it."""
    for path in PAGES:
        for language, text in fenced(path):
            if language in SHELL:
                for line in text.replace("\\\n", " ").splitlines():
                    if found := re.match(r"(?:.*; do )?\s*(bench .*?)(?:; done)?$", line):
                        yield re.sub(r"\s+", " ", re.sub(r"\s+#.*", "", found[1])).strip()


LINES = sorted(set(lines()))


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks()])
def test_python_runs(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(text, "block", "exec"), {"__name__": "example"})
    assert not capsys.readouterr().err


@pytest.mark.parametrize("line", LINES)
def test_a_command_and_its_options_exist(line: str) -> None:
    """It is parsed in full, and what it would do is not done."""
    line = re.sub(r"(\w+)(\|\w+)+", r"\1", line).replace("[", "").replace("]", "")
    words = [MEANT.get(word, word) for word in shlex.split(line)][1:]
    group, rest, asked = get_command(app), list(words), []
    while isinstance(group, TyperGroup) and rest:
        asked.append(rest[0])
        group = group.commands[rest.pop(0)]
    done = []
    group.callback = lambda **settings: done.append(settings)
    group.main(rest, prog_name=" ".join(["bench", *asked]), standalone_mode=False)
    assert len(done) == 1


def test_every_command_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The commands")[2].partition("##")[0]
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert [name for name in group.commands if f"`bench {name}" not in table] == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Features at ``path/to/features``, a small ``scenes``, and a short recipe."""
    monkeypatch.chdir(tmp_path)
    folder = Path("path/to/features")
    folder.mkdir(parents=True)
    for part, images in (("train", 40), ("dev", 12), ("test", 12)):
        features = np.random.default_rng(0).normal(size=(images, 8)).astype(np.float32)
        np.save(folder / f"{part}_ims.npy", np.repeat(features, 5, axis=0))
        (folder / f"{part}_caps.txt").write_text("".join(f"{part} {k}\n" for k in range(images * 5)))
    small = {"seed": 0, "train": 60, "val": 20, "test": 20, "ambiguity": 0.5}
    sources.write("scenes", sources.Source(format="scenes", encoder="hog+ngrams", settings=small))
    Path("params.yaml").write_text(
        "datasets: [scenes]\nencoders: {}\nmethods: [fne, hardest]\nseeds: [0]\n"
        "recipe: {epochs: 6, batch: 32, memory: 0, dim: 8}\nsettings: {fne: {}, hardest: {}}\n"
    )
    return tmp_path


def test_short_commands_run(project: Path) -> None:
    assert set(RUN) - OWN <= set(LINES)
    for line in RUN:
        done = bench(*shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.stderr}"
