"""The one loader of pictures: what a viewer shows, in RGB, and one line for what is no picture."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from negbench.pipelines import features, prepare
from negbench.pipelines.encoders.hog import Hog
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import pictures
from negbench.pipelines.reading.pictures import PictureError, decode
from negbench.pipelines.store import FeatureStore

CORNER = np.zeros((4, 6, 3), dtype=np.uint8)
CORNER[0, 0] = 255  # top left is white: it shows how a picture is turned
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)


def file_of(picture: Image.Image, file_format: str, **more: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **more)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(side: int) -> bytes:
    """A PNG file of 70 bytes that says it is ``side`` pixels wide and high."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_pictures_are_turned_as_exif_says(orientation: int, corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(file_of(Image.fromarray(CORNER), "PNG", exif=exif), "x.png")
    pixels = np.asarray(picture)
    assert pixels.shape == ((4, 6, 3) if orientation < 5 else (6, 4, 3))
    assert pixels[corner].tolist() == [255, 255, 255]
    assert pixels.astype(int).sum() == 3 * 255


def test_broken_exif_leaves_a_picture_as_it_is_stored() -> None:
    broken = file_of(Image.fromarray(CORNER), "PNG", exif=b"Exif\0\0MM\0*no such thing")
    np.testing.assert_array_equal(decode(broken, "x.png"), CORNER)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_not_cut(file_format: str) -> None:
    shades = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    picture = decode(file_of(Image.fromarray(shades), file_format), "x")
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture)[..., 1], np.round(shades / 257))


def test_16_bits_in_colour() -> None:
    shades = np.stack([np.full((2, 2), value, dtype=">u2") for value in (0, 257 * 100, 65535)], axis=-1)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in shades)
    file = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert np.asarray(decode(file, "x.png")).tolist() == [[[0, 100, 255]] * 2] * 2


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_are_refused(kind: type) -> None:
    with pytest.raises(PictureError, match=r"^x\.tif: cannot be decoded: values of 32 bits have no known range"):
        decode(file_of(Image.fromarray(np.ones((2, 2), dtype=kind)), "TIFF"), "x.tif")


def test_cmyk_is_turned_into_rgb() -> None:
    ink = Image.merge("CMYK", [Image.new("L", (8, 8), shade) for shade in (0, 255, 255, 0)])
    for file_format in ("JPEG", "TIFF"):
        picture = decode(file_of(ink, file_format), "x")
        assert picture.mode == "RGB"
        assert np.abs(np.asarray(picture).astype(int) - [255, 0, 0]).max() <= 3  # magenta and yellow are red


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(file_format: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    more = {"lossless": True} if file_format == "WEBP" else {}
    file = file_of(red, file_format, save_all=True, append_images=[blue], **more)
    assert np.asarray(decode(file, "x")).reshape(-1, 3).tolist() == [[255, 0, 0]] * 64


def test_the_transparent_is_white() -> None:
    glass = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    glass.putpixel((1, 0), (255, 0, 0, 255))
    assert np.asarray(decode(file_of(glass, "PNG"), "x")).tolist() == [[[255, 255, 255], [255, 0, 0]]]
    palette = Image.new("P", (1, 1), 0)
    assert np.asarray(decode(file_of(palette, "PNG", transparency=bytes([0])), "x")).tolist() == [[[255] * 3]]


def test_grey_and_two_colours() -> None:
    for mode in ("L", "1", "LA", "P"):
        assert decode(file_of(Image.new(mode, (3, 2)), "PNG"), "x").mode == "RGB"


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])  # Pillow warns of the first, refuses the others
def test_a_decompression_bomb_is_not_opened(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(side))
    with pytest.raises(PictureError) as error:
        pictures.content(tmp_path / "bomb.png")
    assert error.value.fault == "too-large"
    assert str(error.value) == f"{tmp_path / 'bomb.png'}: {side * side:,} pixels, at most 89,478,485 are read"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_a_cut_file_is_named(file_format: str, share: float) -> None:
    whole = file_of(Image.fromarray(PHOTO), file_format)
    with pytest.raises(PictureError, match=r"^raw/x: cannot be decoded: ") as error:
        decode(whole[: int(len(whole) * share)], "raw/x")
    assert error.value.fault == "unreadable"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_broken_bytes_give_a_picture_or_one_line(file_format: str, data: st.DataObject) -> None:
    file = bytearray(file_of(Image.fromarray(PHOTO[:9, :7]), file_format))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        said = decode(bytes(file), "x").mode
    except PictureError as error:
        said = str(error)
    assert said == "RGB" or (said.startswith("x: ") and "\n" not in said)


def test_a_picture_of_a_manifest(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", PHOTO[None])
    data = file_of(Image.fromarray(PHOTO), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for file, row, content in (("all.npy", 0, digest(PHOTO.tobytes())), ("a.png", -1, digest(data))):
        np.testing.assert_array_equal(pictures.load(tmp_path, file, row, content), PHOTO)
        with pytest.raises(PictureError, match="changed since the dataset was added") as error:
            pictures.load(tmp_path, file, row, "another")
        assert error.value.fault == "changed"
    for file, row in (("b.png", -1), ("all.npy", 1), ("all.npy", -1)):
        with pytest.raises(PictureError, match=r"is missing$") as error:
            pictures.load(tmp_path, file, row, "")
        assert error.value.fault == "missing"


def test_encoders_see_what_a_viewer_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw" / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    for split, name in (("train", "a"), ("dev", "b"), ("test", "c")):
        (tmp_path / "raw" / f"Flickr_8k.{split}Images.txt").write_text(f"{name}.jpg\n")
        Image.fromarray(PHOTO).save(tmp_path / "raw" / "images" / f"{name}.jpg", exif=exif)
    (tmp_path / "raw" / "captions.txt").write_text("a.jpg,x\nb.jpg,x\nc.jpg,x\n")
    prepare.add("my", Path("raw"))
    store = FeatureStore(features.make("my"), Manifest.read(Path("data/my")).hash)
    with Image.open("raw/images/a.jpg") as stored:
        upright = stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_allclose(store.split("train").images, Hog().encode([upright]), atol=1e-6)
