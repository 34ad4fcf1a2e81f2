"""What comes from outside writes where it should and nowhere else, deletes nothing, and never takes the machine."""

import io
import json
import os
import signal
import tarfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from commands import bench
from format_samples import SAMPLES
from negbench.pipelines import datasets, prepare, sources
from negbench.pipelines.errors import DataError
from negbench.pipelines.locks import alone
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import parquet, pictures
from negbench.pipelines.reading.pictures import PictureError
from negbench.pipelines.sources import archives, download


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with precomputed features in ``plain``."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    rows_in(Path("plain"))
    return Path.cwd()


@pytest.fixture
def soon() -> Iterator[None]:
    """A test that waits for a pipe is ended."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def rows_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "dev", "test"):
        np.save(folder / f"{part}_ims.npy", np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
        (folder / f"{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(8)))
    return folder


def everything() -> dict[str, bytes]:
    """All files here and beside, but downloads, with their bytes."""
    every = [path for path in Path("..").rglob("*") if path.is_file() and ".bench" not in path.parts]
    return {path.as_posix(): path.read_bytes() for path in every}


def refused(*words: str, code: int) -> str:
    """The one line of a command that fails and changes no byte."""
    before = everything()
    done = bench(*words)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("reading ")]
    assert line.startswith("error: ")
    assert everything() == before
    return line


def added(name: str, *words: str) -> str:
    done = bench("data", "add", name, *words)
    assert done.exit_code == 0, done.output
    return Manifest.read(Path("data") / name).hash


# Sources and what is written


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("--from", "data/my"), "data/my"),
        (("--from", "data/my/deeper"), "data/my/deeper"),
        (("--from", "."), "."),
        (("--from", "data"), "data"),
        (("--from", ".."), ".."),
        (("--from", "link"), "data/my"),
        (("--from", "features"), "features"),
        (("--from", "raw/../data/my"), "data/my"),
        (("--precomp", "features/my/precomputed+ngrams"), "features/my/precomputed+ngrams"),
        (("--precomp", ""), "."),
        (("--from", ".bench/features/my"), ".bench/features/my"),
    ],
)
def test_a_source_never_overlaps_with_what_is_written(project: Path, words: tuple[str, str], place: str) -> None:
    Path("raw").mkdir()
    rows_in(Path(place))
    Path("link").symlink_to("data/my")
    line = refused("data", "add", "my", *words, code=2)
    assert "so no source may lie in it or hold it; move the files to raw/my/ and add them from there" in line


def test_what_the_line_says_helps(project: Path) -> None:
    plain = added("my", "--from", "plain")
    rows_in(Path("data/other"))
    refused("data", "add", "other", "--from", "data/other", code=2)
    Path("raw").mkdir()
    Path("data/other").rename("raw/other")
    assert added("other", "--from", "raw/other") == plain
    for words in (("data", "prepare", "other"), ("features", "--dataset", "other"), ("data", "check", "other")):
        assert bench(*words).exit_code == 0
    before = everything()
    assert added("other", "--from", "raw/other", "--replace") == plain
    assert {path: data for path, data in everything().items() if "/raw/" in path} == {
        path: data for path, data in before.items() if "/raw/" in path
    }


@pytest.mark.parametrize("path", ["data/my", "features/my/precomputed+ngrams", ".", "data", "data/../data/my"])
def test_a_registration_is_believed_no_more_than_a_command(project: Path, path: str) -> None:
    added("my", "--from", "plain")
    assert bench("features", "--dataset", "my").exit_code == 0
    rows_in(Path(path))
    text = Path("data/my.yaml").read_text()
    Path("data/my.yaml").write_text(text.replace("path: plain", f"path: {path}"))
    assert f"data/my.yaml: path: {path}: bench writes" in refused("data", "prepare", "my", code=2)
    assert "so no source may" in refused("features", "--dataset", "my", "--force", code=2)


@pytest.mark.parametrize("put", ["notes.tex", "images/mine.jpg", "dataset.json"])
def test_a_folder_of_ones_own_is_named_not_replaced(project: Path, put: str) -> None:
    path = Path("data/my") / put
    path.parent.mkdir(parents=True)
    path.write_text('{"images": []}')
    assert "data/my" in refused("data", "add", "my", "--from", "plain", code=2)
    assert "data/my" in refused("data", "add", "my", "--format", "scenes", code=2)


def test_a_file_put_beside_pictures_that_were_taken_out_stays(project: Path) -> None:
    SAMPLES["hub"][1](Path("hub"))
    added("my", "--from", "hub")
    added("my", "--from", "hub", "--replace")
    assert bench("data", "prepare", "my").exit_code == 0
    Path("data/my/images/mine.jpg").write_text("mine")
    assert "holds 'images/mine.jpg'" in refused("data", "add", "my", "--from", "hub", "--replace", code=2)
    assert "holds 'images/mine.jpg'" in refused("data", "prepare", "my", code=2)


def zipped(path: str = "my.zip") -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(Path("plain").iterdir()):
            archive.write(file, file.name)
    return path


def test_a_file_put_beside_what_was_unpacked_stays(project: Path) -> None:
    plain = added("my", "--from", zipped())
    assert added("my", "--from", "my.zip", "--replace") == plain
    Path("raw/my/.notes").write_text("mine")
    line = refused("data", "add", "my", "--from", "my.zip", "--replace", code=2)
    assert "raw/my holds '.notes', which bench did not unpack there" in line
    Path("raw/my/.notes").unlink()
    Path("my.zip").rename("raw/my/my.zip")
    assert "bench writes raw/my/" in refused("data", "add", "my", "--from", "raw/my/my.zip", "--replace", code=2)


def test_a_file_put_there_meanwhile_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added("my", "--from", zipped())
    detect = datasets.detect

    def meanwhile(folder: Path) -> str:
        Path("raw/my/notes").write_text("mine")
        return detect(folder)

    monkeypatch.setattr(datasets, "detect", meanwhile)
    done = bench("data", "add", "my", "--from", "my.zip", "--replace")
    assert done.exit_code == 2
    assert "raw/my holds 'notes'" in done.stderr
    assert Path("raw/my/notes").read_text() == "mine"
    assert {path.name for path in Path("raw").iterdir()} == {"my"}


def test_the_source_of_another_dataset_is_not_replaced(project: Path) -> None:
    added("one", "--from", zipped())
    added("two", "--from", "raw/one")
    line = refused("data", "add", "one", "--from", "my.zip", "--replace", code=2)
    assert "raw/one/ would be written, but dataset 'two' is read from raw/one" in line
    added("two", "--from", "plain", "--replace")
    added("one", "--from", "my.zip", "--replace")


# Names


@pytest.mark.parametrize("name", ["../../evil", "../evil", "a/b", "", ".", "A", "x" * 101, "a\nb", "-a", "a.b"])
def test_a_dataset_has_a_name_wherever_it_comes_in(project: Path, name: str) -> None:
    outside = Path("data") / name
    if "/" in name:
        outside.mkdir(parents=True)
        (outside / "precious").write_text("mine")
        outside.with_name(f"{outside.name}.yaml").write_text("format: scenes\nencoder: hog+ngrams\n")
    Path("data").mkdir(exist_ok=True)
    for words in (
        ("data", "prepare", "--", name),
        ("data", "check", "--", name),
        ("data", "diff", "--", name),
        ("data", "add", "--from", "plain", "--", name),
        ("features", "--dataset", name),
    ):
        assert "dataset name '" in refused(*words, code=2), words
    before = everything()
    ran = bench("run", "--method", "mean", "--dataset", name or ".", "--encoder", "hog+ngrams")
    assert ran.exit_code == 2
    assert "dataset name '" in ran.stderr.splitlines()[-1]
    assert everything() == before


@pytest.mark.parametrize("encoder", ["../../x", "a/b", "", ".", "..", "a\\b", "a\0b"])
def test_an_encoder_is_one_part_of_a_path(project: Path, encoder: str) -> None:
    with pytest.raises(DataError, match="cannot name a folder"):
        sources.store_folder("my", encoder)
    assert sources.store_folder("my", "hf:a--b+ngrams") == Path("features/my/hf:a--b+ngrams")


# URLs


class Site(BaseHTTPRequestHandler):
    """Answers every path with the same bytes."""

    content = b""

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)


@pytest.fixture
def site(project: Path) -> Iterator[str]:
    """A server's address."""
    kind = type("OneSite", (Site,), {"content": Path(zipped()).read_bytes()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_name_in_a_url_is_one_part_of_a_path(site: str) -> None:
    outside = f"%2f{Path.cwd().parent.as_posix().strip('/').replace('/', '%2f')}%2fpwned"
    for last in (
        *(outside, "..%2f..%2f..%2f..%2fpwned", "%2e%2e", "..", ".", "%2e", "a%00b", "a%5cb", "a%0ab", "x" * 300),
        *("lock", "LOCK", "x.part", "x.version", "%6cock"),
    ):
        line = refused("data", "add", "my", "--from", f"{site}/files/{last}", code=2)
        assert "cannot be the name of a file here; rename it" in line, last
    assert not list(Path("..").rglob("pwned"))
    added("my", "--from", f"{site}/files/my%20own%252f.zip")
    assert not list(Path(".bench").rglob("*.zip*"))


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/x.zip", "dir://", "dir://plain", "memory://x", "zip::http://host/x.zip", "github://a:b@/x"),
        *("simplecache::file:///x.zip", "local:///etc", "data://x", "reference://x", "://x", "sftp://host/x"),
    ],
)
def test_only_the_protocols_that_are_named_are_understood(project: Path, url: str) -> None:
    line = refused("data", "add", "my", "--from", url, code=2)
    assert f"unknown protocol '{url.partition('://')[0]}'; http, https, s3, gs and file work" in line


