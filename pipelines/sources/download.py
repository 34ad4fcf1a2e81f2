"""A file or folder from a URL, through fsspec: what was begun is gone on with, what is complete is kept.

Downloads lie in ``.bench/downloads/<digest of the URL>/``, a file as ``NAME.part`` until it is complete. Beside it
stands ``NAME.version``: what the server says of the file (size, ETag, time). A part of another version is thrown away.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socket import gaierror
from typing import Any
from urllib.parse import unquote, urlsplit

from negbench.pipelines.atomic import write_text
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import Progress, digest, is_part
from negbench.pipelines.locks import HeldError, alone
from negbench.pipelines.sources import WORK

DOWNLOADS = WORK / "downloads"
PROTOCOLS = ("http", "https", "s3", "gs", "file")
"""All that are understood."""
MOST_FILES = 1_000_000
"""Of a folder of an object store."""
KEPT = 14 * 24 * 3600
"""Seconds after which a download that nobody went on with is thrown away."""
LOCK = "lock"
OURS = (".part", ".version")
"""Ends of what stands beside a download."""
PIECE = 2**20
VERSION = ("size", "ETag", "etag", "Last-Modified", "LastModified", "updated", "mtime", "generation")
"""What a file system may say of a file that changes when the file does."""
EXTRAS = ("s3", "gs")
"""Protocols that need a package of their own; the extra of this project that brings it has the same name."""
PATIENCE = 60
"""Seconds without a byte after which a connection counts as broken."""


def is_url(text: str) -> bool:
    """Whether a URL is meant, not a path."""
    return "://" in text


def check_url(url: str) -> None:
    """``RequestError`` where a URL is of an unknown protocol, or none that could be asked for."""
    protocol = url.partition("://")[0]
    if protocol.lower() not in PROTOCOLS:
        known = f"{', '.join(PROTOCOLS[:-1])} and {PROTOCOLS[-1]}"
        raise RequestError(f"{plain(url)}: unknown protocol '{protocol}'; {known} work")
    try:
        parts = urlsplit(url)
        named = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:  # of brackets and ports
        named = False
    if not (named or protocol.lower() == "file") or re.search(r"[\x00-\x20\x7f\ud800-\udfff]", url):
        raise RequestError(f"{plain(url)}: no URL that can be asked for; write {protocol.lower()}://HOST/FILE")


def plain(url: str) -> str:
    """A URL without what may be secret: user, password, query; a path as it is."""
    protocol, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{protocol}://{host.rpartition('@')[2]}{slash}{path}"


def place(url: str) -> Path:
    """The folder that a URL's downloads lie in."""
    return DOWNLOADS / digest(url)


def download(url: str, progress: Progress) -> list[Path]:
    """Bring what ``url`` names to ``place(url)``; paths relative to it: one file, or all files of a folder.

    ``DataError``, one line, where it cannot be had; what has arrived by then stays for the next call.
    """
    folder = place(url)
    _remove_forgotten()
    try:
        with alone(folder / LOCK):
            os.utime(folder)
            system, path = _open_system(url)
            with _said_of(url):
                files = _files(system, path)
            if not files:
                raise DataError(f"{plain(url)} is an empty folder")
            for name, (remote, info) in files.items():
                _file(system, remote, info, folder / name, url, progress)
            return list(files)
    except HeldError as error:
        raise RequestError(f"{plain(url)} is being downloaded by {error}") from None


def remove_downloads(url: str) -> None:
    """Remove what ``download`` brought."""
    shutil.rmtree(place(url), ignore_errors=True)


def _remove_forgotten() -> None:
    """Remove downloads that were begun long ago and that nobody is at."""
    for folder in DOWNLOADS.glob("*"):
        if folder.is_dir() and not folder.is_symlink() and time.time() - folder.stat().st_mtime > KEPT:
            with suppress(HeldError, OSError), alone(folder / LOCK):
                shutil.rmtree(folder)


def _open_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what the URL is called there. A URL is one: fsspec's chains (``::``) are not."""
    import fsspec

    protocol = urlsplit(url).scheme
    options: dict[str, Any] = {}
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout

        patience = ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
        options["client_kwargs"] = {"timeout": patience, "trust_env": True, "auto_decompress": False}
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        need = f"pip install 'negbench[{protocol}]'" if protocol in EXTRAS else str(error)
        raise DataError(f"{protocol}:// needs a package that is not installed: {need}") from None
    with _said_of(url):
        return kind(**options), kind._strip_protocol(f"{protocol}://{url.partition('://')[2]}")


