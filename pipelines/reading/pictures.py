"""Reading pictures: one loader for every encoder, every reader and every check.

A picture is what a person sees in a viewer, in RGB with 8 bits: turned as its EXIF orientation says, the first
frame where there are several, 16 bits scaled to 8, what is transparent on white.
"""

import io
import re
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.files import LFS, POINTER, digest, open_plain
from negbench.pipelines.store import load_array

MOST_PIXELS = Image.MAX_IMAGE_PIXELS
"""Pillow's limit, 89,478,485 pixels: a file that says it has more is a decompression bomb or a mistake."""
# Pillow only warns up to twice the limit. Its own advice is to make the warning an error.
warnings.simplefilter("error", Image.DecompressionBombWarning)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is read. Pillow knows more, and runs other programs for some (Ghostscript for EPS)."""
LARGEST = 2**30
"""Bytes of a picture's file."""

Fault = Literal["missing", "changed", "unreadable", "too-large"]


class PictureError(DataError):
    """A picture that cannot be used, and why."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def load(root: Path, file: str, row: int, content: str) -> Image.Image:
    """One picture of a manifest, by its row of the ``images`` table.

    ``PictureError`` where its bytes are not the ones the manifest was made from, or are no picture.
    """
    path = root / file
    if path.suffix == ".npy":
        pixels = load_array(path)
        if not 0 <= row < len(pixels):
            raise PictureError("missing", f"{path}: row {row} is missing")
        data, where = pixels[row].tobytes(), f"{path}: row {row}"
        picture = Image.fromarray(pixels[row])
    else:
        data, where = _read(path), str(path)
        picture = decode(data, where)
    if digest(data) != content:
        raise PictureError("changed", f"{where} changed since the dataset was added; see: bench data check")
    return picture


def read(path: Path) -> Image.Image:
    """A picture file of no dataset, as ``load`` gives one; ``PictureError`` where it is none."""
    return decode(_read(path), str(path))


def plain(picture: Image.Image) -> Image.Image:
    """A picture that is open already, as ``load`` gives one."""
    return _rgb(_upright(picture), picture.format)


def content(path: Path) -> str:
    """Digest of a picture file that can be decoded; ``PictureError`` where it cannot."""
    data = _read(path)
    decode(data, str(path))
    return digest(data)


def decode(data: bytes, where: str) -> Image.Image:
    """A picture in RGB from the bytes of a file, wholly decoded; ``PictureError`` names ``where`` they are from."""
    if data.startswith(LFS):
        raise PictureError("unreadable", f"{where}: {POINTER}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.load()  # the first frame; a cut file is noticed here
            return _rgb(_upright(picture), picture.format)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        number = f"{int(pixels[0]):,}" if pixels else "too many"
        raise PictureError("too-large", f"{where}: {number} pixels, at most {MOST_PIXELS:,} are read") from None
    except PictureError as error:
        raise PictureError(error.fault, f"{where}: {error}") from None
    except Exception as error:  # what Pillow's readers raise on broken bytes is of any kind
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else damage(error)
        raise PictureError("unreadable", f"{where}: cannot be decoded: {reason}") from None


def _upright(picture: Image.Image) -> Image.Image:
    """Turned and mirrored as its EXIF orientation says; as it is stored where the EXIF data are broken."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # the pixels are whole, and viewers show them
        return picture


def _rgb(picture: Image.Image, file_format: str | None) -> Image.Image:
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and file_format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(picture).astype(np.uint32) / 257).round().astype(np.uint8)).convert("RGB")
    if mode in ("I", "F"):
        raise PictureError("unreadable", "cannot be decoded: values of 32 bits have no known range; save 8 or 16 bits")
    if picture.has_transparency_data:
        whole = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    return picture.convert("RGB")


def _read(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise PictureError("missing", f"{path} is missing") from None
    except DataError as error:
        raise PictureError("unreadable", str(error)) from None
    except OSError as error:
        raise PictureError("unreadable", f"{path}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise PictureError("too-large", f"{path}: more than {LARGEST:,} bytes are no picture that is read")
    return data
