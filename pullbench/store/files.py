"""Whole files under one URL: put, read, list, remove, on a disk or an object store (fsspec).

A file exists completely or not at all. On a disk it is written to a temporary name in the same directory, synced and
renamed. Elsewhere it is one `pipe_file`, which an object store performs as one PUT. Each object store's library has its own
exceptions, so every failure here becomes one line that names the file.
"""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pullbench.errors import IncompleteError, MissingExtraError, UsageError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""By protocol, the extra that installs its filesystem."""
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TEMPORARY = ".tmp"
_REQUESTS_AT_ONCE = 16


class Files:
    """The files under a local path or any fsspec URL; paths in its methods are relative and use `/`."""

    def __init__(self, url: str) -> None:
        """Raises UsageError if no installed filesystem supports the URL, or if it contains credentials: it is stored in
        notebooks and flow runs. Nothing is contacted or created yet."""
        if "@" in urlsplit(url).netloc:
            raise UsageError(
                f"results directory: {url.partition('://')[0]}:// contains credentials: remove them, and set them as the "
                "filesystem's library reads them (environment variables or its configuration file)"
            )
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            protocol = url.partition("://")[0].rpartition("::")[2]
            if isinstance(error, ImportError) and protocol in _EXTRAS:
                raise MissingExtraError(f"a results directory at {protocol}://", _EXTRAS[protocol]) from error
            raise UsageError(f"results directory: {protocol}:// cannot be used here: {error}") from error
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)

    def where(self, path: str = "") -> str:
        """For display: the whole path, with its protocol if it is no disk, without user or password."""
        full = self._full(path)
        return full if self._local else str(self._fs.unstrip_protocol(full))

    def put(self, path: str, content: bytes) -> None:
        """Write or replace a whole file; raises IncompleteError if it cannot be written."""
        try:
            if self._local:
                put_on_disk(Path(self._full(path)), content)
            else:
                self._fs.pipe_file(self._full(path), content)
        except Exception as error:
            raise IncompleteError(f"{self.where(path)}: {_why_not_written(error)}") from error

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """The contents by path, in the given order; missing files are left out.

        Raises UsageError for a file that exists but cannot be read.
        """
        wanted = list(paths)
        if self._local or len(wanted) < 2:
            found = [self._read(path) for path in wanted]
        else:
            with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
                found = list(pool.map(self._read, wanted))
        return {path: content for path, content in zip(wanted, found, strict=True) if content is not None}

    @contextmanager
    def opened(self, path: str) -> Iterator[BinaryIO | None]:
        """Open a large file to read parts of it; None if it does not exist. Raises UsageError if it cannot be read.

        On a disk only the requested parts are read, and a replacement of the file has no effect; elsewhere the whole file is
        fetched first.
        """
        if not self._local:
            content = self._read(path)
            yield None if content is None else BytesIO(content)
            return
        with ExitStack() as stack:
            try:
                file = stack.enter_context(Path(self._full(path)).open("rb"))
            except (FileNotFoundError, NotADirectoryError):
                file = None
            except OSError as error:
                raise UsageError(f"{self.where(path)}: cannot be read: {error}") from error
            yield file

    def names(self, folder: str) -> list[str]:
        """The files and directories in a directory, sorted, without half-written ones; empty if it does not exist."""
        return [name for name in self._list(folder) if not name.endswith(_TEMPORARY)]

    def remove(self, path: str) -> None:
        """Remove a file; a missing one is no error. Raises IncompleteError if it cannot be removed."""
        try:
            self._fs.rm_file(self._full(path))
        except FileNotFoundError:
            return
        except Exception as error:
            raise IncompleteError(f"{self.where(path)}: cannot be removed: {error}") from error

    def remove_folder(self, folder: str) -> None:
        """Remove a directory with its content; a missing one is no error. Raises as `remove` does."""
        try:
            self._fs.rm(self._full(folder), recursive=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise IncompleteError(f"{self.where(folder)}: cannot be removed: {error}") from error

    def size_bytes(self, folder: str) -> int:
        """The size of the files in a directory; 0 if it does not exist or cannot be read."""
        try:
            return int(self._fs.du(self._full(folder)))
        except Exception:  # noqa: BLE001  (a size is told where it can be, and each library fails in its own way)
            return 0

    def remove_half_written(self, folder: str) -> None:
        """Remove the temporary files of killed writers."""
        for name in self._list(folder):
            if name.endswith(_TEMPORARY):
                self.remove(f"{folder}/{name}")

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _read(self, path: str) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise UsageError(f"{self.where(path)}: cannot be read: {error}") from error
        return content

    def _list(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            entries: list[Any] = self._fs.ls(self._full(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise UsageError(f"{self.where(folder)}: cannot be listed: {error}") from error
        names = (str(entry).rstrip("/").rpartition("/")[2] for entry in entries)
        return sorted(name for name in names if name)


def put_on_disk(path: Path, content: bytes) -> None:
    """Write a whole file and its directories, or leave the old file; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the directory: only then is a rename permanent."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why_not_written(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _DISK_FULL:
        return f"{os.strerror(number)}; free space there, or choose another directory with `--results`"
    if isinstance(error, OSError) and number is not None:
        return f"{os.strerror(number)}; results cannot be written there: choose another directory with `--results`"
    return f"results cannot be written there: {type(error).__name__}: {' '.join(str(error).split())}"
