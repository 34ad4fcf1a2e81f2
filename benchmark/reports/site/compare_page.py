"""The page that holds two rows of a table against each other: what ``bench compare`` says of every pair."""

from typing import Any

from negbench.benchmark.reports.comparison_words import HEADERS, by_seed, explain, legend, words_of
from negbench.benchmark.reports.site.contents import MOST_ROWS, SiteTable
from negbench.benchmark.reports.site.embedded import embedded
from negbench.benchmark.reports.site.material import Material
from negbench.benchmark.reports.tables.sheet import setting, title
from negbench.benchmark.results.compare import Changed, Comparison


def compare_page(each: SiteTable, material: Material) -> dict[str, Any]:
    """What its template needs."""
    pairs = each.pairs
    rows = [str(row.key) for row in each.group.rows]
    shown = [name for name in rows if any(name in (str(pair.a), str(pair.b)) for pair in pairs)]
    data = {
        "rows": shown,
        "headers": HEADERS,
        "pairs": [_pair(pair, material) for pair in pairs],
    }
    return {
        "title": f"Compare two rows: {title(each.group)}",
        "setting": setting(each.group),
        "each": each,
        "rows": shown,
        "many": len(rows) if len(rows) > MOST_ROWS else 0,
        "legend": legend(pairs[0]),
        "lacks": material.lacks,
        "data": embedded(data),
    }


def _pair(found: Comparison, material: Material) -> dict[str, Any]:
    return {
        "a": str(found.a),
        "b": str(found.b),
        "said": explain(found),
        "lines": [words_of(line) for line in found.lines],
        "bold": [line.significant for line in found.lines],
        "seeds": by_seed(found),
        "won": [_query(query, material) for query in found.won],
        "lost": [_query(query, material) for query in found.lost],
        "collapsed": "; ".join(found.collapsed),
    }


def _query(query: Changed, material: Material) -> dict[str, str]:
    image = query.id if query.direction == "i2t" else material.image_of(query.id)
    text = material.first_caption(image) if query.direction == "i2t" else material.caption(query.id)
    return {
        "kind": "image to texts" if query.direction == "i2t" else "text to images",
        "id": query.id,
        "text": text,
        "picture": material.picture(image),
        "a": f"{query.a:.1f}",
        "b": f"{query.b:.1f}",
    }