@contextmanager
def _said_of(url: str) -> Iterator[None]:
    """Whatever a file system or its network raises, as one line that names the URL."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # every file system has errors of its own
        cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
        if isinstance(cause, ValueError):  # libraries' errors of URLs and of hosts' names
            raise RequestError(f"{plain(url)}: no URL that can be asked for") from None
        status = getattr(cause, "status", None)
        if isinstance(cause, FileNotFoundError) or status == 404:
            raise DataError(f"{plain(url)}: not found") from None
        reason = f"the server says {status} {getattr(cause, 'message', '')}".rstrip() if status else _reason(cause)
        raise DataError(f"{plain(url)}: {reason}; the same command goes on where this stopped") from None


def _reason(error: BaseException) -> str:
    """What kept a file from coming, by the names that network libraries give their errors."""
    name, number = type(error).__name__, getattr(error, "errno", None)
    if isinstance(error, PermissionError) or "Credential" in name:
        return "access is denied; see that your credentials are right and found"
    if isinstance(error, TimeoutError):
        return f"no answer for {PATIENCE} seconds"
    if "DNS" in name or isinstance(error, gaierror):
        return "no host of this name is found"
    if "Certificate" in name or "SSL" in name:
        return "its certificate is not valid"
    if isinstance(error, OSError) and number:
        return f"no connection ({os.strerror(number)})"
    return f"the connection broke off ({name})"


def _files(system: Any, path: str) -> dict[Path, tuple[str, dict[str, Any]]]:
    """Files to fetch by the name they get here. Over http everything is one file."""
    if _is_http(system):
        name = unquote(urlsplit(path).path.rpartition("/")[2]) or "download"
        return {_local_name([name], path): (path, system.info(path))}
    info = system.info(path)
    if info.get("type") != "directory":
        return {_local_name([path.rpartition("/")[2]], path): (path, info)}
    files: dict[Path, tuple[str, dict[str, Any]]] = {}
    root = path.rstrip("/") + "/"
    for remote, about in sorted(system.find(path, detail=True).items()):
        if not remote.startswith(root):
            raise DataError(f"{remote[:200]!r}: leaves the folder")
        files[_local_name(remote.removeprefix(root).split("/"), remote)] = (remote, about)
    if len(files) > MOST_FILES:
        raise DataError(f"{path}: {len(files):,} files, at most {MOST_FILES:,} are brought; pack them")
    folders = {above for name in files for above in name.parents}
    if both := sorted(folders & files.keys()):
        raise DataError(f"{path}: {both[0]} is a file and a folder there")
    return files


def _local_name(parts: list[str], remote: str) -> Path:
    """A remote file's name as a path here; ``RequestError`` where a part is none, or is a name of our own."""
    for part in parts:
        if not is_part(part) or part.lower() == LOCK or part.lower().endswith(OURS):
            raise RequestError(f"{plain(remote)[:200]}: {part[:80]!r} cannot be the name of a file here; rename it")
    return Path(*parts)


def _file(system: Any, remote: str, info: dict[str, Any], target: Path, url: str, progress: Progress) -> None:
    """One file to ``target``, unless this version of it is there already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part, note = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.version")
    version = json.dumps({key: str(info[key]) for key in VERSION if info.get(key) is not None})
    if not note.exists() or note.read_text(encoding="utf-8") != version:
        for old in (part, target):
            old.unlink(missing_ok=True)
        write_text(note, version)
    if target.exists():
        return
    size = int(info.get("size") or 0)
    with part.open("ab") as file:
        if not size or file.tell() != size:
            _append(system, remote, size, file, url, lambda done: progress(target.name, done, size))
        done = file.tell()
    if size and done != size:
        part.unlink()
        raise DataError(f"{plain(url)}: {done:,} bytes arrived, {size:,} were announced; run the same command again")
    part.replace(target)


def _append(system: Any, remote: str, size: int, file: Any, url: str, report: Any) -> None:
    """The rest of a remote file to the end of ``file``, or all of it where the server cannot go on in the middle."""
    with _said_of(url):
        source, goes_on = _open_at(system, remote, size, file.tell())
    if not goes_on:
        file.seek(0)
        file.truncate()
    with closing(source):
        report(file.tell())
        while True:
            with _said_of(url):
                piece = source.read(PIECE)
            if not piece or (size and file.tell() > size):
                return
            file.write(piece)
            report(file.tell())


def _open_at(system: Any, remote: str, size: int, start: int) -> tuple[Any, bool]:
    """The remote file to read from ``start`` on, and whether it does begin there."""
    if not _is_http(system):
        source = system.open(remote, "rb", block_size=8 * PIECE)
        source.seek(start)
        return source, True
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    source = system.open(remote, "rb", block_size=0, size=size or None, headers=headers)  # one request, as a stream
    return source, source.r.status == 206


def _is_http(system: Any) -> bool:
    return "http" in system.protocol
