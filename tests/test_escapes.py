"""Text from outside is only ever text, in every format."""

import csv
import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from pydantic import BaseModel, ValidationError
from rich.progress import Progress, TextColumn
from rich.table import Table as RichTable
from rich.text import Text

from commands import bench, bench_process
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.inspection.looks import Inspection, Item, Look, Picks
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports import plots
from negbench.benchmark.reports.inspection_page import page
from negbench.benchmark.reports.plots import cost
from negbench.benchmark.reports.plots.selection import Series, Table, Wanted, safe
from negbench.benchmark.reports.plots.tuning import importance
from negbench.benchmark.reports.screen import Screen
from negbench.benchmark.reports.study_folder import trials_csv
from negbench.benchmark.reports.tables.html import html
from negbench.benchmark.reports.tables.latex import LATEX, latex
from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.reports.tables.programs import as_csv, as_json
from negbench.benchmark.reports.tables.terminal import plain
from negbench.benchmark.reports.terminal.inspection import show
from negbench.benchmark.results.plausibility import RECALLS
from negbench.benchmark.results.published import Published
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import Cost, RunRecord
from negbench.benchmark.results.rows import Group, by_table, group_of
from negbench.benchmark.sweeps.studies import Trial
from negbench.pipelines.errors import invalid, unknown
from negbench.pipelines.text import clean, json_text, one_line

COMMANDS = "\x1b]0;gone\x07\x1b[2J\x9b31m\x00\u202e\u2066\ud800"
"""What a terminal would obey, or an encoding cannot hold."""
HOSTILE = [
    "a\nb",
    "a\n\n# b\r\n- c",
    "a\\input{/etc/passwd}%$#&_{}~^^4d^",
    "}\\end{tabular}\\write18{x}",
    "[2cm]*",
    "<script>alert(1)</script><img src=x onerror=y>&amp;",
    "'\"><svg/onload=x>",
    "a|b\\|c`d``e",
    "*a* _b_ ~~c~~ [d](javascript:e) ![f](http://g) [h]: http://i www.j.kl <http://m>",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r\n=1",
    "[bold]a[/bold] [/nothing] [link=http://b]c[/link] :dog:",
    "$\\frac{$ $x^{y",
    f"a{COMMANDS}b",
]
UNPRINTABLE = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def record(name: str, method: str, seed: int, recipe: str = "0") -> RunRecord:
    """A cell of which all words are ``name``, in no way checked."""
    recalls = {f"{direction}_r{k}": 10.0 + seed for direction in ("i2t", "t2i") for k in (1, 5, 10)}
    config = RunConfig(method="fne", dataset="x", encoder="x", seed=seed, memory=0)
    protocol = Protocol(name="x", images=10, captions=50)
    checked = RunRecord(
        status="done",
        method_id="fne",
        config=config,
        config_hash="0",
        manifest_hash="0",
        features_hash="0",
        recipe_hash=recipe,
        protocol=protocol,
        metrics=recalls | {"rsum": 60.0 + 6 * seed},
        cost=Cost(wall_s=60, step_ms=10 + seed, product_ms=8, peak_mb=500),
    )
    words = {
        "method_id": method,
        "config": config.model_copy(update={"dataset": name, "encoder": name, "epochs": 5 + int(recipe)}),
        "protocol": protocol.model_copy(update={"name": name}),
        "device": name,
    }
    return checked.model_copy(update=words)


def board(name: str) -> list[Group]:
    """Two tables of one dataset, and the literature, in which all words are ``name``."""
    recalls = dict.fromkeys((*RECALLS, "rsum"), 50.0)
    literature = (Published(name, name, False, recalls, name),)
    cells = [
        Recorded(Path(), record(name, method, seed, recipe))
        for recipe in "01"
        for method in (name, f"{name} 2")
        for seed in range(3)
    ]
    groups = [group_of(some) for some in by_table(cells).values()]
    assert len(groups) == 2
    return [replace(group, published=literature) for group in groups]


# --- Terminal ---------------------------------------------------------------------------------------------------


def test_what_commands_a_terminal_is_replaced_and_all_else_stays() -> None:
    assert clean(f"a{COMMANDS}b") == "a" + "\ufffd]0;gone" + "\ufffd" * 2 + "[2J" + "\ufffd31m" + "\ufffd" * 4 + "b"
    for text in ("שלום עולם", "مرحبا", "你好", "naïve – “x” ×10", "👩‍👩‍👧", "a\n\tb", ""):
        assert clean(text) == text
    assert one_line(" a\r\nb\u2028c\x85d\t ") == "a b c d"


def shown(*things: Any, **settings: Any) -> str:
    file = io.StringIO()
    Screen(file=file, force_terminal=True, color_system=None, width=200).print(*things, **settings)
    return file.getvalue()


def as_text(name: str) -> Text:
    return Text(name)


