"""Tux Paint's stamps: small pictures of things with a short description in many languages.

``DIR`` is the folder ``stamps`` of an installed or unpacked package (Debian's ``tuxpaint-stamps-default``): folders
of ``NAME.png`` with ``NAME.txt``, whose first line is English and whose others are ``<language>.utf8=<text>``. One
caption an image, or one in each of the ``languages`` that are named; a caption's id says its own. An image's id is its
path, and decides its split. Stamps that are drawings (SVG) are not read; they and pictures without a text are counted.

Some descriptions stand on several stamps ("A flower."): false negatives that are certain.

Source: B. Kendrick and others (2002-2022), Tux Paint stamps, GPL 2.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from negbench.pipelines.captions import false_pairs, same
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import languages
from negbench.pipelines.reading.annotations import Faults, lines
from negbench.pipelines.reading.caption_rows import CaptionRows, split_by_hash
from negbench.pipelines.reading.image_files import ImageFiles, files_below
from negbench.pipelines.sources import Source

SETTINGS = ("languages",)
INSTALLED = "usr/share/tuxpaint/stamps"
DRAWN = (".png", ".svg")
SPLIT = "the split is this suite's own: the ids decide it (80 % train, 10 % val, 10 % test)"
LOOKS = 10
"""Texts that are looked into before another format is tried."""
TRANSLATED = re.compile(r"([a-z]{2,3}(?:_[A-Z]{2})?(?:@[a-z]+)?)\.utf8=(.*)")


def detect(folder: Path) -> str | None:
    """A description beside its picture; none where the package around it was unpacked."""
    if (folder / INSTALLED).is_dir():
        return None
    files = files_below(folder)
    beside = {file.rpartition(".")[0] for file in files if file.endswith(DRAWN)}
    texts = [file for file in files if file.endswith(".txt") and _beside(file, "") in beside]
    return next((file for file in texts[:LOOKS] if _is_description(folder / file)), None)


def almost(folder: Path) -> str | None:
    """An unpacked package."""
    inside = folder / INSTALLED
    return f"the stamps of this package lie in {inside}: give that" if inside.is_dir() else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    texts = _texts(root)
    if not texts:
        raise DataError(f"{root}: no NAME.txt beside NAME.png")
    rows = CaptionRows(source)
    said = {file: list(_descriptions(root / file, rows)) for file in texts}
    found = [language for each in said.values() for _, language, _ in each]
    wanted = languages.chosen(source, root, found)
    files = set(files_below(root))
    for file, each in said.items():
        picture = _beside(file, ".png")
        for where, language, text in each:
            if language not in wanted:
                rows.leave_out("captions in other languages")
            elif picture not in files:
                drawn = _beside(file, ".svg") in files
                rows.leave_out(f"captions of {'drawings (SVG)' if drawn else 'stamps without a picture'}")
            else:
                rows.caption(where, picture, text, split_by_hash(picture), caption_id=f"{picture}#{language}")
    described = {_beside(file, "") for file in texts}
    pictures = {PurePosixPath(file) for file in files if file.endswith(".png")}
    rows.skipped["pictures without a description"] = sum(
        str(path.with_suffix("")) not in described for path in pictures
    )
    manifest = rows.manifest(name, root, ImageFiles(root).places, [root / file for file in texts])
    manifest.info["notes"] = [languages.told(wanted, found), _repeated(manifest), SPLIT]
    return manifest


def _repeated(manifest: Manifest) -> str:
    """How many captions stand on several stamps."""
    split = manifest.captions["image_id"].map(manifest.images.set_index("image_id")["split"])
    frame = manifest.captions.assign(same=manifest.captions["text"].map(same), split=split)
    images = frame.groupby("same")["image_id"].nunique()
    pairs = sum(false_pairs(part, "same") for _, part in frame.groupby("split"))
    return (
        f"{int((images > 1).sum()):,} captions stand on several stamps ({int(images[images > 1].sum()):,}): within the"
        f" splits {pairs:,} unlabelled pairs are true for certain"
    )


def _descriptions(path: Path, rows: CaptionRows) -> Iterator[tuple[str, str, str]]:
    """Where it stands, language, text."""
    for number, line in lines(path, rows.faults):
        where = f"{path}:{number}"
        match = TRANSLATED.fullmatch(line)
        if not line.strip():
            continue
        if number == 1 and not match:
            yield where, languages.USUAL, line
        elif match:
            yield where, match[1], match[2]
        else:
            rows.faults.add(f"{where}: not 'language.utf8=text': {line[:60]!r}")


def _texts(root: Path) -> list[str]:
    """The descriptions; of a text without a picture its lines tell."""
    files = files_below(root)
    beside = {file.rpartition(".")[0] for file in files if file.endswith(DRAWN)}
    texts = [file for file in files if file.endswith(".txt")]
    return [file for file in texts if _beside(file, "") in beside or _is_description(root / file)]


def _is_description(path: Path) -> bool:
    return any(TRANSLATED.fullmatch(line) for _, line in lines(path, Faults(skip=True)))


def _beside(file: str, suffix: str) -> str:
    return file.removesuffix(".txt") + suffix
