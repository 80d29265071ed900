"""Reading an answer: what it decides, or why it decides nothing.

An answer ends with ``Decision: Order 25 units``. Reasoning may stand before it; of several decisions the last counts.
Nothing is guessed: an order that could be read in two ways is none.
"""

from __future__ import annotations

import re

from llm.tasks.task import ParseError

_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+).*?<\|message\|>(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)", re.DOTALL
)
_SPECIAL = re.compile(r"<\|[a-z_]+\|>")
_MARKUP = str.maketrans("", "", "*`")
_DECISION = re.compile(r"\bdecision\s*:", re.IGNORECASE)
_ORDER = re.compile(r"\s*order\s+(?P<number>[0-9][0-9.,]*[0-9]|[0-9])(?P<rest>[^\n]*)", re.IGNORECASE)
_REST = re.compile(r"\s+units?(?:\s+of\s+[a-z_]+)?(?:\s*[.!]?[\"”]?\s*|\s*[.!]\s.*)", re.IGNORECASE)
_BARE_REST = re.compile(r"\s*[.!]?[\"”]?\s*")
_WHOLE = re.compile(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+")
_REAL = re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?")


def decision(order: float) -> str:
    """The answer that decides on an order.

    >>> decision(25)
    'Decision: Order 25 units'
    """
    return f"Decision: Order {order:.15g} units"


def parse_order(text: str, highest: float, whole: bool = True) -> int | float:
    """The order that an answer decides on.

    Parameters
    ----------
    text
        The model's turn. With harmony's channels only the final one counts; what stands in ``<think>`` does not.
    highest
        Largest order allowed, units; the smallest is 0.
    whole
        Whether orders are whole numbers.

    Raises
    ------
    ParseError
        If it decides on nothing, or on what may not be ordered.
    """
    said = final_text(text).translate(_MARKUP)
    found = None
    for found in _DECISION.finditer(said):  # noqa: B007
        pass
    if found is None:
        raise ParseError("no 'Decision:'")
    order = _ORDER.match(said, found.end())
    if order is None:
        raise ParseError("no 'Order N units' behind 'Decision:'")
    number, rest = order["number"], order["rest"]
    if not (_WHOLE if whole else _REAL).fullmatch(number):
        raise ParseError(f"{number!r}: {'a whole number' if whole else 'a number'} of units")
    if not (_REST.fullmatch(rest) or _BARE_REST.fullmatch(rest)):
        raise ParseError(f"{rest.strip()!r} behind the number")
    value = int(number.replace(",", "")) if whole else float(number.replace(",", ""))
    if value > highest:
        raise ParseError(f"{value}: 0 to {highest:g} units")
    return value


def final_text(text: str) -> str:
    """What an answer says, without its reasoning: harmony's last final channel, or what follows ``</think>``.

    Raises
    ------
    ParseError
        If it never ends to reason.
    """
    if "<|channel|>" in text:
        final = [content for channel, content in _CHANNEL.findall(text) if channel == "final"]
        if not final:
            raise ParseError("no final channel")
        text = final[-1]
    _, ended, after = text.rpartition("</think>")
    if "<think>" in after:
        raise ParseError("reasoning without an end")
    return _SPECIAL.sub("", after if ended else text)


def answer_pattern(highest: int) -> str:
    """Regular expression of :func:`decision` for the whole numbers from 0 to `highest`.

    >>> answer_pattern(120)
    'Decision: Order (?:[0-9]|[1-9][0-9]|1[0-1][0-9]|120) units'
    """
    return f"Decision: Order (?:{'|'.join(_numbers(str(highest)))}) units"


def _numbers(highest: str) -> list[str]:
    """Patterns of the numbers from 0 to one given by its digits, by length and by the first digit that is lower."""
    shorter = ["[0-9]"] + [f"[1-9]{'[0-9]' * k}" for k in range(1, len(highest) - 1)]
    patterns = shorter if len(highest) > 1 else []
    for place, digit in enumerate(highest):
        lowest = 1 if place == 0 and len(highest) > 1 else 0
        if int(digit) > lowest:
            last = int(digit) - 1
            choice = str(lowest) if last == lowest else f"[{lowest}-{last}]"
            patterns.append(highest[:place] + choice + "[0-9]" * (len(highest) - place - 1))
    return [*patterns, highest]
