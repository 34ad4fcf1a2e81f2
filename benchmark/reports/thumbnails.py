"""Small pictures of a dataset, as JPEG: for pages."""

import io
from collections.abc import Callable
from functools import cache

from negbench.pipelines import datasets, sources
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import pictures

SIDE = 160
"""Longest side of a picture, in pixels; smaller ones stay as they are."""

Thumbnail = Callable[[str], bytes]
"""Image id to a JPEG; empty where the dataset has features only."""


def thumbnails(manifest: Manifest) -> Thumbnail:
    """Small JPEGs of a dataset's pictures, each made once; ``DataError`` where a file is missing or changed."""
    source = sources.read(manifest.name)
    root = source.root(manifest.name)
    features_only = datasets.holds_features(source.format)
    columns = (manifest.images[name].tolist() for name in ("file", "row", "content"))
    rows = dict(zip(manifest.images["image_id"], zip(*columns, strict=True), strict=True))

    @cache
    def thumbnail(image_id: str) -> bytes:
        if features_only:
            return b""
        small = pictures.load(root, *rows[image_id])
        small.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=80)
        return file.getvalue()

    return thumbnail