def as_cells(name: str) -> RichTable:
    table = RichTable(name, title=name, caption=name)
    table.add_column(Text(name))
    table.add_row(name, Text(name))
    return table


def as_progress(name: str) -> RichTable:
    bars = Progress(TextColumn("{task.description}", markup=False))
    bars.add_task(name)
    return bars.make_tasks_table(bars.tasks)


@pytest.mark.parametrize("made", [str, as_text, as_cells, as_progress])
@pytest.mark.parametrize("name", HOSTILE)
def test_the_screen_shows_text_only(made: Callable[[str], Any], name: str) -> None:
    said = shown(made(name))
    assert not UNPRINTABLE.search(said.replace("\t", ""))
    if name.isprintable():
        assert name in said  # no markup, no emoji


def test_the_screen_keeps_styles_and_widths() -> None:
    file = io.StringIO()
    text = Text.assemble(("a\x1b", "bold"), "b")
    Screen(file=file, force_terminal=True, color_system="standard", width=80).print(text)
    assert file.getvalue() == "\x1b[1ma\ufffd\x1b[0mb\n"
    lines = shown(as_cells("a\x1b\x1bb")).splitlines()
    assert len({len(line) for line in lines[1:-1]}) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_an_inspection_has_the_lines_of_a_harmless_name(name: str) -> None:
    def lines(text: str) -> list[str]:
        file = io.StringIO()
        show(inspection(text), Screen(file=file, width=1000))
        return file.getvalue().splitlines()

    assert len(lines(name)) == len(lines("x"))
    assert not any(UNPRINTABLE.search(line) for line in lines(name))


