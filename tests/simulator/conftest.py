import pytest

from hmarl.network import Network, load_network


@pytest.fixture(scope="session")
def two_store() -> Network:
    return load_network("two_store")
