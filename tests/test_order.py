"""``python -m hmarl.order``: a state read from files, a deployed policy's orders, and what is refused."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from hmarl.errors import InputError
from hmarl.learning.folder import record
from hmarl.learning.train_settings import TrainSettings
from hmarl.network.config import Network
from hmarl.network.sales import read_sales
from hmarl.order import _cell, main, place, to_csv, warm_chain
from hmarl.policies import LearnedPolicy, make_policy
from hmarl.report.recommend import cover, expected_demand, lasts, recommend
from hmarl.roles import Chain

TODAY = datetime.date(2024, 3, 11)  # the day after ten weeks of sales from Monday 2024-01-01


def network(**fields) -> Network:
    """A warehouse and a store two days away, two SKUs; the store sells 10 and 4 a day."""
    return Network.model_validate(
        {
            "skus": ["tea", "salt"],
            "forecast": {"method": "moving_average", "window": 7},
            "nodes": {
                "depot": {"lead_time": 3, "opening_stock": 100, "holding_cost": 1, "unit_cost": 5},
                "north": {
                    "upstream": "depot",
                    "lead_time": 2,
                    "opening_stock": 30,
                    "holding_cost": 1,
                    "shortage_cost": 9,
                    "skus": {
                        "tea": {"demand": {"distribution": "poisson", "mean": 10}},
                        "salt": {"demand": {"distribution": "poisson", "mean": 4}},
                    },
                },
            },
            **fields,
        }
    )


def learned(on: Network) -> LearnedPolicy:
    """A store policy that always takes its third action, the forecast; base-stock at the depot."""
    agents = Chain(on).roles["store"]
    last = np.zeros(agents.n_actions, np.float32)
    last[2] = 1
    weights = {
        "layers.0.weight": np.zeros((agents.n_actions, len(agents.features)), np.float32),
        "layers.0.bias": last,
    }
    return LearnedPolicy(on, {"store": weights}, {"supplier": make_policy("base_stock", on, level=60)})


def sales(tmp_path: Path, days: int = 70, name: str = "sales.csv") -> Path:
    """Tea sells 10 a day, and 17 on the last seven; salt 4."""
    lines = ["date,store,sku,units,in_stock"]
    for t in range(days):
        date = np.datetime64("2024-01-01") + t
        lines += [f"{date},north,tea,{17 if t >= days - 7 else 10},yes", f"{date},north,salt,4,yes"]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


STOCK = "node,sku,units\ndepot,tea,50\ndepot,salt,20\nnorth,tea,25\nnorth,salt,9\n"
OPEN = "node,sku,units,arrives_in\nnorth,tea,12,1\nnorth,tea,3,0\nnorth,salt,5,\ndepot,tea,7,40\n"


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder as hmarl.train leaves it; returns the folder of all runs."""
    on, runs = network(), tmp_path / "runs"
    learned(on).save(runs / "ours" / "policy")
    settings = TrainSettings(network="my_network.yaml", name="ours")
    (runs / "ours" / "config.yaml").write_text(yaml.safe_dump(record(settings, on), sort_keys=False))
    return runs


def arguments(run: Path, *more: str) -> list[str]:
    stock = written(run.parent / "stock.csv", STOCK)
    opened = written(run.parent / "open.csv", OPEN)
    return ["--run", "ours", "--runs", str(run), "--stock", str(stock), "--open-orders", str(opened), *more]


def test_state_is_what_the_files_say(tmp_path):
    chain = Chain(network())
    place(chain, written(tmp_path / "s.csv", STOCK), written(tmp_path / "o.csv", OPEN), TODAY)
    state = chain.simulator.state
    np.testing.assert_array_equal(state.on_hand[0], [[50, 20], [28, 9]])  # 3 arrive today
    np.testing.assert_array_equal(state.in_transit[0, 1, 0], [12, 0, 0])
    np.testing.assert_array_equal(state.in_transit[0, 0, 0], [0, 0, 7])  # later than the longest lead time
    np.testing.assert_array_equal(state.owed[0], [[0, 0], [0, 5]])  # not shipped yet


def test_open_orders_by_date(tmp_path):
    chain = Chain(network())
    text = "node,sku,units,date\nnorth,tea,12,2024-03-13\nnorth,salt,5,\n"
    place(chain, written(tmp_path / "s.csv", STOCK), written(tmp_path / "o.csv", text), TODAY)
    np.testing.assert_array_equal(chain.simulator.state.in_transit[0, 1, 0], [0, 12, 0])
    assert chain.simulator.state.owed[0, 1, 1] == 5


def test_forecast_comes_from_the_sales_and_scale_from_the_run(tmp_path):
    on = network()
    learned(on).save(tmp_path / "policy")
    chain, _ = warm_chain(on, tmp_path / "policy", read_sales(sales(tmp_path)), TODAY)
    np.testing.assert_allclose(chain.forecast[0, 1], [17, 4])
    np.testing.assert_allclose(chain.mean_demand[1], [10, 4])
    chain, _ = warm_chain(on, tmp_path / "policy", None, TODAY)
    np.testing.assert_allclose(chain.forecast[0, 1], [10, 4])


