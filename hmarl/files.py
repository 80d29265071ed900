"""Files that are never half-written."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from hmarl.errors import InputError

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write a file under a temporary name in its folder, then rename it.

    Parameters
    ----------
    path
        The file to write; its folder is made where it is missing.
    data
        Text (written as UTF-8) or bytes.

    Raises
    ------
    InputError
        If the folder or the file cannot be written.
    """
    path = Path(path)
    content = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def flush(folder: Path) -> None:
    """Have the file system hold what is in a folder before the folder is renamed."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def replace_folder(target: Path, write: Callable[[Path], object]) -> None:
    """Write a folder under a temporary name, then put it in the place of `target`.

    Between the two renames the target is missing for a moment; a killed process is repeated by the run that goes
    on, which writes it anew.
    """
    temporary, old = target.with_name(f".{target.name}.writing"), target.with_name(f".{target.name}.old")
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    flush(temporary)
    if target.exists():
        os.replace(target, old)
    os.replace(temporary, target)
    shutil.rmtree(old, ignore_errors=True)


def run_folder(name: str, root: str | os.PathLike[str] = "runs") -> Path:
    """The folder of the run `name` below `root` (not made here).

    Raises
    ------
    InputError
        If the name is empty, holds a path or begins with a dot.
    """
    if not _RUN_NAME.fullmatch(name):
        raise InputError(
            f"name: {name!r}: a run's name is 1 to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return Path(root) / name


class _Loader(yaml.SafeLoader):
    """Plain data only, and no key twice in one mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node.value, str) else None
            if key is not None and key != "<<" and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} occurs twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The content of a YAML (or JSON) file, plain data only.

    Raises
    ------
    InputError
        If it cannot be read, is not YAML, or holds a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{path}: cannot be read: {reason}") from error
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(f"{path}: {where}not valid YAML: {getattr(error, 'problem', error)}") from error
