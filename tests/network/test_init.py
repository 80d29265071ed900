"""``python -m hmarl.network``: a network file from a sales history, and the example history."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.network.__main__ import main
from hmarl.network.example import MEAN, WEEKDAY, example_sales
from hmarl.network.fit import network_with_sales
from hmarl.network.init import network_yaml
from hmarl.network.sales import read_sales
from hmarl.simulator import Simulator


@pytest.fixture
def example(tmp_path) -> Path:
    path = tmp_path / "history.csv"
    path.write_text(example_sales())
    return path


def test_the_example_history_reads_and_is_the_same_every_time(example):
    history = read_sales(example)
    assert example_sales() == example_sales()
    assert (len(history), history.stores, history.skus) == (
        200,
        ("north", "south"),
        ("coffee", "tea", "cocoa"),
    )
    assert history.stock_known
    np.testing.assert_allclose(history.mean, MEAN, rtol=0.1)
    np.testing.assert_allclose(history.demand[:196, 0, 0].reshape(28, 7).mean(0) / MEAN[0, 0], WEEKDAY, atol=0.15)


def test_init_makes_a_network_that_loads_simulates_and_takes_the_sales(example, tmp_path):
    history = read_sales(example)
    path = tmp_path / "my_network.yaml"
    path.write_text(network_yaml(history))
    network = load_network(str(path))
    assert network.node_names == ["supplier", "warehouse", "north", "south"]
    assert [network.role_of(name) for name in network.nodes] == ["supplier", "warehouse", "store", "store"]
    assert network.skus == ["coffee", "tea", "cocoa"]
    north_coffee = network.item("north", "coffee")
    assert north_coffee.opening_stock == np.ceil(5 * history.mean[0, 0])
    assert north_coffee.demand.base_mean == pytest.approx(history.mean[0, 0], rel=0.01)
    Simulator(network).step(np.zeros((1, 4, 3)))
    assert network_with_sales(network, history).item("south", "cocoa").demand.distribution == "history"


def test_every_field_of_the_file_is_explained(example):
    text = network_yaml(read_sales(example))
    lines = [line for line in text.splitlines() if ":" in line and not line.startswith("#")]
    fields = [line for line in lines if not line.rstrip().endswith(":") and "demand: {" not in line]
    unexplained = [line for line in fields if "#" not in line and not line.startswith(("skus: [", "name: "))]
    assert unexplained == []


def test_names_that_yaml_would_take_for_something_else(tmp_path):
    names = ["108775044", "true", "null", "1e3", "2024-01-01", "warehouse", "a b", "no", "x.y"]
    rows = [f"2024-01-0{d},{name},{sku},{d}" for d in (1, 2, 3) for name in names for sku in ("007", "yes")]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["date,store,sku,units", *rows]))
    text = network_yaml(read_sales(path))
    raw = yaml.safe_load(text)
    assert raw["skus"] == ["007", "yes"]
    assert list(raw["nodes"]) == ["supplier", "central_warehouse", *names]
    (tmp_path / "network.yaml").write_text(text)
    assert load_network(str(tmp_path / "network.yaml")).nodes["no"].upstream == "central_warehouse"


def test_weekly_history_without_weekdays(tmp_path):
    rows = [f"2024-{m:02d}-{d:02d},shop,tea,{d}" for m, d in [(1, 1), (1, 8), (1, 15), (1, 22), (1, 29), (2, 5)]]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["date,store,sku,units", *rows]))
    raw = yaml.safe_load(network_yaml(read_sales(path)))
    assert raw["period"] == "week"
    assert "weekday" not in raw["nodes"]["shop"]["skus"]["tea"]["demand"]


def test_a_sku_that_one_store_does_not_sell(tmp_path):
    rows = [f"2024-01-0{d},{store},{sku},{d}" for d in (1, 2, 3) for store, sku in [("a", "x"), ("b", "x"), ("b", "y")]]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["date,store,sku,units", *rows]))
    (tmp_path / "n.yaml").write_text(network_yaml(read_sales(path)))
    network = load_network(str(tmp_path / "n.yaml"))
    assert network.item("a", "y").demand is None
    assert network.item("b", "y").demand is not None


def test_nothing_ever_sold(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("date,store,sku,units\n2024-01-01,a,b,0\n2024-01-02,a,b,0\n")
    with pytest.raises(InputError, match="nothing was ever sold"):
        network_yaml(read_sales(path))


def test_a_refusal_prints_nothing_to_standard_output(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("date,store,sku,units\n2024-01-01,=cmd(),b,1\n2024-01-02,a,b,1\n")
    command = [sys.executable, "-m", "hmarl.network", "init", "--sales", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"error: {path}: row 2: store '=cmd()': a name: up to 64 letters, digits, spaces, '_', '-' and '.', "
        "beginning with a letter or digit"
    ]


def test_command(example, capsys):
    assert main(["example"]) == 0
    assert capsys.readouterr().out == example_sales()
    assert main(["init", "--sales", str(example)]) == 0
    captured = capsys.readouterr()
    assert captured.out == network_yaml(read_sales(example))
    assert captured.err == ""
    with pytest.raises(InputError, match="did you mean init"):
        main(["inti"])
