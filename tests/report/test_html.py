"""report.html: its figures are those of comparison.json, it is safe and asks nothing of the network."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.policies import make_policy
from hmarl.report.episode import follow
from hmarl.report.html import render, write_report
from hmarl.report.metrics import METRICS
from hmarl.report.run import Record, load_run


class _Page(HTMLParser):
    """Numbers with their keys, text, tags that fetch."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.fetched, self.text, self._key = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base"):
            self.fetched.append(tag)
        links = [values.get(name) for name in ("src", "href", "xlink:href", "srcset", "action")]
        self.fetched += [link for link in links if link and not link.startswith("#")]
        if tag == "data":
            self._key = (values["data-key"], values["value"])

    def handle_data(self, text):
        self.text.append(text)
        if self._key:
            self.numbers.append((*self._key, text))
            self._key = None


def _words(text):
    return " ".join(" ".join(_Page(text).text).replace("\N{NO-BREAK SPACE}", " ").split())


def _of_json(data, key):
    scenario, policy, metric, kind, field = key.split("|")
    entry = data["scenarios"][scenario][policy][metric]
    if kind.startswith("relative "):
        entry = entry["relative"][kind.removeprefix("relative ")]
    elif kind != "value":
        entry = entry[kind]
    return entry["high"] - entry["mean"] if field == "half" else entry["mean"]


def _check_figures(numbers, data):
    for key, value, shown in numbers:
        exact = _of_json(data, key)
        assert float(value) == exact
        factor = 100 if METRICS[key.split("|")[2]].share or "|relative " in key else 1
        digits = len(shown.partition(".")[2])
        plain = shown.replace("−", "-").replace(",", "")  # noqa: RUF001 (a true minus)
        assert float(plain) == pytest.approx(factor * exact, abs=0.5001 * 10**-digits)


def test_figures_are_those_of_comparison_json(record, comparison, course):
    data = comparison.to_json()
    page = _Page(render(record, comparison, course))
    _check_figures(page.numbers, data)
    keys = {key for key, _, _ in page.numbers}
    for scenario, rows in data["scenarios"].items():
        for policy, row in rows.items():
            for metric in METRICS:
                assert f"{scenario}|{policy}|{metric}|value|mean" in keys
                if row[metric]["difference"] is not None:
                    assert f"{scenario}|{policy}|{metric}|difference|half" in keys
    assert "normal|phase2_warehouse|reward|step|mean" in keys


@pytest.fixture
def cost_run(lost_sales, rows, tmp_path):
    """A run of two phases whose agents are paid minus their cost."""
    return Record(tmp_path, {"name": "l2"}, lost_sales, dict.fromkeys(("phase1_stores", "phase4_joint"), rows))


@pytest.fixture(scope="session")
def cost_course(lost_sales):
    return follow(lost_sales, make_policy("base_stock", lost_sales, level=17), replications=2)


def test_agents_paid_by_cost_are_told_of_in_cost_and_per_cent(cost_run, paid_by_cost, cost_course):
    text = render(cost_run, paid_by_cost, cost_course, 4.3953, 4.6386)
    page, words = _Page(text), _words(text)
    _check_figures(page.numbers, paid_by_cost.to_json())
    keys = {key for key, _, _ in page.numbers}
    assert "normal|phase4_joint|cost|relative base_stock|mean" in keys
    assert "normal|tuned_s_S|cost|relative optimal|half" in keys
    assert "normal|phase4_joint|cost|relative phase1_stores|mean" in keys
    assert not [key for key in keys if "|profit|" in key or "|reward|" in key]  # nothing has a price
    for said in (
        "no policy can cost less than 4.3953 a day (proven); the trained policy costs 4.6386, 5.54 % more.",
        "paid to keep cost low. They cost less than the textbook base-stock rule: −",  # noqa: RUF001
        "Cost against the phase before Service level % points Stock-out days % points In cost",
        "phase1_stores The stores' shared policy learns; warehouse and supplier act by a tuned rule. phase4_joint",
    ):
        assert said in words
    assert "In reward" not in words
    assert re.search(r'<dd class="small good"><span class="good"><data [^>]*\|cost\|relative base_stock', text)
    assert "In reward</th>" not in text


def test_another_scenario_than_the_one_trained_on_is_named(cost_run, paid_by_cost, cost_course):
    elsewhere = replace(paid_by_cost, results={"disruption": paid_by_cost.results["normal"]})
    assert "judged on 30 episodes of 80 days of the scenario disruption, with demand" in _words(
        render(cost_run, elsewhere, cost_course)
    )


def test_a_comparison_in_batches_says_so(cost_run, paid_by_cost, cost_course):
    long = replace(paid_by_cost, replications=10, days=200_000, batches=20, warnings=["batches are too short"])
    words = _words(render(cost_run, long, cost_course))
    assert "judged on 10 episodes of 200,000 days in 20 batches each, with demand" in words
    assert "Intervals are those of 200 batch means." in words
    assert "batches are too short." in words
    assert "batches" not in _words(render(cost_run, paid_by_cost, cost_course))


