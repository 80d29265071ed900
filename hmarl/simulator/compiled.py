"""Where numba keeps what it has compiled, so that no process compiles it again: a minute on a slow machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import CacheImpl, UserProvidedCacheLocator

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOMS = ("simulator", "roles", "policies")


def keep_compiled_code() -> None:
    """Keep it in a user folder, one for each state of the sources.

    numba itself looks at the file of the outermost function alone and would go on with stale kernels, which find
    their arrays at places of the table (:mod:`hmarl.simulator.memory`) that have moved.
    """
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(file for room in _ROOMS for file in (_PACKAGE / room).glob("*.py")):
        source = file.read_bytes()
        if b"numba" in source:
            digest.update(source)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hmarl"
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", cache))
    if cache.name != digest.hexdigest():
        os.environ["NUMBA_CACHE_DIR"] = str(cache / digest.hexdigest())
        config.reload_config()  # numba may have been imported before
    if _BySource not in CacheImpl._locator_classes:
        CacheImpl._locator_classes.insert(0, _BySource)


class _BySource(UserProvidedCacheLocator):
    """Our functions by the state of the sources, wherever those lie and however new the files are: a job that is
    submitted to a cluster runs from another folder each time."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        room = Path(file).resolve().relative_to(_PACKAGE).parent
        self._cache_path = str(Path(config.CACHE_DIR) / "_".join(("hmarl", *room.parts)))

    def get_source_stamp(self) -> int:
        return 0

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Any:
        ours = Path(file).resolve().is_relative_to(_PACKAGE)
        return super().from_function(function, file) if ours else None
