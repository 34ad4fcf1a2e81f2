"""What lies on this disk of a dataset: captions, pictures, what is known of pairs. A site shows what is there."""

import hashlib
from functools import cached_property

from negbench.benchmark.reports.thumbnails import Thumbnail, thumbnails
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.truth import Truth


class Material:
    """A dataset, read once it is asked for; ``lacks`` says why there is none."""

    def __init__(self, dataset: str, manifest_hash: str, files: dict[str, bytes]) -> None:
        """``files``: where its pictures are put, by the names of their files."""
        self._files = files
        self._pictures: dict[str, str] = {}
        self.dataset = dataset
        self.manifest: Manifest | None = None
        self.truth: Truth | None = None
        self.lacks = ""
        try:
            folder = manifest_folder(dataset)
            manifest = Manifest.read(folder)
            if manifest.hash == manifest_hash:
                self.manifest, self.truth = manifest, Truth.read(folder)
            else:
                self.lacks = f"data/{dataset} is another manifest than that of the records ({manifest_hash[:8]})"
        except (DataError, RequestError, OSError):
            self.lacks = f"data/{dataset} is not on the disk that this site was made from"

    def caption(self, caption_id: str) -> str:
        """Its text; empty where it is not known."""
        return self._captions[caption_id][1] if caption_id in self._captions else ""

    def image_of(self, caption_id: str) -> str:
        """The image of a caption; empty where it is not known."""
        return self._captions[caption_id][0] if caption_id in self._captions else ""

    def first_caption(self, image_id: str) -> str:
        return self._first.get(image_id, "")

    def picture(self, image_id: str) -> str:
        """The name of its file; empty where the picture is not there, or another by now."""
        if image_id not in self._pictures:
            self._pictures[image_id] = self._put(image_id)
        return self._pictures[image_id]

    def _put(self, image_id: str) -> str:
        try:
            data = self._thumbnail(image_id) if image_id in self._first else b""
        except (DataError, RequestError, OSError):
            data = b""
        if not data:
            return ""
        name = f"{hashlib.blake2b(data, digest_size=8).hexdigest()}.jpg"
        self._files[name] = data
        return name

    @cached_property
    def _captions(self) -> dict[str, tuple[str, str]]:
        if self.manifest is None:
            return {}
        columns: list[list[str]] = [self.manifest.captions[name].tolist() for name in COLUMNS]
        return {caption: (image, text) for caption, image, text in zip(*columns, strict=True)}

    @cached_property
    def _first(self) -> dict[str, str]:
        """First caption of each image."""
        found: dict[str, str] = {}
        for image, text in self._captions.values():
            found.setdefault(image, text)
        return found

    @cached_property
    def _thumbnail(self) -> Thumbnail:
        assert self.manifest is not None, "there are no images without one"
        return thumbnails(self.manifest)


COLUMNS = ("caption_id", "image_id", "text")
