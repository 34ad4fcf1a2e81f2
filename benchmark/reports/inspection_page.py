"""An inspection as one HTML file with its pictures inside: no script, nothing from elsewhere."""

import base64
import io
from collections.abc import Callable

from negbench.benchmark.inspection.looks import Inspection, probability
from negbench.benchmark.reports.pages import render
from negbench.pipelines import datasets, sources
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import pictures

SIDE = 160
"""Longest side of a picture, in pixels; smaller ones stay as they are."""

Thumbnail = Callable[[str], str]
"""Image id to a data URI; empty where the dataset has features only."""


def page(found: Inspection, thumbnail: Thumbnail) -> str:
    """The whole page."""
    pictured = any(thumbnail(look.image_id) for look in found.looks)
    return render(
        "inspection_page.jinja",
        title=f"{found.method} on {found.dataset}, seed {found.seed}",
        notes=[found.protocol, found.folder, *([] if pictured else ["This dataset has features only: no pictures."])],
        looks=found.looks,
        thumbnail=thumbnail,
        probability=probability,
    )


def thumbnails(manifest: Manifest) -> Thumbnail:
    """Small JPEGs of a dataset's pictures, each made once; ``DataError`` where a file is missing or changed."""
    source = sources.read(manifest.name)
    root, made = source.root(manifest.name), dict[str, str]()
    features_only = datasets.holds_features(source.format)
    columns = (manifest.images[name].tolist() for name in ("file", "row", "content"))
    rows = dict(zip(manifest.images["image_id"], zip(*columns, strict=True), strict=True))

    def thumbnail(image_id: str) -> str:
        if features_only:
            return ""
        if image_id not in made:
            small = pictures.load(root, *rows[image_id])
            small.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            small.save(file, "JPEG", quality=80)
            made[image_id] = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
        return made[image_id]

    return thumbnail
