"""What tests share."""

from __future__ import annotations

import logging
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from cluster.local import LocalCluster, local_cluster


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray of our own for the whole session; no other cluster is joined or stopped."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=200 * 1024**2,
    )
    yield
    ray.shutdown()


@pytest.fixture
def scraped(ray_session: None) -> Callable[..., dict[str, float]]:
    """The values of a run's phase by name, read as Prometheus reads them, once they are those awaited."""
    import ray
    from prometheus_client.parser import text_string_to_metric_families

    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"

    def read(run: str, phase: str, awaited: dict[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        end = time.monotonic() + 60  # a report of Ray's is due every 10 s
        while found != awaited and time.monotonic() < end:
            time.sleep(0.2)
            with urllib.request.urlopen(url, timeout=10) as answer:
                families = text_string_to_metric_families(answer.read().decode())
            found = {
                sample.name: sample.value
                for family in families
                for sample in family.samples
                if (sample.labels.get("run"), sample.labels.get("phase")) == (run, phase)
            }
        return found

    return read


@pytest.fixture(scope="session")
def nodes() -> Iterator[LocalCluster]:
    """A cluster that asks for a token: a head without processors and two nodes of 2 CPUs. A test that kills one adds
    another."""
    with local_cluster((2, 2)) as cluster:
        yield cluster
