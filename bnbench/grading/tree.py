"""The files of a folder or an archive, by name, without writing anything: bytes of what is wanted, in memory only.

Whatever stands in an archive is hostile until read: a path in it is a name that nothing opens, links and
devices are named and not followed, sizes are capped while they unpack and not as their headers declare them.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MEMBERS = 200_000
"""Of one archive or folder: a class of a thousand with their data sets stays below."""
DEPTH = 32
"""Folders within folders."""
UNPACKED = 64 << 20
"""Bytes that every archive may unpack to."""
RATIO = 100
"""Beyond that, unpacked bytes per packed one: sources reach 10, zeros 1000."""
UNPACKED_AT_MOST = 4 << 30
TAKEN = 1 << 30
"""Bytes of wanted files, together, that are kept in memory."""
EXTENDED_HEADER = 1 << 16
"""Bytes of a tar header that holds a long name: it is read whole, by regular expressions."""

Kind: TypeAlias = Literal["file", "folder", "link", "device"]
Parts: TypeAlias = tuple[str, ...]

_NOT_DESCENDED = {"__MACOSX", "__pycache__", "site-packages", "node_modules"}
_EXTENDED = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME}
_EXTENDED |= {tarfile.GNUTYPE_LONGLINK}


class ArchiveError(ValueError):
    """A file that is no archive, is damaged, or unpacks to more than is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One name in a folder or archive; ``data`` where it was asked for and could be read."""

    parts: Parts
    kind: Kind
    data: bytes | None = None
    problem: str = ""
    """Why there is no data although it was asked for."""

    @property
    def path(self) -> str:
        """For a message, at most 200 characters of it."""
        return "/".join(self.parts)[-200:]


Wanted: TypeAlias = Callable[[Parts], int]
"""How many bytes of this file may be read; 0 to leave it."""


def scan(source: Path | bytes, wanted: Wanted, *, taken: int = TAKEN) -> Iterator[Entry]:
    """Every entry of a folder, a tar, tar.gz or zip (told by its content), with the data of those wanted.

    What systems and tools add (``__MACOSX``, ``.git``, other names with a leading dot) is left out. Raises
    ArchiveError, also for more than ``taken`` bytes of data and possibly after some entries, and OSError when
    ``source`` itself can't be read.
    """
    if isinstance(source, bytes):
        entries = _archive(io.BytesIO(source), len(source), wanted)
    elif source.is_dir():
        entries = _folder(source, wanted)
    else:
        entries = _archive_file(source, wanted)
    for count, entry in enumerate(entries):
        if count >= MEMBERS:
            raise ArchiveError(f"more than {MEMBERS} files")
        taken -= len(entry.data or b"")
        if taken < 0:
            raise ArchiveError("too many files of the names that were asked for")
        if entry.parts and not _NOT_DESCENDED.intersection(entry.parts) and not any(p[0] == "." for p in entry.parts):
            yield entry


def is_archive(data: bytes) -> bool:
    """Whether these first bytes of a file (512 are enough) are those of an archive that :func:`scan` reads."""
    return _magic(data) != ""


def read_regular(path: Path, limit: int) -> Entry:
    """One file of a folder, of at most ``limit`` bytes; a link, a device or a pipe is named and not opened."""
    parts = (path.name,)
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return Entry(parts=parts, kind="link")
        # A pipe put in its place meanwhile must not block, nor a link be followed.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        if not stat.S_ISREG(mode):
            return Entry(parts=parts, kind="device")
        with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor, opened with O_NOFOLLOW
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Entry(parts=parts, kind="device")
            return _read(parts, file, limit)
    except OSError as error:
        return Entry(parts=parts, kind="file", problem=f"can't be read: {error.strerror}")


def _read(parts: Parts, file: IO[bytes], limit: int) -> Entry:
    data = file.read(limit + 1)
    if len(data) > limit:
        return Entry(parts=parts, kind="file", problem=f"is larger than {_size(limit)}")
    return Entry(parts=parts, kind="file", data=data)


def _folder(top: Path, wanted: Wanted) -> Iterator[Entry]:
    waiting: list[Parts] = [()]
    while waiting:
        within = waiting.pop()
        try:
            with os.scandir(top.joinpath(*within)) as found:
                children = sorted(found, key=lambda child: child.name)
        except OSError as error:
            if not within:
                raise
            yield Entry(parts=within, kind="folder", problem=f"can't be read: {error.strerror}")
            continue
        for child in children:
            parts = (*within, child.name)
            if child.is_symlink():
                yield Entry(parts=parts, kind="link")
            elif child.is_dir(follow_symlinks=False):
                yield Entry(parts=parts, kind="folder")
                if len(parts) < DEPTH and child.name not in _NOT_DESCENDED and not child.name.startswith("."):
                    waiting.append(parts)
            elif not child.is_file(follow_symlinks=False):
                yield Entry(parts=parts, kind="device")
            elif limit := wanted(parts):
                read = read_regular(Path(child.path), limit)
                yield Entry(parts=parts, kind=read.kind, data=read.data, problem=read.problem)
            else:
                yield Entry(parts=parts, kind="file")


def _archive_file(path: Path, wanted: Wanted) -> Iterator[Entry]:
    with path.open("rb") as file:
        yield from _archive(file, os.fstat(file.fileno()).st_size, wanted)


def _archive(file: IO[bytes], packed: int, wanted: Wanted) -> Iterator[Entry]:
    magic = _magic(file.read(512))
    file.seek(0)
    allowed = min(max(UNPACKED, RATIO * packed), UNPACKED_AT_MOST)
    try:
        if magic == "zip":
            yield from _zip(file, allowed, wanted)
        elif magic == "gzip":
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield from _tar(_Capped(unpacked, allowed), wanted)
        elif magic == "tar":
            yield from _tar(_Capped(file, allowed), wanted)
        else:
            raise ArchiveError("neither tar, tar.gz nor zip")  # noqa: TRY301 - one way out for all of them
    except ArchiveError:
        raise
    except Exception as error:
        # Damaged on purpose, an archive can raise nearly anything in the libraries that read it.
        raise ArchiveError(f"damaged archive ({type(error).__name__})") from error


def _magic(head: bytes) -> Literal["zip", "gzip", "tar", ""]:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "tar" if head[257:262] == b"ustar" else ""


def _tar(file: io.RawIOBase, wanted: Wanted) -> Iterator[Entry]:
    # As a stream: what has gone by is gone, so that no header can send the reader back and round in circles.
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as archive:
        for member in archive:
            parts = _parts(member.name)
            if member.isdir():
                yield Entry(parts=parts, kind="folder")
            elif member.issym() or member.islnk():
                yield Entry(parts=parts, kind="link")
            elif not member.isreg():
                yield Entry(parts=parts, kind="device")
            elif parts and (limit := wanted(parts)) and (content := archive.extractfile(member)):
                yield _read(parts, content, limit)
            else:
                yield Entry(parts=parts, kind="file")


def _zip(file: IO[bytes], allowed: int, wanted: Wanted) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            parts = _parts(member.filename)
            mode = member.external_attr >> 16
            if member.is_dir():
                yield Entry(parts=parts, kind="folder")
            elif stat.S_ISLNK(mode):
                yield Entry(parts=parts, kind="link")
            elif stat.S_IFMT(mode) and not stat.S_ISREG(mode):
                yield Entry(parts=parts, kind="device")
            elif not parts or not (limit := wanted(parts)):
                yield Entry(parts=parts, kind="file")
            elif member.flag_bits & 1:
                yield Entry(parts=parts, kind="file", problem="is encrypted")
            elif member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                yield Entry(parts=parts, kind="file", problem="is compressed in an unusual way")
            else:
                with archive.open(member) as content:
                    entry = _read(parts, content, limit)
                allowed -= len(entry.data or b"") or limit
                if allowed < 0:
                    raise ArchiveError("unpacks to too much")
                yield entry


class _Header(tarfile.TarInfo):
    """A tar header whose declared sizes are believed only as far as a reader can afford."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED and header.size > EXTENDED_HEADER:
            raise ArchiveError("a header of absurd size")
        return header


class _Capped(io.RawIOBase):
    """Bytes of ``file``, and ArchiveError after ``allowed`` of them."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, allowed: int) -> None:
        self._file = file
        self._allowed = allowed
        self._left = allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"unpacks to more than {_size(self._allowed)}")
        view[: len(data)] = data
        return len(data)


def _parts(name: str) -> Parts:
    """A path in an archive as names: what would lead out of a folder (``..``, a leading slash) is dropped."""
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})


def _size(count: int) -> str:
    return f"{count >> 20} MiB"
