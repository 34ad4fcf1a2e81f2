"""An inspection as one HTML file with its pictures inside: no script, nothing from elsewhere."""

import base64
import io
from collections.abc import Callable

from negbench.benchmark.inspection.looks import Inspection, Item, Look, Picks, probability
from negbench.benchmark.reports.tables.html import POLICY, escape
from negbench.pipelines import sources
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.prepare import PRECOMP
from negbench.pipelines.reading import pictures

SIDE = 160
"""Longest side of a picture, in pixels; smaller ones stay as they are."""

Thumbnail = Callable[[str], str]
"""Image id to a data URI; empty where the dataset has features only."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #5c636b; --paper: #fff; --line: #d8dce0;
  --good: #0b6e4f; --false: #a33b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --dim: #a3abb3; --paper: #16181b; --line: #3a3f45;
  --good: #6fd3ad; --false: #ffab7a; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line);
  padding-top: 1.5rem; } h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .3rem 0; } .dim, dt, .legend { color: var(--dim); }
ol, ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
li, .anchor { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem; overflow-wrap: anywhere; }
.anchor { display: inline-flex; gap: .8rem; max-width: 40rem; }
img { display: block; width: 8rem; height: 8rem; object-fit: contain; margin: 0 auto .4rem; flex: none; }
.labelled { border-color: var(--good); border-width: 2px; } .labelled b { color: var(--good); }
.true { border-color: var(--false); border-width: 2px; } .true b { color: var(--false); }
small { display: block; color: var(--dim); }
"""

LEGEND = (
    "Negatives: share of the method's choices (over 100 draws) or of its push; p: how much it takes the pair for a"
    " false negative. Green frame: labelled pair; orange frame: true or judged true, though not labelled."
)


def page(found: Inspection, thumbnail: Thumbnail) -> str:
    """The whole page. Every text in it is escaped."""
    title = f"{found.method} on {found.dataset}, seed {found.seed}"
    pictured = any(thumbnail(look.image_id) for look in found.looks)
    notes = [found.protocol, found.folder, *([] if pictured else ["This dataset has features only: no pictures."])]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            POLICY,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            *(f'<p class="dim">{escape(note)}</p>' for note in notes),
            *(section(look, thumbnail) for look in found.looks),
            f'<p class="legend">{escape(LEGEND)}</p>\n</body>\n</html>\n',
        ]
    )


def section(look: Look, thumbnail: Thumbnail) -> str:
    """One direction: the anchor, what it retrieves, what methods push it from."""
    asks = "Image to texts" if look.direction == "i2t" else "Text to images"
    retrieved = "".join(card("li", item, f"{item.place}.", thumbnail) for item in look.top)
    return "\n".join(
        [
            f"<h2>{asks}: {escape(look.anchor)}</h2>",
            f"<p>Its labelled positive ranks {look.rank:,g} of {look.candidates:,}.</p>",
            f'<div class="anchor">{image(look.image_id, look.text, thumbnail)}<p>{escape(look.text)}'
            f"<small>{escape(look.image_id)}</small></p></div>",
            f"<h3>Retrieved</h3>\n<ol>{retrieved}</ol>",
            *(picks(each, thumbnail) for each in look.picks),
        ]
    )


def picks(each: Picks, thumbnail: Thumbnail) -> str:
    cards = "".join(card("li", item, f"{item.share or 0:.0%}", thumbnail) for item in each.items)
    body = f"<ul>{cards}</ul>" if each.items else f"<p>{escape(each.reason)}</p>"
    return f'<h3>Negatives of {escape(each.method)} <span class="dim">({escape(each.state)})</span></h3>\n{body}'


def card(tag: str, item: Item, lead: str, thumbnail: Thumbnail) -> str:
    kind = "labelled" if item.mark == "labelled" else "true" if item.mark in ("true", "judged true") else "other"
    facts = [f"similarity {item.similarity:.3f}", f"place {item.place:,}"]
    if item.suspicion is not None:
        facts.append(f"p {probability(item.suspicion)}")
    mark = f" <b>{escape(item.mark)}</b>" if item.mark else ""
    return (
        f'<{tag} class="{kind}">{image(item.image_id, item.text, thumbnail)}{escape(lead)}{mark} {escape(item.text)}'
        f"<small>{escape(' · '.join(facts))}</small><small>{escape(item.id)}</small></{tag}>"
    )


def image(image_id: str, text: str, thumbnail: Thumbnail) -> str:
    """The picture with a caption of it as its alternative text; nothing where there are no pictures."""
    uri = thumbnail(image_id)
    return f'<img src="{escape(uri)}" alt="{escape(text or image_id)}">' if uri else ""


def thumbnails(manifest: Manifest) -> Thumbnail:
    """Small JPEGs of a dataset's pictures, each made once; ``DataError`` where a file is missing or changed."""
    source = sources.read(manifest.name)
    root, made = source.root(manifest.name), dict[str, str]()
    columns = (manifest.images[name].tolist() for name in ("file", "row", "content"))
    rows = dict(zip(manifest.images["image_id"], zip(*columns, strict=True), strict=True))

    def thumbnail(image_id: str) -> str:
        if source.format == PRECOMP:
            return ""
        if image_id not in made:
            small = pictures.load(root, *rows[image_id])
            small.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            small.save(file, "JPEG", quality=80)
            made[image_id] = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
        return made[image_id]

    return thumbnail
