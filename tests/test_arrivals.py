"""Datasets from archives and URLs, as a person adds them."""

import hashlib
import io
import json
import os
import stat
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from commands import bench
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import archives, arrivals, download

FILES = ("train", "dev", "test")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with precomputed features in ``plain``."""
    monkeypatch.chdir(tmp_path)
    Path("plain").mkdir()
    for part in FILES:
        np.save(f"plain/{part}_ims.npy", np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
        Path(f"plain/{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(8)))
    return tmp_path


def manifest_of(*words: str) -> str:
    done = bench("data", "add", "my", *words)
    assert done.exit_code == 0, done.output
    return Manifest.read(Path("data/my")).hash


def error_of(*words: str, code: int = 3) -> str:
    """The one line of an ``add`` that must fail and leave nothing but downloads."""
    before = tree()
    done = bench("data", "add", "my", *words)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    lines = [line for line in done.stderr.splitlines() if not line.startswith("reading ")]
    assert len(lines) == 1, done.stderr
    assert tree() == before
    return lines[0]


def tree() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file() and path.parts[0] != ".bench"}


def pack(path: str, below: str = "") -> Path:
    """The files of ``plain`` as an archive; ``below`` is the folder they stand in inside it."""
    names = sorted(Path("plain").iterdir())
    if path.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file in names:
                archive.write(file, f"{below}{file.name}")
            archive.writestr("__MACOSX/._x", "litter")
    else:
        kind = path.rpartition(".")[2]
        mode: Any = "w" if kind == "tar" else f"w:{kind}"
        with tarfile.open(path, mode) as tar:
            for file in names:
                tar.add(file, f"{below}{file.name}")
    return Path(path)


@pytest.mark.parametrize("name", ["my.zip", "my.tar", "my.tar.gz", "my.tar.bz2", "my.tar.xz"])
@pytest.mark.parametrize("below", ["", "one/two/"])
def test_an_archive_is_the_same_dataset_as_its_folder(project: Path, name: str, below: str) -> None:
    plain = manifest_of("--from", "plain")
    assert not Path("raw").exists()
    sha = hashlib.sha256(pack(name, below).read_bytes()).hexdigest()
    assert manifest_of("--from", name, "--replace", "--sha256", sha.upper()) == plain
    registered = Path("data/my.yaml").read_text()
    assert f"path: raw/my/{below}".rstrip("/") + "\n" in registered
    assert f"- place: {name}\n  sha256: {sha}" in registered
    assert not list(Path("raw").rglob("*MACOSX*"))
    assert bench("data", "prepare", "my").exit_code == 0
    assert bench("features", "--dataset", "my").exit_code == 0
    assert bench("data", "check", "my").exit_code == 0


def test_several_archives_make_one_dataset(project: Path) -> None:
    plain = manifest_of("--from", "plain")
    with zipfile.ZipFile("ims.zip", "w") as ims, tarfile.open("caps.tar", "w") as caps:
        for file in Path("plain").iterdir():
            ims.write(file, file.name) if file.suffix == ".npy" else caps.add(file, file.name)
    assert manifest_of("--from", "ims.zip", "--from", "caps.tar", "--replace") == plain


def with_member(name: str, content: bytes = b"x", link: str | None = None, tar: bool = False) -> str:
    """An archive of good files and one more member."""
    if tar:
        pack("bad.tar")
        with tarfile.open("bad.tar", "a") as archive:
            member = tarfile.TarInfo(name)
            if link is None:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = tarfile.SYMTYPE, link
                archive.addfile(member)
        return "bad.tar"
    with zipfile.ZipFile(pack("bad.zip"), "a", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        if link is not None:
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, link or content)
    return "bad.zip"


@pytest.mark.parametrize(
    ("member", "link", "message"),
    [
        ("../escaped.txt", None, "would leave the folder"),
        ("a/../../escaped.txt", None, "would leave the folder"),
        ("/tmp/escaped.txt", None, "would leave the folder"),
        ("C:/escaped.txt", None, "would leave the folder"),
        ("a\\..\\escaped.txt", None, "would leave the folder"),
        ("way", "/etc", "link"),
        ("way", "../../..", "link"),
    ],
)
@pytest.mark.parametrize("tar", [False, True], ids=["zip", "tar"])
def test_nothing_leaves_the_folder(project: Path, member: str, link: str | None, message: str, tar: bool) -> None:
    line = error_of("--from", with_member(member, link=link, tar=tar))
    assert line.startswith(f"error: bad.{'tar' if tar else 'zip'}: ")
    assert message in line
    assert not list(project.parent.glob("escaped*"))


@pytest.mark.parametrize("tar", [False, True], ids=["zip", "tar"])
def test_a_bomb_is_stopped_unless_it_is_asked_for(project: Path, tar: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "HARMLESS", 10**5)
    name = with_member("zeros.bin", bytes(3 * 10**6), tar=tar)
    if tar:
        with tarfile.open("bad.tar.gz", "w:gz") as packed, tarfile.open(name) as plain:
            for member in plain:
                packed.addfile(member, plain.extractfile(member))
        name = "bad.tar.gz"
    assert "allow more with --unpack-limit GB" in error_of("--from", name)
    assert "unpacks to more than" in error_of("--from", name, "--unpack-limit", "0.002")
    manifest_of("--from", name, "--unpack-limit", "0.004")


@pytest.mark.parametrize("name", ["my.zip", "my.tar", "my.tar.gz", "my.tar.bz2", "my.tar.xz"])
def test_damaged_archives_are_one_line(project: Path, name: str) -> None:
    whole = pack(name).read_bytes()
    cut = [whole[: len(whole) * part // 8] for part in (1, 2, 4)]
    between = [whole[:3072], whole[:3072] + b"?" * 512] if name == "my.tar" else []  # where a member ends
    for damaged in (*cut, *between, b"", b"no archive at all"):
        Path(name).write_bytes(damaged)
        assert error_of("--from", name).startswith(f"error: {name}")


def test_an_encrypted_zip_is_one_line(project: Path) -> None:
    data = bytearray(pack("my.zip").read_bytes())
    with zipfile.ZipFile("my.zip") as archive:
        start = archive.start_dir
    data[6] |= 1  # the flag of the first member, there and in the directory
    data[start + 8] |= 1
    Path("my.zip").write_bytes(bytes(data))
    assert "encrypted" in error_of("--from", "my.zip")


def test_faults_inside_an_archive_name_the_archive(project: Path) -> None:
    Path("plain/dev_caps.txt").write_text("only one\n")
    pack("my.zip", "inner/")
    line = error_of("--from", "my.zip")
    assert "my.zip/inner/dev_ims.npy: 4 rows for 1 captions" in line


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--from", "plain", "--from", "my.zip"), 2, "a folder is added alone"),
        (("--from", "plain", "--sha256", "0" * 64), 2, "a folder has none"),
        (("--from", "my.zip", "--sha256", "0" * 63), 2, "expected 64 hex digits"),
        (("--from", "my.zip", "--sha256", "0" * 64, "--sha256", "0" * 64), 2, "2 --sha256 for 1 --from"),
        (("--from", "my.zip", "--sha256", "0" * 64), 3, "my.zip: sha256 is "),
        (("--from", "my.zip", "--format", "precom"), 2, "did you mean 'precomp'?"),
        (("--from", "plain/dev_caps.txt"), 3, "is no folder and no archive"),
        (("--from", "other.zip"), 3, "it does not exist"),
        (("--from", "ftq://host/file.zip"), 2, "unknown protocol 'ftq'"),
        (("--from", "file:///nowhere/x.zip"), 3, "it does not exist"),
    ],
)
def test_wrong_requests(project: Path, words: tuple[str, ...], code: int, message: str) -> None:
    pack("my.zip")
    assert message in error_of(*words, code=code)


def test_a_folder_of_ones_own_is_not_replaced(project: Path) -> None:
    pack("my.zip")
    Path("raw/my").mkdir(parents=True)
    Path("raw/my/mine.txt").write_text("precious")
    assert "raw/my is in the way" in error_of("--from", "my.zip", code=2)
    assert Path("raw/my/mine.txt").read_text() == "precious"


def test_a_missing_package_names_the_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    assert "pip install 'negbench[s3]'" in error_of("--from", "s3://bucket/my.zip")
    assert "pip install 'negbench[gs]'" in error_of("--from", "gs://bucket/my.zip")


def test_secrets_of_a_url_are_not_written_down() -> None:
    assert download.plain("https://me:word@host:80/a/b.zip?token=1#x") == "https://host:80/a/b.zip"
    assert download.plain("s3://bucket/a") == "s3://bucket/a"
    assert download.plain("a/b?c") == "a/b?c"


class Site(BaseHTTPRequestHandler):
    """Serves ``content``; knows ranges unless told otherwise; may break off after some bytes."""

    content = b""
    tag = "one"
    ranges = True
    break_after: int | None = None
    status = 200
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        site = type(self)
        if site.status != 200:
            self.send_error(site.status)
            return
        start = 0
        if site.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if body:
            site.asked.append(self.headers.get("Range") or "all")
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(site.content) - start))
        self.send_header("ETag", f'"{site.tag}"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        self.end_headers()
        if body:
            end = len(site.content) if site.break_after is None else start + site.break_after
            self.wfile.write(site.content[start:end])
            if site.break_after is not None:
                self.wfile.flush()
                time.sleep(0.3)  # for the other side to read what it has got
            self.close_connection = True


@pytest.fixture
def site(project: Path) -> Iterator[tuple[type[Site], str]]:
    """A server of ``my.zip`` and its address."""
    kind = type("OneSite", (Site,), {"content": pack("my.zip").read_bytes(), "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}/files/my.zip?download=1"
    server.shutdown()
    server.server_close()
    thread.join()


def downloaded() -> list[str]:
    return sorted(path.name for path in Path(".bench/downloads").rglob("my.zip*") if "version" not in path.name)


def test_a_download_is_verified_unpacked_and_registered(site: tuple[type[Site], str]) -> None:
    kind, url = site
    plain = manifest_of("--from", "plain")
    sha = hashlib.sha256(kind.content).hexdigest()
    assert manifest_of("--from", url, "--sha256", sha, "--replace") == plain
    assert f"place: {url.partition('?')[0]}\n  sha256: {sha}" in Path("data/my.yaml").read_text()
    assert downloaded() == []
    assert kind.asked == ["all"]


def test_a_broken_download_goes_on_where_it_stopped(site: tuple[type[Site], str]) -> None:
    kind, url = site
    kind.break_after = 1000
    line = error_of("--from", url)
    assert url.partition("?")[0] in line
    assert "goes on where this stopped" in line
    assert downloaded() == ["my.zip.part"]
    kind.break_after = None
    manifest_of("--from", url)
    assert kind.asked == ["all", "bytes=1000-"]


def test_a_server_without_ranges_starts_again(site: tuple[type[Site], str]) -> None:
    kind, url = site
    plain = manifest_of("--from", "plain")
    kind.break_after = 1000
    error_of("--from", url, "--replace")
    kind.break_after, kind.ranges = None, False
    sha = hashlib.sha256(kind.content).hexdigest()
    assert manifest_of("--from", url, "--sha256", sha, "--replace") == plain
    assert kind.asked == ["all", "bytes=1000-"]  # and all is sent


def test_a_file_that_changed_on_the_server_starts_again(site: tuple[type[Site], str]) -> None:
    kind, url = site
    kind.break_after = 1000
    error_of("--from", url)
    Path("plain/dev_caps.txt").write_text("".join(f"another caption {k}\n" for k in range(8)))
    kind.break_after, kind.tag, kind.content = None, "two", pack("my.zip").read_bytes()
    manifest_of("--from", url)
    assert kind.asked[-1] == "all"


def test_a_wrong_digest_keeps_nothing_and_wrong_data_keeps_the_download(site: tuple[type[Site], str]) -> None:
    kind, url = site
    assert "expected 0000" in error_of("--from", url, "--sha256", "0" * 64)
    assert downloaded() == []
    asked = len(kind.asked)
    error_of("--from", url, "--format", "flickr8k")
    assert downloaded() == ["my.zip"]
    manifest_of("--from", url)
    assert len(kind.asked) == asked + 1


@pytest.mark.parametrize(("status", "words"), [(404, "not found"), (403, "the server says 403"), (500, "says 500")])
def test_what_a_server_refuses_is_one_line(site: tuple[type[Site], str], status: int, words: str) -> None:
    kind, url = site
    kind.status = status
    assert words in error_of("--from", url)


def test_a_server_that_is_not_there_is_one_line(project: Path) -> None:
    assert "no connection (Connection refused)" in error_of("--from", "http://127.0.0.1:9/my.zip")


def test_two_downloads_of_one_url_do_not_mix(site: tuple[type[Site], str]) -> None:
    from filelock import FileLock

    _, url = site
    folder = download.place(url)
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        assert "being downloaded by another process" in error_of("--from", url, code=2)


@pytest.fixture
def bucket(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """An object store behind ``s3://bucket``."""
    import fsspec

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = "s3"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(super()._strip_protocol(path.removeprefix("s3://")))

    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda protocol: {"s3": Store}[protocol])
    store = Store()
    yield store
    store.rm("/bucket", recursive=True)


