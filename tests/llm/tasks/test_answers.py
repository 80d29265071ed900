"""Reading answers, the awkward ones above all."""

from __future__ import annotations

import re

import pytest

from llm.tasks.answers import answer_pattern, decision, final_text, parse_order
from llm.tasks.task import ParseError

FINAL = "<|channel|>final<|message|>"
ANALYSIS = "<|channel|>analysis<|message|>Decision: Order 90 units<|end|><|start|>assistant"

READ = {
    "Decision: Order 25 units": 25,
    "Decision: Order 0 units": 0,
    "Decision: Order 100 units": 100,
    "Decision: Order 1 unit": 1,
    "Decision: Order 25 units.": 25,
    "Decision: Order 25 Units!": 25,
    "decision: order 25 units": 25,
    "DECISION: ORDER 25 UNITS": 25,
    "  Decision:   Order   25   units  \n": 25,
    "Decision: Order 25": 25,
    "Decision: Order 25.": 25,
    "Decision:\nOrder 25 units": 25,
    "Decision: Order 025 units": 25,
    "Decision: Order 25 units of coffee": 25,
    "Decision: Order 25 units. Stock of 42 lasts two days.": 25,
    "Decision: Order 25 units\nStock was 42.": 25,
    "Stock is 42, so 30 would be enough.\nDecision: Order 25 units": 25,
    "Decision: Order 30 units\nOn second thoughts.\nDecision: Order 25 units": 25,
    "Decision: Order 30 units or Decision: Order 25 units": 25,
    "Decision: Order thirty units. No: Decision: Order 25 units": 25,
    "Final decision: Order 25 units": 25,
    "**Decision:** Order 25 units": 25,
    "**Decision: Order 25 units**": 25,
    "Decision: Order **25** units": 25,
    "`Decision: Order 25 units`": 25,
    '"Decision: Order 25 units"': 25,
    "Decision: Order 25\N{NO-BREAK SPACE}units": 25,
    "Decision: Order 25 units<|return|>": 25,
    "Decision: Order 25 units<|im_end|>": 25,
    f"{FINAL}Decision: Order 25 units<|return|>": 25,
    f"{ANALYSIS}{FINAL}Decision: Order 25 units<|return|>": 25,
    f"{ANALYSIS}{FINAL}Decision: Order 25 units": 25,
    f"<|start|>assistant{FINAL}Decision: Order 7 units<|end|><|start|>assistant{FINAL}Decision: Order 8 units": 8,
    "<|channel|>final <|constrain|>text<|message|>Decision: Order 25 units<|return|>": 25,
    "<think>Decision: Order 90 units</think>Decision: Order 25 units": 25,
    "thinking aloud, 90 units</think>\n\nDecision: Order 25 units": 25,
}

REFUSED = [
    "",
    "25",
    "Order 25 units",
    "Decision: 25 units",
    "Decision - Order 25 units",
    "Decision Order 25 units",
    "Indecision: Order 25 units",
    "Decision: Order units",
    "Decision: Order N units",
    "Decision: Order nothing",
    "Decision: Order twenty-five units",
    "Decision: Order -5 units",
    "Decision: Order +5 units",
    "Decision: Order 101 units",
    "Decision: Order 99999999999999999999 units",
    "Decision: Order 25.5 units",
    "Decision: Order 25.0 units",
    "Decision: Order 1.000 units",
    "Decision: Order 2,5 units",
    "Decision: Order 1,0 units",
    "Decision: Order 1 0 units",
    "Decision: Order 1e1 units",
    "Decision: Order 0x10 units",
    "Decision: Order 1/2 units",
    "Decision: Order ½ units",
    "Decision: Order 2⁵ units",
    "Decision: Order \N{FULLWIDTH DIGIT TWO}5 units",
    "Decision: Order ٢٥ units",
    "Decision: Order 2\N{ZERO WIDTH SPACE}5 units",
    "Decision: Order 25 or 30 units",
    "Decision: Order 25 units or 30",
    "Decision: Order 25 units, or thirty",
    "Decision: Order 25-30 units",
    "Decision: Order 25 to 30 units",
    "Decision: Order between 25 and 30 units",
    "Decision: Order about 25 units",
    "Decision: Order 25%",
    "Decision: Order $25",
    "Decision: Order 25 cases",
    "Decision: Order 25 units a day",
    "Decision: Order 25 units each for store 1 and 2",
    "Decision: Order 2 x 10 units",
    "Decision: Order \\boxed{25} units",
    "Decision: Order [25] units",
    "Decision: Do not order 25 units",
    "Decision: Order 25 units\nDecision: Order nothing",
    "Decision: Order 25 units\nDecision:",
    "Entscheidung: 25 Stück",
    "<think>Decision: Order 25 units",
    "</think><think>Decision: Order 25 units",
    "<|channel|>analysis<|message|>Decision: Order 25 units<|end|>",
    f"Decision: Order 25 units{FINAL}I would rather wait.<|return|>",
]


def test_awkward_answers_are_many() -> None:
    assert len(READ) + len(REFUSED) >= 80


@pytest.mark.parametrize("text", READ)
def test_read(text: str) -> None:
    assert parse_order(text, 100) == READ[text]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_order(text, 100)


def test_thousands_and_fractions_where_they_may_be() -> None:
    assert parse_order("Decision: Order 1,250 units", 2000) == 1250
    assert parse_order("Decision: Order 1,250.5 units", 2000, whole=False) == 1250.5
    assert parse_order("Decision: Order 2.25 units", 10, whole=False) == 2.25
    for wrong in ("12,50", "1,2500", "1.2.3", "1.250,5", ".5"):
        with pytest.raises(ParseError):
            parse_order(f"Decision: Order {wrong} units", 9999, whole=False)


def test_the_reason_is_said() -> None:
    with pytest.raises(ParseError, match="101: 0 to 100 units"):
        parse_order("Decision: Order 101 units", 100)
    with pytest.raises(ParseError, match="'or 30 units' behind the number"):
        parse_order("Decision: Order 25 or 30 units", 100)


def test_the_final_channel_alone_is_said() -> None:
    assert final_text(f"{ANALYSIS}{FINAL}Enough.<|return|>") == "Enough."


@pytest.mark.parametrize("highest", [0, 5, 9, 10, 19, 20, 99, 100, 101, 347, 2050])
def test_the_pattern_takes_what_the_parser_does(highest: int) -> None:
    pattern = re.compile(answer_pattern(highest))
    fitting = [n for n in range(3 * highest + 50) if pattern.fullmatch(decision(n))]
    assert fitting == list(range(highest + 1))
    assert not pattern.fullmatch("Decision: Order 05 units")
    assert parse_order(decision(highest), highest) == highest
