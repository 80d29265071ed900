"""A cluster that asks for a token: a head without processors and nodes that can be killed and added."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.local import LocalCluster, local_cluster


@pytest.fixture(scope="session")
def nodes() -> Iterator[LocalCluster]:
    """Two nodes of 2 CPUs; a test that kills one adds another."""
    with local_cluster((2, 2)) as cluster:
        yield cluster