def test_seasonal_forecast_knows_the_weekday(tmp_path):
    on = network(forecast={"method": "seasonal", "smoothing": 0.1, "seasonal_smoothing": 0.3})
    learned(on).save(tmp_path / "policy")
    lines = ["date,store,sku,units,in_stock"]
    for t in range(140):
        date = np.datetime64("2024-01-01") + t
        lines += [f"{date},north,tea,{30 if t % 7 == 5 else 10},yes", f"{date},north,salt,4,yes"]
    history = read_sales(written(tmp_path / "x.csv", "\n".join(lines)))
    saturday, monday = datetime.date(2024, 5, 25), datetime.date(2024, 5, 20)
    for date, expected in ((saturday, 30), (monday, 10)):
        chain, _ = warm_chain(on, tmp_path / "policy", history, date)
        ahead = expected_demand(chain, 7)[1, 0]
        assert ahead[0] == pytest.approx(expected, rel=0.15)
        assert ahead[(5 - date.weekday()) % 7] == pytest.approx(30, rel=0.15)


def test_stores_that_ran_out_yesterday_are_seen_as_such(tmp_path):
    on = network()
    learned(on).save(tmp_path / "policy")
    path = sales(tmp_path)
    text = path.read_text().replace("2024-03-10,north,tea,17,yes", "2024-03-10,north,tea,5,no")
    chain, _ = warm_chain(on, tmp_path / "policy", read_sales(written(path, text)), TODAY)
    seen = chain.observe("store")[0]
    names = chain.roles["store"].features
    assert seen[0, names.index("stocked_out_yesterday")] == 1
    assert seen[1, names.index("stocked_out_yesterday")] == 0
    assert seen[0, names.index("service_level_7_days")] < 1


def test_yesterdays_demand_is_known_where_the_sales_reach_until_yesterday(tmp_path):
    on = network()
    learned(on).save(tmp_path / "policy")
    path = sales(tmp_path)
    written(path, path.read_text().replace("2024-03-10,north,tea,17,yes", "2024-03-10,north,tea,31,yes"))
    chain, _ = warm_chain(on, tmp_path / "policy", read_sales(path), TODAY)
    np.testing.assert_array_equal(chain.known.yesterday[0, 1], [31, 4])
    chain, _ = warm_chain(on, tmp_path / "policy", read_sales(path), TODAY + datetime.timedelta(days=2))
    np.testing.assert_allclose(chain.known.yesterday[0, 1], [(6 * 17 + 31) / 7, 4])  # all that is known: the forecast


def test_review_days_today_is_one(tmp_path):
    nodes = network().model_dump(exclude_none=True)["nodes"]
    nodes["north"]["review_period"] = 4
    on = network(nodes=nodes)
    learned(on).save(tmp_path / "policy")
    history = read_sales(sales(tmp_path))
    for days in (67, 68, 69, 70):
        chain, policy = warm_chain(on, tmp_path / "policy", history.part(0, days), TODAY)
        assert recommend(chain, policy, TODAY)[2].order > 0


def test_cover_and_how_long_stock_lasts():
    flat = np.full(90, 4.0)
    assert cover(10, flat) == 2.5
    assert cover(400, flat) == 100
    assert cover(-3, flat) == 0
    assert cover(10, np.zeros(90)) is None
    assert lasts(10, np.zeros(2), flat) == 2
    assert lasts(10, np.array([0, 5.0]), flat) == 3  # 6, 2, 3, -1
    assert lasts(3, np.array([100.0]), flat) == 0
    assert lasts(400, np.zeros(2), flat) is None


def test_a_recommendation_by_hand(tmp_path):
    chain = Chain(network())
    place(chain, written(tmp_path / "s.csv", STOCK), written(tmp_path / "o.csv", OPEN), TODAY)
    tea = recommend(chain, make_policy("base_stock", network(), level=70), TODAY)[2]
    assert (tea.node, tea.sku) == ("north", "tea")
    assert (tea.on_hand, tea.coming, tea.position, tea.order) == (28, 12, 40, 30)
    assert tea.cover == 7
    assert tea.lasts == 4  # 18, 20, 10, 0, -10
    assert tea.target == pytest.approx(30 + 1.6449 * (3 * 10) ** 0.5, abs=1e-3)
    assert tea.reason == (
        "Forecast 10 a day (give or take 3.2). Position 40: 28 on hand, 12 coming. Target 39.0: 3 days of "
        "forecast, safety stock 9.0. With no order stock lasts 4 days and runs out on 2024-03-15; an order "
        "placed today serves from 2024-03-13. Order 30: position 70, 31.0 above the target."
    )
    depot_salt = recommend(chain, make_policy("no_order", network()), TODAY)[1]
    assert depot_salt.owed == 5
    assert depot_salt.position == 15
    assert "5 owed" in depot_salt.reason
    assert "Order nothing: the policy waits" in depot_salt.reason


def test_asking_leaves_the_chain_as_it_was(tmp_path):
    chain = Chain(network())
    place(chain, written(tmp_path / "s.csv", STOCK), None, TODAY)
    policy = make_policy("base_stock", network(), level=70)
    assert recommend(chain, policy, TODAY) == recommend(chain, policy, TODAY)


