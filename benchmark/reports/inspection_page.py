"""An inspection as one HTML file with its pictures inside: no script, nothing from elsewhere."""

import base64
from collections.abc import Callable

from negbench.benchmark.inspection.looks import Inspection, probability
from negbench.benchmark.reports.pages import render
from negbench.benchmark.reports.thumbnails import thumbnails as jpegs
from negbench.pipelines.manifest import Manifest

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
    """A dataset's pictures as data URIs; ``DataError`` where a file is missing or changed."""
    jpeg = jpegs(manifest)

    def thumbnail(image_id: str) -> str:
        data = jpeg(image_id)
        return "data:image/jpeg;base64," + base64.b64encode(data).decode() if data else ""

    return thumbnail
