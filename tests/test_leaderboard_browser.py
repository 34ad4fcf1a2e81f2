"""The leaderboard's page in a real browser: Chromium, driven by Playwright."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from boards import a_full_board, bench_board, record, save
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.results.records import Cost
from test_site_browser import NARROW, WIDE


def usual_board(root: Path) -> Path:
    """One dataset of known truth, three seeds: recalls, p, true recall, picked, pushed, cost."""
    parts = {"": 0.123, "_low": 0.101, "_high": 0.145, "_judged": 1111.0, "_base": 0.05, "_anchors": 2000}
    audit = {f"pushed_{way}{part}": value for way in ("i2t", "t2i") for part, value in parts.items()}
    known: dict[str, Any] = {
        "dataset": "scenes",
        "protocol": Protocol(name="scenes", images=500, captions=2500),
        "audit": audit,
        "false_negative_rate": {"both": 0.12},
        "cost": Cost(wall_s=60, step_ms=123.4, product_ms=80, peak_mb=500),
    }
    rows = (("hardest", 0), ("semi-hard", 0), ("fne", 0), ("momentum-distilled", 2048), ("fne", 2048))
    cells = []
    for (place, (method, memory)), seed in product(enumerate(rows), range(3)):
        recall = 40.0 + 3 * place + seed
        metrics = record(method, seed, recall).metrics | {"true_rsum": 456.5}
        cells.append(record(method, seed, recall, metrics=metrics, memory=memory, **known))
    return save(root, *cells)


def opened(browser: Any, runs: Path, page: Path, width: int) -> Any:
    done = bench_board(runs, "--format", "html", "--output", str(page))
    assert done.exit_code == 0, done.output
    window = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    window.goto(f"file://{page}")
    assert window.evaluate("document.documentElement.scrollWidth") == width
    return window


@pytest.mark.parametrize("board", [usual_board, a_full_board])
def test_a_table_is_whole_in_a_window_of_1280_pixels(browser: Any, tmp_path: Path, board: Any) -> None:
    page = opened(browser, board(tmp_path / "runs"), tmp_path / "board.html", WIDE)
    heads = page.locator("thead tr:last-child th").all_inner_texts()
    assert heads[-2:] == ["[95 %] of judged", "(ratio)"]
    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('th, td')].map(e => e.getBoundingClientRect().right))"
    )
    assert right <= WIDE


def test_a_table_wider_than_the_window_scrolls_in_its_box_and_its_methods_stay(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, usual_board(tmp_path / "runs"), tmp_path / "board.html", NARROW)
    page.evaluate("document.querySelector('.scroll').scrollLeft = 9999")
    seen = page.locator("tbody tr").first.locator("td")
    assert seen.first.bounding_box()["x"] >= 0
    assert seen.last.bounding_box()["x"] + seen.last.bounding_box()["width"] <= NARROW