def test_a_folder_of_an_object_store_is_brought_as_it_is(bucket: MemoryFileSystem) -> None:
    plain = manifest_of("--from", "plain")
    bucket.put("plain", "/bucket/my", recursive=True)
    assert manifest_of("--from", "s3://bucket/my", "--replace") == plain
    assert "digests are of files" in error_of("--from", "s3://bucket/my", "--replace", "--sha256", "0" * 64, code=2)
    bucket.pipe("/bucket/my.zip", pack("my.zip").read_bytes())
    assert manifest_of("--from", "s3://bucket/my.zip", "--replace") == plain
    assert "not found" in error_of("--from", "s3://bucket/none.zip", "--replace")


@pytest.mark.parametrize("name", ["..\\up.npy", "a/train.part", "lock", "x.version", "a/\x07", "a//b", "a/./b"])
def test_names_in_an_object_store_are_parts_of_paths(bucket: MemoryFileSystem, name: str) -> None:
    bucket.put("plain", "/bucket/my", recursive=True)
    bucket.store[f"/bucket/my/{name}"] = MemoryFile(bucket, f"/bucket/my/{name}", b"x")
    assert "cannot be the name of a file here" in error_of("--from", "s3://bucket/my", code=2)


def test_a_file_and_a_folder_of_one_name_are_one_line(bucket: MemoryFileSystem) -> None:
    for name in ("a", "a/b"):
        bucket.store[f"/bucket/my/{name}"] = MemoryFile(bucket, f"/bucket/my/{name}", b"x")
    assert "a is a file and a folder there" in error_of("--from", "s3://bucket/my")