def test_a_chain_of_urls_is_one_url(site: str) -> None:
    line = refused("data", "add", "my", "--from", f"{site}/x::file:///etc/passwd", "--sha256", "0" * 64, code=3)
    assert "expected 0000" in line


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "http:///x.zip", "http://[::1", "http://[::1/x.zip", "http://host:port/x.zip", "http://h:99999/x"),
        *(
            "http://a b/x.zip",
            "https://h\0/x",
            "http://?x",
            "s3://",
            "s3:///x",
            "file://",
            "file://host/x",
            "file:///%00",
        ),
        *("", " ", "\0", "http://-\udcff/x", "HTTP://[", "http://..../x.zip"),
    ],
)
def test_odd_places_are_one_line(project: Path, url: str) -> None:
    refused("data", "add", "my", "--from", url, code=2)


def test_downloads_that_were_given_up_do_not_stay_for_ever(site: str) -> None:
    old, held, new = (download.place(f"{site}/{name}") for name in ("old", "held", "new"))
    for folder in (old, held, new):
        folder.mkdir(parents=True)
        (folder / "x.part").write_text("begun")
    long_ago = time.time() - download.KEPT - 60
    with alone(held / download.LOCK):
        os.utime(old, (long_ago, long_ago))
        os.utime(held, (long_ago, long_ago))
        added("my", "--from", f"{site}/my.zip")
    assert {path.name for path in Path(".bench/downloads").iterdir()} == {held.name, new.name}


