"""The site in a real browser, opened from the disk: Chromium, driven by Playwright."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sites import many_rows, report, some_records

WIDE, NARROW = 1280, 390


@dataclass
class Seen:
    """A page, and what the browser told of it."""

    page: Any
    site: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, place: str) -> Any:
        self.page.goto("about:blank")
        self.page.goto(f"file://{self.site / place}")
        return self.page

    def column(self, key: str) -> list[str]:
        cells: list[str] = self.page.locator(f"#board tbody tr:not([hidden]) [data-key='{key}']").all_inner_texts()
        return cells


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    assert report(some_records(folder / "runs"), folder / "site").exit_code == 0
    return folder / "site"


@pytest.fixture
def seen(browser: Any, made: Path) -> Iterator[Seen]:
    """A window of 1280 pixels. Whatever a test did, no error was told and no request left the disk."""
    context = browser.new_context(viewport={"width": WIDE, "height": 900})
    found = Seen(context.new_page(), made)
    found.page.on("console", lambda message: found.said.append(message.text))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    yield found
    context.close()
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("file://")] == []


def test_a_click_sorts_a_column_and_another_turns_it_round(seen: Seen) -> None:
    page = seen.open("tables/f8k.html")
    before = seen.column("rsum")
    head = page.locator("th[data-key='rsum']")
    head.get_by_role("button").click()
    assert (seen.column("rsum"), head.get_attribute("aria-sort")) == (before, "descending")
    head.get_by_role("button").press("Enter")
    assert (seen.column("rsum"), head.get_attribute("aria-sort")) == (before[::-1], "ascending")
    page.locator("th[data-key='p_mark']").get_by_role("button").click()
    assert seen.column("p_mark")[-2:] in (["base", "–"], ["–", "base"])  # what has no value stands last
    page.locator("th[data-key='method']").get_by_role("button").click()
    assert seen.column("method") == sorted(seen.column("method"))


def test_rows_are_filtered_by_way_memory_and_settings(seen: Seen) -> None:
    page = seen.open("tables/f8k.html")
    page.select_option("#way", "pushes from all")
    assert [name.partition("[")[0] for name in seen.column("method")] == ["info-nce"]
    page.click("#reset")
    page.select_option("#memory", "2,048")
    assert seen.column("method") == ["fne"]
    assert page.locator("#count").inner_text() == "1 of 5 rows"
    page.click("#reset")
    page.select_option("#tuned", "default")
    assert len(seen.column("method")) == 4


def test_another_baseline_gives_other_marks(seen: Seen) -> None:
    page = seen.open("tables/f8k.html")
    arrows = page.locator("#board .mark").all_inner_texts()
    assert arrows[:3] == ["↑", "↑", "↑"]
    assert seen.column("p_mark")[3:] == ["base", "–"]
    top = page.locator("#baseline option").nth(1)
    page.select_option("#baseline", top.get_attribute("value"))
    assert seen.column("p_mark")[0] == "base"
    assert page.locator("#board .mark").all_inner_texts()[1:4] == ["↓", "↓", "↓"]
    assert "below info-nce" in page.locator("#note").inner_text()
    page.select_option("#baseline", "")
    assert set(page.locator("#board .mark").all_inner_texts()) == {""}


def test_columns_are_hidden_and_an_address_brings_all_of_it_back(seen: Seen) -> None:
    page = seen.open("tables/f8k.html")
    page.locator("summary", has_text="Columns").click()
    page.uncheck("#columns input[value='i2t_r1']")
    page.locator("th[data-key='t2i_r1']").get_by_role("button").click()
    page.locator("th[data-key='t2i_r1']").get_by_role("button").click()
    page.select_option("#baseline", "1")
    page.select_option("#tuned", "default")
    address, before = page.url, page.locator("#board").inner_text()
    assert "i2t R@1\t" not in before
    page.goto("about:blank")
    page.goto(address)
    assert page.locator("#board").inner_text() == before
    assert page.url == address
    page.click("#reset")
    assert "#" not in page.url
    assert len(seen.column("method")) == 5


def test_two_rows_are_compared_and_have_an_address(seen: Seen) -> None:
    page = seen.open("compare/f8k.html")
    assert page.locator("#compared table tbody tr").count() == 7
    page.select_option("#one", "hardest (in batch)")
    page.select_option("#other", "semi-hard (in batch)")
    said = page.locator("#compared").inner_text()
    assert "semi-hard (in batch) beats hardest (in batch)" in said
    assert "Queries that A, semi-hard (in batch), ranks most above the other" in said
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert page.locator("#compared").inner_text() == said
    page.select_option("#other", "hardest (in batch)")
    assert "not compared here" in page.locator("#compared").inner_text()


@pytest.mark.parametrize("address", ["#sort=no&order=up&way=none&baseline=x&hide=,,", "#%", "#a=<b>&b=%00"])
def test_an_address_that_means_nothing_shows_the_page(seen: Seen, address: str) -> None:
    for place in ("tables/f8k.html", "compare/f8k.html"):
        page = seen.open(place + address)
        assert page.locator("table").first.is_visible()


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_the_window(seen: Seen, width: int, scheme: str) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    seen.page.emulate_media(color_scheme=scheme)
    for path in [*seen.site.glob("*.html"), *(next((seen.site / name).iterdir()) for name in ("methods", "runs"))]:
        assert seen.open(str(path)).evaluate("document.documentElement.scrollWidth") == width, path
    for place in ("tables/f8k.html", "compare/f8k.html"):
        page = seen.open(place)
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert seen.open("tables/f8k.html").evaluate(
        "document.getElementById('board').scrollWidth <= document.documentElement.clientWidth"
    )


def test_without_a_script_the_table_is_whole(browser: Any, made: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{made / 'tables' / 'f8k.html'}")
    assert page.locator("#board tbody tr").count() == 5
    assert not page.locator("#tools").is_visible()
    context.close()


def test_a_script_from_elsewhere_would_not_run(seen: Seen) -> None:
    page = seen.open("tables/f8k.html")
    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'document.title = `ran`';"
        " document.body.append(one); }"
    )
    assert page.title() != "ran"
    assert len(seen.said) == 1
    assert "Content Security Policy" in seen.said.pop()


def test_two_hundred_rows_sort_in_a_tenth_of_a_second(seen: Seen, tmp_path: Path) -> None:
    assert report(many_rows(tmp_path / "runs", 200), tmp_path / "site").exit_code == 0
    page = seen.open(str(tmp_path / "site" / "tables" / "f8k.html"))
    assert len(seen.column("method")) == 200
    times = page.evaluate(
        """() => [...Array(5)].map(() => {
            const start = performance.now();
            document.querySelector("th[data-key='rsum'] button").click();
            document.body.getBoundingClientRect();
            return performance.now() - start;
        })"""
    )
    assert sorted(times)[2] < 100
    sums = [float(text.split()[0]) for text in seen.column("rsum")]
    assert sums == sorted(sums, reverse=True)
