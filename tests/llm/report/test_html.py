"""The page of a language model's run: its figures are those of evaluation.json, it is safe, it asks nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import yaml

from hmarl.errors import InputError
from hmarl.network import load_network
from hmarl.report.statistics import Estimate
from llm.evaluation import Evaluation, Row
from llm.report.html import write_report
from llm.report.plots import comparison_figure, training_figure
from llm.settings import GRPOSettings, SFTSettings
from llm.variation import Variation


class Page(HTMLParser):
    """Numbers for machines, text, tags that fetch."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.fetched, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "link", "img", "iframe", "object", "embed", "b"):
            self.fetched.append(tag)
        links = [values.get(name) for name in ("src", "href", "xlink:href", "action")]
        self.fetched += [link for link in links if link and not link.startswith("#")]
        if tag == "data":
            self.numbers.append(float(values["value"]))

    def handle_data(self, text):
        self.text.append(text)

    @property
    def words(self):
        return " ".join(" ".join(self.text).replace("\N{NO-BREAK SPACE}", " ").split())


def about(mean, half=10.0):
    return Estimate(mean, mean - half, mean + half, 500)


def row(profit, ahead=None):
    return Row(about(profit), about(0.9, 0.01), about(0.95, 0.01), ahead)


@pytest.fixture
def evaluation():
    rows = {
        "grpo": row(3700.0),
        "sft": row(1680.0, about(2020.0)),
        "random": row(-4900.0, about(8600.0)),
        "order_up_to:80": row(3695.0, about(5.0)),
    }
    return Evaluation(
        model="grpo", network="corner_shop", period="day", days=29, episodes=500, seed=0, rows=rows,
        continuation="order_up_to:80", bound=about(4535.0), behind=about(835.0), no_bound="", decisions=14_500,
        parse_failures=29, tokens_a_decision=4.0, orders={"0": 4000, "25": 10_471},
        variation=Variation(1.0, 5, 20, about(3600.0), 55.0, 270.0, 200, 0.25, 3.5),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path, evaluation):
    """A run's folder with two steps of GRPO, samples and the supervised training before."""
    settings = {k.removesuffix("_"): v for k, v in GRPOSettings().model_dump(mode="json").items()}
    config = {"settings": settings, "network": load_network("corner_shop").model_dump(mode="json"), "name": "ours"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    evaluation.save(tmp_path / "evaluation.json")
    steps = [
        {"steps": k, "loss": 0.1, "reward": 0.2, "reward_std": 0.1, "completion_tokens": 100, "step_seconds": 2.0,
         "generation_seconds": 1.0, "reward_seconds": 0.02, "publish_seconds": 0.08,
         "training_seconds": 0.9, "tokens_per_second": 100.0}
        for k in (1, 2)
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    samples = [{"steps": k, "prompt": "Stock 3.", "answer": "<b>x</b> & y", "order": None, "reward": -0.5}
               for k in range(40)]  # fmt: skip
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return tmp_path


def test_figures_are_those_of_the_evaluation(run, evaluation):
    page = Page(write_report(run).read_text())
    rows = evaluation.rows.values()
    expected = [value for r in rows for value in (r.profit.mean, *([r.ahead.mean] if r.ahead else []), 0.9, 0.95)]
    assert page.numbers == [*expected, 4535.0, -835.0]


def test_it_says_what_was_done_and_found(run):
    words = Page(write_report(run).read_text()).words
    for said in (
        "could earn at most 4,535 ±10 an episode (a linear programme a path); the model earns 82 % of that",
        "more than sft: +2,020 an episode (95 % interval +2,010 to +2,030); sft earns 1,680 ±10 itself",
        "as much as order_up_to:80, as far as can be told from chance: +5 an episode",
        "order_up_to:80 earns 3,695 ±10 itself, and its orders follow the answer in the reward of the training",
        "The model is tiny; all its weights were trained. It first learned from 400 episodes of the heuristic",
        "it answered 96 questions a step, each 16 times, for 2 steps",
        "So the reward holds what that rule knows",
        "Of 14,500 decisions 29 could not be read (0.20 %). It ordered 2 different quantities",
        "The standard deviation of that profit is 55 on one and the same path, against 270 between paths",
        "25.0 % of its orders were others than the likeliest one",
        "A step took 2.00 seconds on average: reward 1.00 %, publishing 4.00 %, generation 50.0 %, training 45.0 %.",
        "python -m llm.train grpo python -m llm.evaluate --model",
    ):
        assert said in words


def test_it_is_safe_and_asks_nothing_of_the_network(run):
    text = write_report(run).read_text()
    page = Page(text)
    assert page.fetched == []
    assert page.words.count("<b>x</b> & y") == 12  # samples are text, and no more than fit
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_a_run_judged_by_itself_says_by_what_and_which_weights_it_has(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["settings"]["continuation"] = "self"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    copied = {"imitation": 0.875, "continuation_profit": 3512.4}
    steps = [
        {"steps": 1, "loss": 0.1, **copied},
        {"steps": 10, "validation_profit": 3600.0, "best_step": 10},
        {"steps": 20, "validation_profit": 3500.0, "best_step": 10},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    words = Page(write_report(run).read_text()).words
    assert "The last, of step 1, took 87.5 % of them alike and earned 3,512 an episode by itself" in words
    assert "It has the weights of step 10: of 2 validations that one earned most." in words
    assert "So the reward holds what that rule knows" not in words


def test_a_run_without_bound_or_metrics_has_a_page(run, evaluation):
    (run / "metrics.jsonl").unlink()
    (run / "samples.jsonl").unlink()
    bare = {"bound": None, "behind": None, "no_bound": "lead times vary", "variation": None, "continuation": None}
    words = Page(write_report(run, Evaluation(**{**vars(evaluation), **bare})).read_text()).words
    assert "lead times vary." in words
    assert "How it learned" not in words
    assert "clairvoyant" not in words


def test_a_run_of_demonstrations_alone_and_a_model_that_loses_money(run, evaluation):
    settings = {k.removesuffix("_"): v for k, v in SFTSettings(data="ours.jsonl").model_dump(mode="json").items()}
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "settings": settings}))
    rows = {**evaluation.rows, "grpo": row(-1900.0)}
    words = Page(write_report(run, Evaluation(**{**vars(evaluation), "rows": rows})).read_text()).words
    assert (
        "The model is tiny; all its weights were trained. It learned from ours.jsonl (supervised fine-tuning)." in words
    )
    assert "the model is far from that" in words
    assert "python -m llm.train sft --data ours.jsonl" in words


def test_pictures_hold_what_they_should(evaluation):
    profit, fill_rate, _ = comparison_figure(evaluation).axes
    assert [label.get_text() for label in profit.get_yticklabels()] == [*evaluation.rows, "clairvoyant bound"]
    low, high = profit.get_xlim()
    assert -4900 < low < 1670  # random is told by a number at the edge
    assert 4545 < high < 5500
    assert "\N{MINUS SIGN}4,900" in profit.texts[0].get_text()
    assert [len([mark for mark in axis.lines if mark.get_marker() == "D"]) for axis in (profit, fill_rate)] == [1, 0]
    axes = training_figure([{"steps": k, "reward": 1.0, "reward_std": 0.5, "loss": k} for k in (1, 2)]).axes
    assert [axis.get_title(loc="left") for axis in axes] == ["Reward of the answers", "Loss"]
    (band,) = axes[0].collections
    assert (band.get_datalim(axes[0].transData).y0, band.get_datalim(axes[0].transData).y1) == (0.5, 1.5)


def test_what_is_no_run_is_refused(run):
    with pytest.raises(InputError, match="no run"):
        write_report(run / "none")
    (run / "metrics.jsonl").write_text("{\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl: a line is not JSON"):
        write_report(run)
    (run / "evaluation.json").unlink()
    with pytest.raises(InputError, match=r"evaluation\.json: cannot be read"):
        write_report(run)