def test_a_file_url_is_the_path(project: Path) -> None:
    manifest_of("--from", f"file://{project}/plain")
    assert "path: plain\n" in Path("data/my.yaml").read_text()


def test_what_is_missing_says_where_it_came_from(project: Path) -> None:
    pack("my.zip")
    manifest_of("--from", "my.zip")
    Path("raw").rename("elsewhere")
    done = bench("data", "prepare", "my")
    assert done.exit_code == 3
    assert "dvc pull raw/my.dvc, or bench data add my --from my.zip --replace" in done.stderr


def test_progress_is_told_in_bytes(project: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with arrivals.arrive("my", [str(pack("my.zip"))], progress=lambda *what: told.append(what)):
        pass
    size = sum(path.stat().st_size for path in Path("plain").iterdir())
    assert told[-1] == ("unpacking my.zip", size, size)


def test_where_names_files_pages_terms_and_the_command(project: Path) -> None:
    listed = bench("data", "where")
    for name in ("f8k", "f30k", "coco", "f30k-entities", "stamps"):
        assert f"bench data where {name}" in listed.stdout
        one = bench("data", "where", name).stdout
        assert f"bench data add {name} --from DIR" in one
        about = json.loads(bench("data", "where", name, "--json").stdout)
        assert about["citation"] in one
        for item in about["downloads"]:
            assert item["page"].startswith("https://")
            assert all(value in one for value in item.values())
    wrong = bench("data", "where", "cocoa")
    assert (wrong.exit_code, wrong.stdout) == (3, "")
    assert "did you mean 'coco'?" in wrong.stderr


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).symlink_to("/nowhere")])
def test_odd_files_are_no_archives(project: Path, make: Callable[[str], None]) -> None:
    make("odd")
    assert "is no folder and no archive" in error_of("--from", "odd")


def test_the_error_of_a_reader_keeps_its_kind(project: Path) -> None:
    with pytest.raises(DataError, match="boom"), arrivals.arrive("my", [str(pack("my.zip"))]):
        raise DataError("boom")
    assert not Path("raw/my").exists()