# Archives


def tar_of(*members: tuple[str, dict[str, Any]], end: str = "tar") -> str:
    """A tar of good files and more members, of these names with these attributes."""
    mode: Any = "w" if end == "tar" else f"w:{end.rpartition('.')[2]}"
    with tarfile.open(f"bad.{end}", mode) as archive:
        for file in sorted(Path("plain").iterdir()):
            archive.add(file, file.name)
        for name, about in members:
            member = tarfile.TarInfo(name)
            for key, value in about.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return f"bad.{end}"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.FIFOTYPE, "no plain file"),
        (tarfile.CHRTYPE, "no plain file"),
        (tarfile.BLKTYPE, "no plain file"),
        (tarfile.GNUTYPE_SPARSE, "no plain file"),
    ],
)
def test_a_tar_holds_files_and_folders_and_nothing_else(project: Path, kind: bytes, words: str) -> None:
    name = tar_of(("odd", {"type": kind, "linkname": "train_caps.txt"}))
    assert f"{name}: odd is {words}; pack the file itself" in refused("data", "add", "my", "--from", name, code=3)


def test_links_through_a_long_path_write_nothing_outside(project: Path) -> None:
    """As in CVE-2025-4517: links so deep that their ends are not looked at."""
    deep = "d" * 247
    step: list[tuple[str, dict[str, Any]]] = []
    for letter in "abcdefghijklmnop":
        step.append((f"{'/'.join([deep] * len(step))}/{deep}".strip("/"), {"type": tarfile.DIRTYPE}))
        step.append((f"{letter}", {"type": tarfile.SYMTYPE, "linkname": deep}))
    name = tar_of(*step, ("out", {"type": tarfile.LNKTYPE, "linkname": "a/../../../../pwned"}), ("out", {"size": 4}))
    assert "pack the file itself" in refused("data", "add", "my", "--from", name, code=3)


