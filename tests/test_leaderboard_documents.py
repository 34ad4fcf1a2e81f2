"""The leaderboard in papers and on a page, and the literature beside it."""

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from boards import a_full_board, bench_board, lines, record, save
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.results.published import FILE


def test_latex_is_whole_and_made_for_a_page_of_two_columns(tmp_path: Path) -> None:
    text = bench_board(a_full_board(tmp_path), "--format", "latex", "--with-published").stdout
    assert text.isascii()
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        stack.append(name) if kind == "begin" else None
        assert kind == "begin" or stack.pop() == name
    assert not stack
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    floats = re.findall(r"\\begin\{table\*\}(.*?)\\end\{table\*\}", text, flags=re.S)
    assert len(floats) == 2 * 2 + 3  # 49 rows in two parts, recall and the rest; 57 published
    for each in floats:
        for rule in ("toprule", "midrule", "bottomrule"):
            assert each.count(rf"\{rule}") == 1
        (sides,) = re.findall(r"\\begin\{tabular\}\{@\{\}(.*)@\{\}\}", each)
        columns = len(re.sub(r"p\{[^}]*\}", "p", sides))
        rows = [line for line in each.splitlines() if line.endswith(r"\tabularnewline")]
        assert len(rows) <= 38
        for line in rows:
            spans = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{(\d)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == columns
    assert r"fne\allowbreak[tau\_fn=2.0]" in text
    assert r"\textbf{" in text
    assert r"\underline{" in text
    assert r"$\uparrow$" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles_and_fits(tmp_path: Path) -> None:
    """In the narrowest page of two columns that is common: article, letter paper."""
    bench_board(
        a_full_board(tmp_path / "runs"),
        "--format",
        "latex",
        "--with-published",
        "--output",
        str(tmp_path / "board.tex"),
    )
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n\\begin{document}\n\\input{board}\n\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("needs booktabs")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Float too large" not in done.stdout


class Page(HTMLParser):
    """What a browser would see: open tags, cells by row, links to elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1] += [""] * int(dict(attrs).get("colspan") or 1)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += data


def test_html_is_one_whole_page(tmp_path: Path) -> None:
    text = bench_board(a_full_board(tmp_path), "--format", "html", "--with-published").stdout
    page = Page(text)
    assert page.open == page.links == []
    assert {len(row) for row in page.rows} == {16, 10}  # own, published
    own = [row for row in page.rows if row[0] == "fne[tau_fn=2.0]"]
    assert own[0][3:5] == ["50.0 ±0.0", "50.0 ±0.0"]
    assert "<u>" in text
    assert "<b>" in text
    assert 'class="published"' in text
    assert len(text) < 50_000


def literature() -> list[dict[str, str]]:
    with FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_published_recalls_add_up_to_their_rsum() -> None:
    rows = literature()
    assert len(rows) == 104
    for row in rows:
        recalls = [[float(row[f"{side}_r{k}"]) for k in (1, 5, 10)] for side in ("i2t", "t2i")]
        assert all(0 < side[0] < side[1] < side[2] <= 100 for side in recalls), row
        assert abs(sum(map(sum, recalls)) - float(row["rsum"])) < 0.15, row
        assert row["source"], row
        assert row["ensemble"] in ("yes", "no"), row
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    assert {(row["dataset"], row["protocol"]) for row in rows} == {
        ("f30k", "f30k-1k"),
        ("coco", "coco-5k"),
        ("coco", "coco-1k-5fold"),
    }


def test_published_rows_stand_apart_and_change_nothing(tmp_path: Path) -> None:
    a_full_board(tmp_path)
    own, both = (bench_board(tmp_path, "--format", "md", *flags).stdout for flags in ((), ("--with-published",)))
    assert lines(own) == lines(both)
    assert "| SCAN (2018)\\* " in both
    assert "SCAN" not in own
    assert "context, not competitors; no mark, best or second counts them" in both
    header = next(line for line in both.splitlines() if line.startswith("| published"))
    assert [cell.strip() for cell in header.split("|")[1:4]] == ["published", "features", "i2t R@1"]
    rows = json.loads(bench_board(tmp_path, "--format", "json", "--with-published").stdout)
    assert [row["source"] is None for row in rows] == [True] * 49 + [False] * 61
    assert rows[-1]["rsum_mean"] == 350.9
    assert rows[-1]["mark_p"] is None


def test_a_custom_protocol_has_no_published_rows(tmp_path: Path) -> None:
    custom = Protocol(name="f30k-1k-custom", images=10, captions=50)
    save(tmp_path, record("fne", 0, 20, "f30k", protocol=custom))
    assert "published" not in bench_board(tmp_path, "--format", "md", "--with-published").stdout
