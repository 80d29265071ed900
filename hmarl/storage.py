"""A run kept where other machines find it: a folder that all nodes see, or a bucket (s3://, gs://), through pyarrow.

A training writes its own folder; copies of it go to the storage as ``run-000001.tar``, ``run-000002.tar`` ..., each
whole or not there, the last one counts. At the end the results lie beside it as files. Keys of a cloud come from its
usual variables or files, never from the address.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tarfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from hmarl.errors import Failed, InputError
from hmarl.runs import LOCK

if TYPE_CHECKING:
    from hmarl.progress import Reporter

_COUNT = ".storage"  # in a run's folder: number of the copy that it equals, or has gone on from
_COPY = re.compile(r"run-(\d{6,})\.tar")
_SCHEMES = ("", "file", "s3", "gs")
_NO_RESULTS = frozenset({"checkpoint", "training"})  # folders


def below(storage: str, *names: str) -> str:
    """The address of a folder in a storage.

    >>> below("s3://bucket/runs?region=eu-west-1", "first")
    's3://bucket/runs/first?region=eu-west-1'
    """
    parts = urlsplit(storage)
    return urlunsplit(parts._replace(path="/".join([parts.path.rstrip("/"), *names])))


def check_storage(storage: str) -> None:
    """Refuse an address that cannot be one.

    Raises
    ------
    InputError
    """
    parts = urlsplit(storage)
    if parts.scheme not in _SCHEMES:
        raise InputError(f"storage: {storage!r}: a folder that all nodes see, s3://bucket/path or gs://bucket/path")
    if parts.scheme in ("s3", "gs") and not parts.netloc:
        raise InputError(f"storage: {storage!r}: names no bucket: {parts.scheme}://bucket/path")
    if "@" in parts.netloc:
        raise InputError("storage: no keys in the address: they come from the cloud's variables or files")


class Storage:
    """Where a run is kept.

    Parameters
    ----------
    address
        Of this run, without its keys.
    folder
        That the run is written in.
    left_out
        Names of folders that are in no copy: what others keep there, and results that are made from it again.

    Raises
    ------
    InputError
        If it cannot be reached.
    """

    def __init__(self, address: str, folder: Path, left_out: tuple[str, ...] = ()) -> None:
        from pyarrow.fs import FileSystem

        self.address, self.folder, self.left_out = address, folder, left_out
        self._pushed = 0.0
        self.failed = ""  # why the last copy did not arrive
        try:
            uri = address if urlsplit(address).scheme else str(Path(address).absolute())
            self._files, self._path = FileSystem.from_uri(uri)
            self._files.create_dir(self._path, recursive=True)
            self._copies()
        except (OSError, ValueError) as error:
            raise InputError(f"storage: {address}: {_first_line(error)}") from error

    def pull(self) -> bool:
        """Put the last copy in the place of the folder's content, unless that is as new; whether it was."""
        copies = self._copies()
        if not copies or copies[-1] <= self._count():
            return False
        with self._files.open_input_stream(self._name(copies[-1])) as stream:
            content = io.BytesIO(stream.read())
        (self.folder / _COUNT).unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with tarfile.open(fileobj=content) as archive:
            archive.extractall(self.folder, filter="data")
        (self.folder / _COUNT).write_text(str(copies[-1]))
        return True

    def push(self, reporter: Reporter | None = None, at_most_every: float = 0.0) -> None:
        """Keep a copy of the folder as it is now. Of one that does not arrive the reporter is told: the next may.

        Parameters
        ----------
        at_most_every
            Seconds; sooner after the last copy nothing is done.
        """
        if time.monotonic() - self._pushed < at_most_every:
            return
        self._pushed = time.monotonic()
        number = self._count() + 1
        try:
            before = self._copies()
            number = max([number, *(copy + 1 for copy in before)])
            self._write(self._name(number), self._packed())
            for copy in before:
                self._files.delete_file(self._name(copy))
        except OSError as error:
            self.failed = _first_line(error)
            if reporter:
                reporter.warn(f"storage: {self.address}: {self.failed}: the next copy may arrive")
            return
        self.failed = ""
        (self.folder / _COUNT).write_text(str(number))

    def publish(self) -> None:
        """Put the results beside the copies, file by file.

        Raises
        ------
        OSError
            If one does not arrive.
        """
        for path, name in self._content(_NO_RESULTS):
            if path.is_file():
                target = f"{self._path}/{name}"
                self._files.create_dir(os.path.dirname(target), recursive=True)
                self._write(target, path.read_bytes())

    def _packed(self) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for path, name in self._content(self.left_out):
                archive.add(path, name, recursive=False)
        return content.getvalue()

    def _content(self, without: Collection[str]) -> Iterator[tuple[Path, str]]:
        """Files and folders with their names in the run; hidden ones belong to this machine, or are being written."""
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder)
            if not any(part.startswith(".") or part in without for part in name.parts):
                yield path, name.as_posix()

    def _write(self, path: str, content: bytes) -> None:
        """A bucket shows an object when it is whole; a folder shows a file that is renamed."""
        from pyarrow.fs import LocalFileSystem

        local = isinstance(self._files, LocalFileSystem)
        target = f"{path}.writing" if local else path
        with self._files.open_output_stream(target) as stream:
            stream.write(content)
        if local:
            self._files.move(target, path)

    def _copies(self) -> list[int]:
        from pyarrow.fs import FileSelector

        found = self._files.get_file_info(FileSelector(self._path, allow_not_found=True))
        return sorted(int(match[1]) for info in found if (match := _COPY.fullmatch(info.base_name)))

    def _name(self, number: int) -> str:
        return f"{self._path}/run-{number:06d}.tar"

    def _count(self) -> int:
        path = self.folder / _COUNT
        return int(path.read_text()) if path.exists() else 0


def storage_of(storage: str | None, name: str, folder: Path, left_out: tuple[str, ...] = ()) -> Storage | None:
    """The storage of a run; None where runs are kept nowhere else.

    Parameters
    ----------
    storage
        Of all runs.
    name, folder, left_out
        Of this run.
    """
    if storage is None:
        return None
    check_storage(storage)
    return Storage(below(storage, name), folder, left_out)


@contextlib.contextmanager
def kept(storage: Storage | None) -> Iterator[None]:
    """The run's folder, which this process holds, begins as its last copy, and is copied when the block ends.

    Raises
    ------
    Failed
        If work that was done did not arrive.
    """
    if storage is None:
        yield
        return
    storage.pull()
    try:
        yield
    finally:
        storage.push()
    if storage.failed:
        raise Failed(f"storage: {storage.address}: {storage.failed}: the results are in {storage.folder}")


def publish(storage: Storage | None, reporter: Reporter) -> None:
    """Put the results where the run is kept, and say so."""
    if storage is None:
        return
    try:
        storage.publish()
    except OSError as error:
        why = f"storage: {storage.address}: {_first_line(error)}"
        raise Failed(f"{why}: the results are in {storage.folder}") from error
    reporter.say(f"kept in {storage.address}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