def test_command_prints_writes_and_gives_json(run, tmp_path, capsys):
    out = tmp_path / "out" / "orders.csv"
    assert main(arguments(run, "--sales", str(sales(tmp_path)), "--out", str(out), "--json")) == 0
    printed = capsys.readouterr().out
    content = json.loads(printed.splitlines()[-1])
    assert content["date"] == "2024-03-11"
    orders = {(r["node"], r["sku"]): r["order"] for r in content["orders"]}
    assert orders["north", "tea"] == 17  # the policy orders the forecast
    assert orders["north", "salt"] == 4
    assert orders["depot", "tea"] == 60 - 57
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [(row["node"], row["sku"]) for row in rows] == list(orders)
    assert [float(row["order"]) for row in rows] == list(orders.values())
    assert "north" in printed
    assert "sales.csv" in printed


def test_old_sales_are_warned_of(run, tmp_path, capsys):
    path = str(sales(tmp_path))
    main(arguments(run, "--sales", path, "--date", "2024-03-18"))
    assert capsys.readouterr().err == ""
    main(arguments(run, "--sales", path, "--date", "2024-03-19"))
    assert "ends on 2024-03-10, long before 2024-03-19" in capsys.readouterr().err


def test_without_sales_the_run_says_what_to_expect(run, capsys):
    assert main(arguments(run, "--date", "2024-03-11", "--json")) == 0
    printed = capsys.readouterr().out
    orders = {(r["node"], r["sku"]): r["order"] for r in json.loads(printed.splitlines()[-1])["orders"]}
    assert orders["north", "tea"] == 10
    assert "mean demand" in printed


def test_no_cell_starts_a_formula(tmp_path):
    assert _cell("=1+1") == "'=1+1"
    assert _cell("@x") == "'@x"
    assert _cell(-5.0) == "-5"
    assert _cell(None) == ""
    chain = Chain(network())
    place(chain, written(tmp_path / "s.csv", STOCK), None, TODAY)
    for row in csv.reader(io.StringIO(to_csv(recommend(chain, make_policy("no_order", network()), TODAY)))):
        assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in row)


@pytest.mark.parametrize(
    ("stock", "message"),
    [
        (STOCK.replace("north,salt", "north,pepper"), r"row 5: sku 'pepper': the run knows tea, salt"),
        (STOCK.replace("north,salt", "south,salt"), r"row 5: node 'south': the run knows depot, north"),
        (STOCK.replace("north,salt,9\n", ""), r"no row for node 'north', sku 'salt'"),
        (
            STOCK + "north,salt,9\n",
            r"row 6: sku 'salt': the stock of node 'north' is there already, in row 5",
        ),
        (STOCK.replace("25", "-25"), r"row 4: units '-25': units on hand, 0 or more"),
        (STOCK.replace("25", "many"), r"row 4: units 'many'"),
        (STOCK.replace("north,tea", "=cmd(),tea"), r"row 4: node '=cmd\(\)': a name"),
        (STOCK.replace("units", "qty"), r"column 'units' is missing"),
    ],
)
def test_stock_that_is_refused(tmp_path, stock, message):
    with pytest.raises(InputError, match=r"s\.csv: " + message):
        place(Chain(network()), written(tmp_path / "s.csv", stock), None, TODAY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("north,pepper,5,1,", r"sku 'pepper': the run knows"),
        ("north,tea,5,-1,", r"arrives_in '-1': days until it arrives"),
        ("north,tea,5,soon,", r"arrives_in 'soon'"),
        ("north,tea,5,,2024-03-01", r"date '2024-03-01': overdue on 2024-03-11"),
        ("north,tea,5,,March", r"date 'March': a date as YYYY-MM-DD"),
        ("north,tea,x,1,", r"units 'x': units still to come"),
    ],
)
def test_open_orders_that_are_refused(tmp_path, line, message):
    opened = written(tmp_path / "o.csv", f"node,sku,units,arrives_in,date\n{line}\n")
    with pytest.raises(InputError, match=r"o\.csv: row 2: " + message):
        place(Chain(network()), written(tmp_path / "s.csv", STOCK), opened, TODAY)


def test_runs_that_are_refused(run, tmp_path):
    stock = str(written(tmp_path / "s.csv", STOCK))
    with pytest.raises(InputError, match="a run's name is"):
        main(["--run", "../ours", "--runs", str(run), "--stock", stock])
    with pytest.raises(InputError, match=r"theirs: no run"):
        main(["--run", "theirs", "--runs", str(run), "--stock", stock])
    with pytest.raises(InputError, match=r"the sales end on 2024-03-10"):
        main(arguments(run, "--sales", str(sales(tmp_path)), "--date", "2024-03-10"))
    with pytest.raises(InputError, match="cannot be written"):
        main(arguments(run, "--date", "2024-03-11", "--out", str(Path(stock) / "orders.csv")))
    (run / "ours" / "policy").rename(run / "ours" / "elsewhere")
    with pytest.raises(InputError, match="has finished"):
        main(arguments(run))
