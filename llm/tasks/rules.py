"""Rules by a short spec: a name, and parameters behind a colon."""

from __future__ import annotations

from hmarl.errors import InputError, unknown
from hmarl.network import Network
from hmarl.policies import POLICIES, Policy, make_policy
from hmarl.policies.catalogue import RULES
from hmarl.simulator import compile_network

_OWN = {
    "corner_shop": {
        "random": "random:high=100",
        "heuristic": "s_Q:reorder_point=39,quantity=50",  # 50 when stock and pending are under 40
        "order_up_to": "order_up_to:80",
        "cover": "cover:6",
    },
}
_ELSEWHERE = {"heuristic": "s_Q"}
_CONTINUATION = {"corner_shop": "order_up_to:80"}


def named_policy(network: Network, spec: str) -> Policy:
    """A rule for a network.

    Parameters
    ----------
    spec
        A name of :data:`hmarl.policies.POLICIES` or ``heuristic`` (the textbook's (s, Q); a network may have one of
        its own), alone or with parameters in units: ``base_stock:80``, ``s_Q:reorder_point=39,quantity=50``.

    Raises
    ------
    InputError
        An unknown name or parameter, or a value that is no number.
    """
    name, _, given = spec.partition(":")
    own = _ELSEWHERE | _OWN.get(network.name, {})
    if name not in POLICIES and name not in own:
        raise unknown("policy", name, {*POLICIES, *own})
    kind, _, defaults = own.get(name, name).partition(":")
    values = _parameters(network, kind, defaults) | _parameters(network, kind, given)
    return make_policy(kind, network, **values)


def default_continuation(network: Network) -> str:
    """The spec of the rule that goes on after an answer where none is named."""
    return _CONTINUATION.get(network.name, "base_stock")


def _parameters(network: Network, kind: str, text: str) -> dict[str, float]:
    """``level=80``, or ``80`` for the first parameter."""
    known = list(RULES[kind].parameters(network, compile_network(network))) if kind in RULES else []
    values: dict[str, float] = {}
    for part in text.split(",") if text else []:
        if not known:
            raise InputError(f"policy {kind}: {part!r}: it has no parameters")
        key, sign, value = part.rpartition("=")
        try:
            values[key.strip() if sign else known[0]] = float(value)
        except ValueError as error:
            raise InputError(f"policy {kind}: {part!r}: NAME=NUMBER, with {' or '.join(known)}") from error
    return values