def test_names_of_files_and_broken_records_are_shown_as_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "runs") + b"/ev\x1b]0;x\x07\xc2\x9b\xff\n\xe2\x80\xaeil"
    os.makedirs(folder)  # noqa: PTH103 - bytes
    Path(os.fsdecode(folder), "run.json").write_text('{"schema_version": "\\u001b[2J"}')
    done = bench_process("leaderboard", cwd=tmp_path)
    assert done.exit_code == 3, done.stderr
    assert "schema version" in done.stderr
    assert not UNPRINTABLE.search(done.stdout + done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--dataset", "x", "--method"],
        ["run", "--method", "fne", "--dataset"],
        ["run", "--method", "fne", "--dataset", "x", "--device"],
        ["run", "--method", "fne", "--dataset", "x", "--set"],
        ["run", "--method", "fne", "--dataset", "x", "--config"],
        ["methods"],
        ["plot"],
        ["data", "check"],
        ["data", "where"],
        ["data", "add", "x", "--from"],
        ["leaderboard", "--runs"],
        ["inspect"],
        ["--unknown"],
        ["run", "--epochs"],
    ],
)
def test_an_error_is_one_line_of_text(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = bench(*words, f"e{COMMANDS.replace(chr(0), '')}\n\x85vil[red]x[/red]" * 50)
    assert done.exit_code in (1, 2, 3)
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert not UNPRINTABLE.search(done.stdout + done.stderr)


def test_wrong_values_are_cut() -> None:
    class Model(BaseModel):
        model_config = {"extra": "forbid"}
        number: int = 0

    for wrong in ({"number": "\x1b\n" * 10**5}, {"\x1b\n" * 10**5: 1}):
        with pytest.raises(ValidationError) as error:
            Model.model_validate(wrong)
        said = invalid(error.value, ["number"])
        assert len(said) < 200
        assert not UNPRINTABLE.search(said)
        assert "\n" not in said
    said = unknown("method", "f\x1bne" * 10**6, ["fne", "x\x1b\ny"])
    assert len(said) < 200
    assert not UNPRINTABLE.search(said)


# --- Files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_plain_text_has_the_lines_of_a_harmless_name(name: str) -> None:
    said = plain(board(name))
    assert not UNPRINTABLE.search(said)
    assert len(said.splitlines()) == len(plain(board("x")).splitlines())


@pytest.mark.parametrize("name", HOSTILE)
def test_csv_has_no_formula_and_no_other_rows(name: str) -> None:
    said, harmless = as_csv(board(name)), as_csv(board("x"))
    assert not UNPRINTABLE.search(said)
    assert len(said.splitlines()) == len(harmless.splitlines())
    for row, other in zip(csv.reader(io.StringIO(said)), csv.reader(io.StringIO(harmless)), strict=True):
        assert len(row) == len(other)
        for cell, plain_cell in zip(row, other, strict=True):
            assert cell == plain_cell or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_numbers_of_a_csv_stay_numbers() -> None:
    row = Trial(1, "complete", -1.5, 3, False, {"margin": -0.25, "kind": "-x", "on": True}, None, False, "=evil()\n")
    (found,) = csv.DictReader(io.StringIO(trials_csv([row])))
    assert (found["rsum"], found["margin"], found["on"], found["false_negatives"]) == ("-1.5", "-0.25", "True", "")
    assert (found["kind"], found["error"]) == ("'-x", "'=evil()")


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_has_the_commands_of_a_harmless_name(name: str) -> None:
    said, harmless = latex(board(name)), latex(board("x"))
    assert not UNPRINTABLE.search(said)
    assert len(said.splitlines()) == len(harmless.splitlines())
    escapes = sorted(LATEX.values(), key=len, reverse=True)
    for line, other in zip(said.splitlines(), harmless.splitlines(), strict=True):
        assert line.startswith("%") == other.startswith("%")
        if not line.startswith("%"):  # what is left without the escapes has LaTeX's signs where the other one has them
            signs = [
                "".join(re.findall(r"\\[a-z]+|\\.|[%$#&_{}~^]", re.sub("|".join(map(re.escape, escapes)), "", text)))
                for text in (line.replace(r"\allowbreak", ""), other)
            ]
            assert signs[0] == signs[1]


class Tags(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [key for key, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def inspection(name: str) -> Inspection:
    item = Item(name, name, name, 1, 0.5, "", None, 0.1)
    look = Look("i2t", name, name, name, 1.0, 10, [item], [Picks(name, name, [item], ""), Picks(name, name, [], name)])
    return Inspection(name, name, name, 0, name, "", [look])


@pytest.mark.parametrize("name", HOSTILE)
def test_html_has_the_tags_of_a_harmless_name(name: str) -> None:
    pages: list[Callable[[str], str]] = [
        lambda text: html(board(text)),
        lambda text: page(inspection(text), lambda _: "data:,"),
    ]
    for written in pages:
        said, harmless = written(name), written("x")
        assert not UNPRINTABLE.search(said.replace("\t", " ").replace("\r", " "))
        assert Tags(said).tags == Tags(harmless).tags
        assert any(clean(name).split() == text.split() for text in Tags(said).text)
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in said


KINDS = ("text", "text_special", "code_inline", "strong_open", "strong_close", "html_inline", "hardbreak", "softbreak")


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_has_the_structure_of_a_harmless_name(name: str) -> None:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    said, harmless = (reader.parse(markdown(board(text))) for text in (name, "x"))
    assert [token.type for token in said] == [token.type for token in harmless]
    texts = []
    for token in (token for token in said if token.type == "inline"):
        for child in token.children or []:
            assert child.type in (
                "text",
                "text_special",
                "code_inline",
                "strong_open",
                "strong_close",
                "html_inline",
                "hardbreak",
                "softbreak",
            )
            assert child.type != "html_inline" or child.content in ("<ins>", "</ins>")
        texts.append("".join(child.content for child in token.children or [] if child.type != "html_inline"))
    assert one_line(name) in texts  # the method's own cell
    assert not UNPRINTABLE.search(markdown(board(name)))
    assert not re.search(r"(?<!\\):(?=//)|www\.", re.sub(r"`[^`]*`", "", markdown(board(name))))  # GitHub links these


def test_json_is_ascii_and_has_null_for_what_is_not_finite() -> None:
    content = {"a": [float("nan"), float("inf"), (-1.5, None)], "b": f"é{COMMANDS}"}
    said = json_text(content)
    assert said.isascii()
    assert "\x7f" not in json_text("\x7f")
    assert not UNPRINTABLE.search(said)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(said, parse_constant=refuse) == {"a": [None, None, [-1.5, None]], "b": f"é{COMMANDS}"}
    assert as_json(board(COMMANDS)).isascii()


# --- Pictures ---------------------------------------------------------------------------------------------------


def table(name: str) -> Table:
    """Three methods, one of them with a very long name."""
    methods = (name, f"{name} 2", name * 500)
    cells = {method: Recorded(Path(), record(name, method, 0)) for method in methods}
    group = group_of([*cells.values()])
    return Table(name, group, tuple(Series(row, (cells[row.method],)) for row in group.rows))


@pytest.mark.parametrize("name", ["$\\frac{$ $x^{y", f"a{COMMANDS}b\n--><script/>", "../../a/\0b"])
def test_pictures_take_names_as_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "subjects", lambda question: [table(name)])
    folder = tmp_path / "deep" / "plots"
    files, _ = plots.draw("cost", Wanted(), folder)
    assert {file.parent for file in files} == {folder}
    assert {path.parent for path in tmp_path.rglob("*.*") if path.is_file()} == {folder}
    ET.fromstring(next(file for file in files if file.suffix == ".svg").read_text(encoding="utf-8"))
    importance({name: 1.0}, tmp_path / "importance.svg")


def test_a_file_name_is_one_short_part() -> None:
    assert safe("scenes-fne-prior=7.0") == "scenes-fne-prior=7.0"
    long = [safe("../" * 200 + str(number)) for number in range(2)]
    assert len({*long}) == 2
    for name in (*long, safe(COMMANDS), safe("a/b\\c\n")):
        assert re.fullmatch(r"[A-Za-z0-9._=-]{0,100}", name)
