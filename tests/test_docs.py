"""The examples in the documents run."""

import re
from pathlib import Path

import pytest

from negbench import methods
from negbench.methods import base

ROOT = Path(__file__).parents[1]


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("number", [0, 1], ids=["loop", "clip"])
def test_the_trainers_in_the_methods_page_train(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    loops = blocks(ROOT / "docs" / "methods.md")
    assert len(loops) == 2
    exec(compile(loops[number], "docs/methods.md", "exec"), {"__name__": "example"})
    losses = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 5
    assert losses[-1] < losses[0]


def test_the_methods_page_names_every_method() -> None:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").partition("## FNE")[0]
    named = {name for row in re.findall(r"^\| (`[^|]*) \|", text, flags=re.M) for name in re.findall(r"`([^`]+)`", row)}
    assert named == set(methods.names())


def test_the_method_in_the_readme_chooses() -> None:
    import torch

    code = blocks(ROOT / "README.md")[0]
    space: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), space)
    method = space["SecondHardest"]
    assert isinstance(method, type)
    assert issubclass(method, base.Sampler)
    similarity = torch.tensor([[0.9, 0.1, 0.8, 0.3]])
    seen = base.Candidates.of(similarity, torch.tensor([0.9]), torch.tensor([0]), torch.arange(4))
    assert method().choose(seen).tolist() == [3]
    assert method(place=3).choose(seen).tolist() == [1]


def test_the_interface_page_example_runs() -> None:
    import doctest

    for module in (base, methods):
        failed, tried = doctest.testmod(module)
        assert tried > 0
        assert failed == 0


def test_no_page_has_a_gap_to_fill() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^[A-Z]{3,}$", text, flags=re.M), path
        assert not re.search(r"-->\n*<!-- /", text), path
