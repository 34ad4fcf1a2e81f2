"""How to cite: only what a method's own docstring says, and the suite itself."""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands import bench
from negbench.benchmark.results.citations import bibliography, citation, found_in
from negbench.methods.registry import names, place_of

ROOT = Path(__file__).parents[1]
FNE = """@inproceedings{li2023your,
  author = {H. Li and Y. Bin and J. Liao and Y. Yang and H. T. Shen},
  title = {{Your Negative May not Be True Negative: Boosting Image-Text Matching with False Negative Elimination}},
  booktitle = {ACM MM},
  year = {2023},
}
"""
WITHOUT = {
    *("dcmc", "fne-info-nce", "fne-paper", "gamma-margin", "multi-positive", "positive-aware"),
    *("random", "selhn", "top-k"),
}
"""Methods whose docstrings name no source, or no title, or no authors."""


def test_a_method_is_cited_as_its_docstring_says() -> None:
    done = bench("methods", "fne", "--bibtex")
    assert (done.exit_code, done.stdout, done.stderr) == (0, FNE, "")


def test_nothing_is_said_that_the_docstring_does_not_say() -> None:
    cited = {name: one for name in names() if (one := citation(name))}
    assert {*names()} - {*cited} == WITHOUT
    for name, one in cited.items():
        path = place_of(name)
        assert isinstance(path, Path)
        said = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
        authors = ", ".join(one.authors) + (" et al." if one.more else "")
        assert f"{authors}: {one.title}" in said, name
        for part in (one.venue, one.year, one.arxiv):
            assert part in said.partition(one.title)[2][:60], name


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("A. B. Cee-Dee, E.-F. Gee: A, b and C: d, ECCV 2020 (XY).", "inproceedings", "title = {{A, b and C: d}}"),
        ("A. Bee et al.: Title (ACRO),\nIEEE Transactions on Things, 2023.", "article", "author = {A. Bee and others}"),
        ("A. Bee: Title, 2024 (arXiv 2402.16829), as in X.", "misc", "eprint = {2402.16829}"),
    ],
)
def test_a_source_becomes_an_entry(source: str, kind: str, said: str) -> None:
    one = found_in(f"Summary.\n\n{source}")
    assert one is not None
    assert one.bibtex().startswith(f"@{kind}{{")
    assert said in one.bibtex()


@pytest.mark.parametrize(
    "source",
    [
        *("", "A. Bee, ECCV 2020.", "Title, ECCV 2020.", "A. Bee: Title, ECCV.", "See A. Bee: Title, ECCV 2020."),
        "A. Bee: }\\input{x}, ECCV 2020.",
    ],
)
def test_half_a_source_is_none(source: str) -> None:
    assert found_in(f"Summary.\n\n{source}") is None


def test_all_are_cited_once_and_the_others_are_told() -> None:
    done = bench("methods", "--bibtex")
    assert done.exit_code == 0
    keys = re.findall(r"^@\w+{(\w+),$", done.stdout, flags=re.M)
    assert len(keys) == len({*keys}) > 20
    assert {*done.stderr.strip().partition(": ")[2].split(", ")} == WITHOUT
    sources = {one for name in names() if (one := citation(name))}
    assert len({one.title for one in sources}) == len(keys)
    assert bibliography([])[0] == ""


def test_what_cannot_be_cited_is_one_line() -> None:
    done = bench("methods", "random", "--bibtex")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: method 'random' has no citation: its docstring does not name")
    assert bench("methods", "fen", "--bibtex").stderr == "error: unknown method 'fen'; did you mean 'fne'?\n"
    assert bench("methods", "--bibtex", "--json").stderr == "error: --bibtex and --json: give one of them\n"


def test_the_suite_is_cited_by_its_own_name_and_version() -> None:
    about = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{about["version"]}"' in project
    assert f'license = "{about["license"]}"' in project
    assert about["authors"][0]["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert {"cff-version", "message", "title"} <= about.keys()