@pytest.mark.parametrize(
    ("deployed", "said"),
    [
        ({"name": "base_stock", "level": 16}, "the trained policy costs 4.6386, 5.54 % more."),
        ({"name": "random"}, "on the test episodes the trained policy costs more than the policy of lowest cost: +"),
    ],
)
def test_lost_sales_page_tells_the_gap(cost_run, lost_sales, paid_by_cost, cost_course, monkeypatch, deployed, said):
    monkeypatch.setattr("hmarl.report.html.load_run", lambda folder: cost_run)
    monkeypatch.setattr(Record, "deployed", lambda run: make_policy(network=lost_sales, **deployed))
    path = write_report(cost_run.folder, paid_by_cost, cost_course)
    assert f"no policy can cost less than 4.3953 a day (proven); {said}" in _words(path.read_text(encoding="utf-8"))


def test_nothing_is_fetched(record, comparison, course):
    text = render(record, comparison, course)
    assert _Page(text).fetched == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_it_says_what_a_planner_asks(record, comparison, course):
    text = _words(render(record, comparison, course))
    for words in (
        "the trained policies earn more than the textbook (s, S) rule: +0.09",
        "2 stores (store_1 and store_2) sell 1 product to customers",
        "Where stock-outs came from",
        "upstream shortage the source did not fill an order in time",
        "75 % (3)",
        "0.8 % (4)",
        "no difference to tell",
    ):
        assert words in text


def test_names_cannot_break_the_page(record, comparison, course):
    bad = "<script>alert(1)</script>"
    renamed = {"tuned_s_S": bad}
    results = {s: {renamed.get(p, p): r for p, r in rows.items()} for s, rows in comparison.results.items()}
    config = {**record.config, "name": bad, "note": bad}
    text = render(replace(record, config=config), replace(comparison, results=results, references=[]), course)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_no_stockouts_are_said_to_be_none(record, comparison, course):
    none = {node: dict.fromkeys(counts, 0) for node, counts in course.reasons.items()}
    assert "There were none in 50 test episodes" in render(record, comparison, replace(course, reasons=none))


def test_a_comparison_without_the_runs_phases_is_refused(record, comparison, course):
    with pytest.raises(InputError, match="none of the run's phases"):
        render(replace(record, phases={}), comparison, course)


def test_written_from_the_run_folder(tmp_path, comparison, rows):
    network = load_network("two_store")
    config = {
        "name": "first",
        "settings": {"seed": 0},
        "network": network.model_dump(mode="json", exclude_none=True),
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for phase in ("phase1_stores", "phase2_warehouse"):
        (tmp_path / phase).mkdir()
        (tmp_path / phase / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"steps": 9')
    comparison.save(tmp_path / "comparison")
    assert load_run(tmp_path).network == network
    assert load_run(tmp_path).phases["phase1_stores"] == rows
    course = follow(network, make_policy("base_stock", network), replications=3)
    path = write_report(tmp_path, course=course)
    assert path == tmp_path / "report.html"
    assert "<h1>first</h1>" in path.read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run \(it has no config.yaml\)"):
        load_run(tmp_path)
    (tmp_path / "config.yaml").write_text("network: {nodes: {a: {lead_time: -1}}}")
    with pytest.raises(InputError, match=r"lead_time: -1"):
        load_run(tmp_path)


def test_the_course_of_days_adds_up():
    network = load_network("two_store", days=20, warmup=5)
    course = follow(network, make_policy("no_order", network), replications=4, seed=1)
    assert course.stock.shape == (15, 4, 1)
    assert (course.stock[-1, 2:] == 0).all()  # the stores, long sold out
    short_days = sum(course.reasons["store_1"].values())
    assert 0 < short_days <= course.place_days == 15 * 4
    assert course.reasons["store_1"]["supplier_delay"] == 0
    assert (course.short[-1, 2:] == course.demand[-1, 2:]).all()


def test_real_sales_have_a_section_where_there_were_some(record, comparison, course):
    assert "On real sales" not in render(record, comparison, course)
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 20}
    row = dict.fromkeys(("cost", "profit", "service_level", "fill_rate", "stockout_days"), estimate)
    worse = {"tuned_forecast": {"mean": 0.04, "low": 0.01, "high": 0.07, "n": 20}}
    data = {
        "period": "week",
        "periods": 16,
        "clusters": 20,
        "cluster": "SKU",
        "learned_on": ["2023-01-02", "2023-09-04"],
        "judged_on": ["2023-09-11", "2023-12-25"],
        "policies": {
            "tuned_forecast": {**row, "relative_cost": {}},
            "phase1_stores": {**row, "relative_cost": worse},
        },
    }
    (record.folder / "comparison").mkdir()
    (record.folder / "comparison" / "real_sales.json").write_text(json.dumps(data))
    text = render(record, comparison, course)
    assert "judged on those of\n2023-09-11 to 2023-12-25 (16 weeks)" in text
    assert '<td class="number bad">+4.0 % ±3.0</td>' in text
    assert '<td class="number">50.0 ±10.0</td>' in text