@pytest.mark.parametrize("header", ["pax", "long name", "global"])
def test_the_headers_of_a_tar_count(project: Path, header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "HARMLESS", 10**5)
    size = 50 * 10**6
    about = {"pax": tarfile.XHDTYPE, "long name": tarfile.GNUTYPE_LONGNAME, "global": tarfile.XGLTYPE}[header]
    for name in (tar_of(("big", {"type": about, "size": size}), end="tar.gz"), "first.tgz"):
        if name == "first.tgz":  # the very first header is read when the archive is opened
            with tarfile.open(name, "w:gz") as archive:
                member = tarfile.TarInfo("big")
                member.type, member.size = about, size
                archive.addfile(member, io.BytesIO(bytes(size)))
            Path(name).rename("first")
            name = "first"
        line = refused("data", "add", "my", "--from", name, code=3)
        assert f"{name}: a header of 50," in line


def test_many_small_headers_count(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "HARMLESS", 10**5)
    name = tar_of(*((f"f{number}", {"pax_headers": {"comment": "x" * 20_000}}) for number in range(100)), end="tar.gz")
    assert "unpacks to more than" in refused("data", "add", "my", "--from", name, code=3)


@pytest.mark.parametrize("end", ["tar", "zip"])
def test_an_archive_has_bounds(project: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(*names: str) -> str:
        if end == "tar":
            return tar_of(*((name, {"size": 3}) for name in names))
        with zipfile.ZipFile(zipped("bad.zip"), "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that stand twice
            for name in names:
                archive.writestr(name, "abc")
        return "bad.zip"

    for names, words in (
        (["/".join("a" * 33)], "lies 33 folders deep"),
        (["a", "a/b"], "pack it again"),
        (["a/b", "a"], "pack it again"),
        (["x" * 300], "cannot be the name of a file"),
        (["a\nb"], "cannot be the name of a file"),
        ([".unpacked"], "cannot be the name of a file"),
        ([".unpacked/x"], "cannot be the name of a file"),
    ):
        assert words in refused("data", "add", "my", "--from", packed(*names), code=3)
    monkeypatch.setattr(archives, "MOST_FILES", 20)
    added("my", "--from", packed(*map(str, range(14))))
    many = packed(*map(str, range(15)))
    assert "more than 20 files" in refused("data", "add", "my", "--from", many, "--replace", code=3)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_a_zip_have_names_and_bytes_of_their_own(project: Path) -> None:
    for names, words in (([""], "cannot be the name"), (["."], "cannot be the name"), (["x", "x"], "stands twice")):
        with zipfile.ZipFile(zipped("bad.zip"), "a") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name), "abc")
        assert words in refused("data", "add", "my", "--from", "bad.zip", code=3)
    with zipfile.ZipFile(zipped("bad.zip"), "a") as archive:
        archive.writestr("one", "abc" * 100)
        archive.writestr("two", "abc" * 100)
        archive.getinfo("two").header_offset = archive.getinfo("one").header_offset + 3
    assert "overlaps with another file" in refused("data", "add", "my", "--from", "bad.zip", code=3)


# HDF5


def hdf5(folder: str, write: Callable[[h5py.File], None]) -> Path:
    SAMPLES["arrays_hdf5"][1](Path(folder))
    path = Path(folder) / "vit.h5"
    path.unlink()
    with h5py.File(path, "w") as file:
        write(file)
    return path


def test_an_hdf5_file_shows_no_other_file(project: Path) -> None:
    Path("../secret").write_bytes(np.full((30, 6), 7, dtype="<f4").tobytes())
    with h5py.File("../secret.h5", "w") as secret:
        secret["features"] = np.full((30, 6), 7, dtype=np.float32)
    layout = h5py.VirtualLayout(shape=(30, 6), dtype="<f4")
    layout[:] = h5py.VirtualSource("../secret.h5", "features", shape=(30, 6))

    def external(file: h5py.File) -> None:
        file.create_dataset("features", shape=(30, 6), dtype="<f4", external=[("../secret", 0, h5py.h5f.UNLIMITED)])

    def virtual(file: h5py.File) -> None:
        file.create_virtual_dataset("features", layout)

    def link(file: h5py.File) -> None:
        file["features"] = h5py.ExternalLink("../secret.h5", "/features")

    def soft(file: h5py.File) -> None:
        file["real/x"] = np.zeros((30, 6), dtype=np.float32)
        file["features"] = h5py.SoftLink("/real/x")

    def beside(file: h5py.File) -> None:
        file["features"] = np.zeros((30, 6), dtype=np.float32)
        file["more"] = h5py.ExternalLink("../secret.h5", "/features")

    for number, write in enumerate((external, virtual, link, soft, beside)):
        hdf5(f"bad{number}", write)
        line = refused("data", "add", "my", "--from", f"bad{number}", code=3)
        assert "write the array itself into" in line, write


