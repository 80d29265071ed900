"""Single values of a network changed by name, as ``--set NAME=VALUE`` and ``load_network(**overrides)`` do.

====================== ===================================================================
``days``               a field of the network
``nodes.store_1.price`` a path, as in the network's YAML; ``store_1.price`` is the same
``store.lead_time``    a field of every node of a role
``store.reward``       a field of a role's settings; ``roles.store.reward`` is the same
``lead_time``          a field of every node; ``demand`` of those that have customers
====================== ===================================================================

A value for all SKUs of a node replaces what its ``skus`` section says about single ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from hmarl.errors import InputError, explain, show, unknown
from hmarl.network.config import ROLES, Network, Node, RoleSettings

Data = dict[str, Any]


def override(network: Network, overrides: Mapping[str, Any], place: str | None = None) -> Network:
    """The network with some of its values changed.

    Parameters
    ----------
    overrides
        Name -> value, in the forms above; later ones win.
    place
        What an error message names as the source of the values.

    Raises
    ------
    InputError
        For a name that the network does not have, or a value that it does not allow.
    """
    if not overrides:
        return network
    data = network.model_dump()
    for name, value in overrides.items():
        _set(network, data, name, value)
    return build(data, place or network.name)


def build(data: Any, place: str) -> Network:
    """A network from plain data; `place` is what an error message names as its source."""
    if not isinstance(data, dict):
        raise InputError(f"{place}: {show(data)}: a mapping with at least `nodes`")
    try:
        return Network.model_validate(data)
    except ValidationError as error:
        raise explain(error, Network, place) from error


def _set(network: Network, data: Data, name: str, value: Any) -> None:
    value = value.model_dump() if hasattr(value, "model_dump") else value
    first, *rest = name.split(".")
    named = [node for node in network.nodes if name.startswith(f"{node}.")]
    if first == "nodes" and rest:
        inside = name.removeprefix("nodes.")
        node = next((node for node in network.nodes if inside == node or inside.startswith(f"{node}.")), None)
        if node is None:
            raise unknown("nodes", rest[0], network.nodes)
        _put(data["nodes"], node, inside.removeprefix(node).strip("."), value, name)
    elif first in Network.model_fields:
        if first == "roles" and rest and rest[0] in ROLES:
            _role(data, rest[0])
        _put(data, first, ".".join(rest), value, name)
    elif first in ROLES and rest and rest[0] in RoleSettings.model_fields:
        _put(_role(data, first), rest[0], ".".join(rest[1:]), value, name)
    elif first in ROLES and rest:
        nodes = network.nodes_of(first)
        if not nodes:
            present = sorted({network.role_of(node) for node in network.nodes})
            raise InputError(f"{name}: {network.name} has no {first}; its roles are {', '.join(present)}")
        _put_everywhere(data, nodes, rest, value, name)
    elif named:
        node = max(named, key=len)
        _put_everywhere(data, [node], name.removeprefix(f"{node}.").split("."), value, name)
    elif first in Node.model_fields:
        nodes = _sellers(network) if first == "demand" else network.node_names
        _put_everywhere(data, nodes, [first, *rest], value, name)
    else:
        raise unknown("override", name, [*Network.model_fields, *Node.model_fields, *ROLES, *network.nodes])


def _role(data: Data, role: str) -> Data:
    """The settings of a role; where it has none yet, the kind of action that a part set by name belongs to."""
    return data["roles"].setdefault(role, {"action": {"kind": RoleSettings().action.kind}})


def _sellers(network: Network) -> list[str]:
    return [node for node in network.nodes if any(network.item(node, sku).demand for sku in network.skus)]


def _put_everywhere(data: Data, nodes: list[str], path: list[str], value: Any, name: str) -> None:
    """Set a field of several nodes, and of their SKUs where these have a value of their own."""
    field, inside = path[0], ".".join(path[1:])
    if field not in Node.model_fields:
        start = name.removesuffix(".".join(path))
        raise unknown("override", name, [start + known for known in Node.model_fields])
    for node in nodes:
        skus = data["nodes"][node]["skus"]
        own = [sku for sku, item in skus.items() if item.get(field) is not None]
        for sku in own:
            _put(skus[sku], field, inside, value, name)
        if not own or data["nodes"][node][field] is not None:
            _put(data["nodes"][node], field, inside, value, name)


def _put(data: Data, key: str, inside: str, value: Any, name: str) -> None:
    """``data[key] = value``, or where `inside` goes on (``season.amplitude``), what stands there."""
    if not inside:
        data[key] = value
        return
    if data.get(key) is None:
        data[key] = {}
    if not isinstance(data[key], dict):
        raise InputError(f"{name}: {show(value)}: {key} is {show(data[key])}, which has no parts")
    first, _, rest = inside.partition(".")
    _put(data[key], first, rest, value, name)
