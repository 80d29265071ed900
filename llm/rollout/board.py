"""The board: a Ray actor that owns the newest weights, so that they outlive the trainer that published them."""

from __future__ import annotations

from dataclasses import replace

import ray

from llm.rollout.engine import EngineError, Manifest, Weights


class Board:
    """Keeps the newest versions in the object store (or the paths of their files).

    Parameters
    ----------
    keep
        How many; the staleness allowed and one.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._manifests: dict[int, Manifest] = {}
        self._weights: dict[int, ray.ObjectRef] = {}
        self._newest = 0

    def __repr__(self) -> str:
        """What Ray's dashboard calls the actor."""
        return "board of weights"

    def begin(self, manifest: Manifest) -> None:
        """Tell what the engines were started with; nobody can ask for its tensors."""
        self._manifests[manifest.version] = manifest

    def put(self, weights: Weights) -> None:
        """Put up a version; it is the newest, also where one of the same number or a higher one was put up before."""
        version = weights.manifest.version
        self._manifests[version] = weights.manifest
        self._weights[version] = ray.put(weights)
        self._newest = version
        for other in [*self._manifests]:
            if other > version or other <= version - self._keep:
                del self._manifests[other]
                self._weights.pop(other, None)

    def manifest(self, version: int | None = None) -> Manifest:
        """Of a version, the newest where none is named.

        Raises
        ------
        EngineError
            If it was never put up, or is too old to be kept.
        """
        version = self._newest if version is None else version
        if version not in self._manifests:
            kept = ", ".join(map(str, sorted(self._manifests)))
            raise EngineError(f"version {version} of the weights: not on the board, which holds {kept}")
        return self._manifests[version]

    def newest(self) -> Manifest | None:
        """Of the newest version put up; None before the first."""
        return self._manifests[self._newest] if self._newest in self._weights else None

    def weights(self, version: int) -> list[ray.ObjectRef]:
        """A reference to a version's weights, in a list, lest Ray send them through here."""
        self.manifest(version)
        if version not in self._weights:
            raise EngineError(f"version {version} of the weights: no engine can go back to it")
        return [self._weights[version]]


def on_disk(weights: Weights, path: str) -> Weights:
    """The same version as a safetensors file that all nodes see."""
    from safetensors.torch import save

    from hmarl.files import write_atomic

    write_atomic(path, save(dict(weights.tensors or {})))
    return replace(weights, tensors=None, path=path)