def test_a_small_file_of_a_huge_array_is_not_written_out(project: Path) -> None:
    def wide(file: h5py.File) -> None:
        file.create_dataset("features", shape=(10**9, 10**3), dtype="<f4", chunks=(1, 1000))

    hdf5("wide", wide)
    assert "holds 4,000.0 GB in a file of" in refused("data", "add", "my", "--from", "wide", code=3)
    SAMPLES["arrays_npz"][1](Path("npz"))
    np.savez_compressed("npz/vit.npz", features=np.zeros((30, 10**6), dtype=np.float32))
    assert "holds 0.1 GB in a file of" in refused("data", "add", "my", "--from", "npz", code=3)


# Parquet


def repeated(text: str, times: int) -> pa.Array:
    """A text that is stored once and stands for many."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), pa.array([text]))


def in_one_list(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays([0, len(values)], values)


def read_until_it_ends(path: Path) -> None:
    most = 0
    for _, row in parquet.rows(path, ["image", "caption"]):
        most += len(row["image"]) + sum(map(len, row["caption"]))
        assert most <= 10**6


@pytest.mark.parametrize("column", ["captions", "list", "many", "image", "structs"])
def test_a_small_parquet_file_takes_no_more_memory_than_it_may(
    project: Path, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "HARMLESS", 10**6)
    monkeypatch.setattr(parquet, "MOST_VALUES", 10**5)
    rows = 1 if column in ("list", "many", "structs") else 3000
    images = repeated("x" * 10**4, rows) if column == "image" else pa.array(["a.jpg"] * rows)
    captions = {
        "captions": lambda: repeated("x" * 10**4, rows),
        "list": lambda: in_one_list(repeated("x" * 10**4, 3000)),
        "many": lambda: in_one_list(repeated("x", 2 * 10**5)),
        "image": lambda: pa.array(["x"] * rows),
        "structs": lambda: in_one_list(pa.StructArray.from_arrays([repeated("x" * 10**4, 3000)], names=["raw"])),
    }[column]()
    path = Path("bomb/captions.parquet")
    path.parent.mkdir()
    table = pa.table({"image": images, "caption": captions})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="write it again without compression and dictionaries"):
        read_until_it_ends(path)
    refused("data", "add", "my", "--from", "bomb", code=3)


def test_lists_of_every_kind_are_read_as_they_stand(project: Path) -> None:
    rows = [
        {"a": ["x", None], "b": [{"raw": "y", "n": 1}], "c": None, "d": [[b"z"]], "e": {"bytes": b"1", "path": None}},
        {"a": [], "b": None, "c": 3.5, "d": [], "e": None},
        {"a": None, "b": [], "c": 1.0, "d": [[], [b"z", None]], "e": {"bytes": None, "path": "p"}},
    ] * 50
    pq.write_table(pa.Table.from_pylist(rows), "rows.parquet", row_group_size=40)
    assert [row for _, row in parquet.rows(Path("rows.parquet"), ["a", "b", "c", "d", "e"])] == rows


@pytest.mark.parametrize("rows_per_group", [100, 3000])
def test_a_dictionary_that_is_full_is_read_on(
    project: Path, rows_per_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"caption": [f"caption {number} of {k}" for k in range(number % 7)]} for number in range(3000)]
    path = Path("rows.parquet")
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, path, row_group_size=rows_per_group, dictionary_pagesize_limit=1000, data_page_size=1000)
    assert list(parquet.rows(path, ["caption"])) == list(enumerate(rows))
    monkeypatch.setattr(archives, "HARMLESS", 10**6)
    long = [{"caption": ["x" * 10**4]}, *({"caption": [f"{number}", "x" * 10**4]} for number in range(2000))]
    table = pa.Table.from_pylist(long)
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=11_000, data_page_size=1000)
    with pytest.raises(DataError, match="and dictionaries"):
        list(parquet.rows(path, ["caption"]))


# Pictures, pipes and devices


def test_no_other_program_is_run_for_a_picture(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bin").mkdir()
    Path("bin/gs").write_text(f"#!/bin/sh\ntouch {project}/ran\nexit 1\n")
    Path("bin/gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{project}/bin:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    Image.new("RGB", (8, 8)).save("x.jpg", "EPS")
    with pytest.raises(PictureError, match=r"x\.jpg: cannot be decoded: not a picture"):
        pictures.content(Path("x.jpg"))
    assert not Path("ran").exists()


@pytest.mark.usefixtures("soon")
def test_pictures_are_files(project: Path) -> None:
    os.mkfifo("pipe.jpg")
    Path("zero.jpg").symlink_to("/dev/zero")
    Path("folder.jpg").mkdir()
    for name in ("pipe.jpg", "zero.jpg", "folder.jpg"):
        with pytest.raises(PictureError) as error:
            pictures.content(Path(name))
        assert str(error.value) in (f"{name}: not a file", f"{name}: Is a directory")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("sample", SAMPLES)
def test_annotations_are_files(project: Path, sample: str) -> None:
    file_format, make = SAMPLES[sample]
    make(Path("source"))
    every = sorted(path for path in Path("source").rglob("*") if path.is_file())
    some = [path for path in every if path.suffix != ".jpg"] + [path for path in every if path.suffix == ".jpg"][:1]
    for path in some:
        data = path.read_bytes()
        for make_odd in (os.mkfifo, lambda odd: Path(odd).symlink_to("/dev/zero")):
            path.unlink()
            make_odd(path)
            done = bench("data", "add", "my", "--from", "source", "--format", file_format, "--replace")
            assert done.exit_code in (0, 3), (path, done.output)  # 0: it can do without
            assert done.exit_code == 0 or done.stderr.splitlines()[-1].startswith("error: ")
            path.unlink()
            path.write_bytes(data)


# Texts


@pytest.mark.parametrize("depth", [500, 940, 960, 980, 100_000])
@pytest.mark.parametrize("sample", ["karpathy", "albef", "coco", "table_jsonl", "arrays_npz", "shards_json"])
def test_values_nested_too_deep_are_one_line(project: Path, sample: str, depth: int) -> None:
    SAMPLES[sample][1](Path("source"))
    deep = "[" * depth + "]" * depth
    if sample == "shards_json":
        with tarfile.open("source/train/00000.tar", "a") as tar:
            for end, data in ((".jpg", b"x"), (".json", f'{{"caption": {deep}}}'.encode())):
                member = tarfile.TarInfo(f"deep{end}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    else:
        file = next(path for path in sorted(Path("source").rglob("*.json*")) if path.stat().st_size)
        whole = file.read_text()
        key = {"karpathy": '"raw"', "albef": '"caption"', "coco": '"caption"', "table_jsonl": '"text"'}
        start = whole.index(key.get(sample, '"caption"')) + len(key.get(sample, '"caption"')) + 2
        length = json.JSONDecoder().raw_decode(whole[start:])[1]
        file.write_text(whole[:start] + deep + whole[start + length :])
    line = refused("data", "add", "my", "--from", "source", "--format", SAMPLES[sample][0], code=3)
    assert len(line) < 500


@pytest.mark.parametrize(
    "content", [b"9" * 5000, b'{"format": ' + b"9" * 5000 + b"}", b"[" * 2000, b"\xe9", b"a: [", b""]
)
def test_a_registration_that_cannot_be_read_is_one_line(project: Path, content: bytes) -> None:
    Path("data").mkdir()
    Path("data/my.yaml").write_bytes(content)
    assert "data/my.yaml" in refused("data", "prepare", "my", code=3)


def test_a_caption_is_no_book(project: Path) -> None:
    Path("plain/dev_caps.txt").write_text("x\n" * 7 + "x" * 100_001 + "\n")
    assert "has 100,001 characters, at most 100,000 are read" in refused("data", "add", "my", "--from", "plain", code=3)


# What a kill leaves


def test_the_next_command_removes_what_a_killed_one_left(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped()
    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(datasets, "detect", lambda folder: os.kill(os.getpid(), signal.SIGKILL))
            prepare.add("my", "my.zip")
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    left = [path.name for folder in ("data", "raw") for path in Path(folder).iterdir()]
    assert len(left) == 3  # a registration, a manifest, what was unpacked
    assert all(".bench-" in name for name in left)
    added("other", "--from", "plain")
    assert {path.name for path in Path("data").iterdir()} == {"other", "other.yaml"}
    assert list(Path("raw").iterdir()) == []
