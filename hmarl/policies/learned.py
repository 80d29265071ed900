"""The deployed policy: the actors alone, in numpy, from safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from hmarl.errors import InputError, explain, unknown
from hmarl.files import write_atomic
from hmarl.network.config import ROLES, Action, Network, Quantities
from hmarl.policies.catalogue import rule_from_json, rule_to_json
from hmarl.policies.rules import ByRole, Policy
from hmarl.roles import Chain
from hmarl.roles.actions import values_of
from hmarl.roles.chain import RoleAgents

Weights = Mapping[str, NDArray[np.float32]]

VERSION = 1
_NOBODY = "has no weights and no rule, and the network has such nodes"


class LearnedPolicy:
    """Trained actors, one a role, shared by its agents; each takes its likeliest action.

    Parameters
    ----------
    network
        What it was trained on.
    actors
        Role -> weights of a perceptron with tanh between its layers: ``layers.0.weight (out, in)``,
        ``layers.0.bias (out,)``, ``layers.1.weight`` ...; the last layer's outputs are the actions' logits,
        or the one mean of a continuous action.
    others
        Policies of the roles without an actor; rules of the catalogue where it is to be saved.
    name
        What tables call it.

    Raises
    ------
    InputError
        If weights do not fit what a role sees and may do, or a role of the network has no policy.
    """

    def __init__(
        self,
        network: Network,
        actors: Mapping[str, Weights],
        others: Mapping[str, Policy] | None = None,
        name: str = "learned",
    ) -> None:
        self.network, self.name = network, name
        roles = Chain(network).roles
        for role in actors:
            if role not in ROLES:
                raise unknown("policy: role", role, ROLES)
        self.others = {role: policy for role, policy in (others or {}).items() if role not in actors}
        missing = [role for role in roles if role not in actors and role not in self.others]
        if missing:
            raise InputError(f"policy: role {missing[0]}: {_NOBODY}")
        self.features = {role: agents.features for role, agents in roles.items() if role in actors}
        self.action_spaces = {role: roles[role].action_space for role in self.features}
        self.layers = {role: _layers(roles[role], actors[role]) for role in self.features}
        self._rules = ByRole(self.others)

    def orders(self, chain: Chain) -> NDArray[np.float64]:
        """Orders ``(B, N, S)`` of this morning, units.

        Raises
        ------
        InputError
            If the chain's agents see or may do other things than the actors were trained for.
        """
        out = self._rules.orders(chain)
        for role, agents in chain.roles.items():
            if role in self.layers:
                features, space = self.features[role], self.action_spaces[role]
                if agents.features != features or agents.action_space != space:
                    raise InputError(
                        f"policy: role {role}: {len(agents.features)} features and {_counted(agents.action_space)}"
                        f" here, trained on {len(features)} and {_counted(space)}"
                    )
                actions = self.actions(role, chain.observe(role))
                out[:, agents.place] = chain.orders(role, actions).reshape(len(out), -1, out.shape[2])
        return out

    def actions(self, role: str, observations: NDArray[np.float32]) -> NDArray[np.int64] | NDArray[np.float32]:
        """The likeliest actions for observations ``(..., features)``.

        Returns
        -------
        numpy.ndarray
            ``(...)`` integers, the lowest of equals; of a role with continuous actions ``(..., 1)`` numbers
            from -1 to 1.
        """
        outputs = self.outputs(role, observations)
        return outputs.argmax(-1) if isinstance(self.action_spaces[role], Discrete) else outputs.clip(-1, 1)

    def outputs(self, role: str, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``(..., actions)``, or means ``(..., 1)``, for observations ``(..., features)``."""
        *hidden, (weight, bias) = self.layers[role]
        x = np.asarray(observations, np.float32)
        for w, b in hidden:
            x = np.tanh(x @ w.T + b)
        return x @ weight.T + bias

    def weights(self) -> dict[str, Weights]:
        """By role, as the policy was made with them."""
        return {
            role: {
                f"layers.{k}.{part}": array
                for k, layer in enumerate(layers)
                for part, array in zip(("weight", "bias"), layer, strict=True)
            }
            for role, layers in self.layers.items()
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``actors.safetensors`` and then ``policy.json``, which holds the other's digest.

        Raises
        ------
        InputError
            If the folder cannot be written, or a role is played by something that is neither actor nor rule.
        """
        tensors = {
            f"{role}.{name}": np.ascontiguousarray(array)
            for role, named in self.weights().items()
            for name, array in named.items()
        }
        content = write_tensors(tensors)
        description = {
            "version": VERSION,
            "name": self.name,
            "actors_sha256": hashlib.sha256(content).hexdigest(),
            "roles": {
                role: {
                    "features": list(self.features[role]),
                    "actions": len(layers[-1][1]) if isinstance(self.action_spaces[role], Discrete) else "continuous",
                    "layers": [name for name in tensors if name.startswith(f"{role}.")],
                }
                for role, layers in self.layers.items()
            },
            "rules": {role: rule_to_json(policy) for role, policy in self.others.items()},
            "network": self.network.model_dump(mode="json"),
        }
        text = json.dumps(description, indent=1)
        write_atomic(Path(folder) / "actors.safetensors", content)
        return write_atomic(Path(folder) / "policy.json", text + "\n").parent

    @classmethod
    def load(cls, folder: str | os.PathLike[str], network: Network | None = None) -> LearnedPolicy:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder
            With ``policy.json`` and ``actors.safetensors``.
        network
            To play on another network: other numbers of stores are fine, roles that see or may do other
            things are not. Rules keep their levels in days of mean demand.

        Raises
        ------
        InputError
            If a file is missing, damaged or of another version, or the policy does not fit the network.
        """
        place = Path(folder) / "policy.json"
        data, tensors = _read(place)
        try:
            trained_on = Network.model_validate(data["network"])
        except ValidationError as error:
            raise explain(error, Network, f"{place}: network") from error
        try:
            made = cls(trained_on, _by_role(data, tensors), _rules(data, trained_on, trained_on), data["name"])
            return made if network is None else made._moved(network, _rules(data, trained_on, network))
        except InputError as error:
            raise InputError(f"{place}: {error}") from error

    def _moved(self, network: Network, others: dict[str, Policy]) -> LearnedPolicy:
        """This policy on another network, with the rules it has there."""
        for role, agents in Chain(network).roles.items():
            if role in self.layers:
                _check_moves(role, self.network, network, list(self.features[role]), agents)
            elif role not in others:
                raise InputError(f"role {role}: {_NOBODY}")
        other = copy(self)
        other.network, other.others, other._rules = network, others, ByRole(others)
        return other


def _by_role(
    data: dict[str, Any], tensors: dict[str, NDArray[np.float32]]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Weights by role; every role that has an entry, and no other."""
    actors: dict[str, dict[str, NDArray[np.float32]]] = {role: {} for role in data["roles"]}
    for name, array in tensors.items():
        role, _, layer = name.partition(".")
        if role not in actors:
            raise InputError(f"roles: {role!r} has weights and no entry")
        actors[role][layer] = array
    return actors


def _rules(data: dict[str, Any], written_for: Network, network: Network) -> dict[str, Policy]:
    return {role: rule_from_json(rule, written_for, network) for role, rule in data["rules"].items()}


def _read(place: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    tensors_at = place.with_name("actors.safetensors")
    try:
        data, content = json.loads(place.read_text(encoding="utf-8")), tensors_at.read_bytes()
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON") from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        found = data.get("version") if isinstance(data, dict) else None
        raise InputError(f"{place}: version: {found!r}: {VERSION}")
    mappings = all(isinstance(data.get(key), dict) for key in ("roles", "rules", "network"))
    if not mappings or not isinstance(data.get("name"), str):
        raise InputError(f"{place}: name, roles, rules, network: all four are needed")
    if data.get("actors_sha256") != hashlib.sha256(content).hexdigest():
        raise InputError(f"{tensors_at}: not the file that policy.json was written with (other sha256)")
    try:
        return data, read_tensors(content)
    except SafetensorError as error:
        raise InputError(f"{tensors_at}: not a safetensors file") from error


def _layers(agents: RoleAgents, weights: Weights) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights and biases in order, checked against what the role sees and may do."""
    count = len(weights) // 2
    expected = {f"layers.{i}.{part}" for i in range(count) for part in ("weight", "bias")}
    place = f"policy: role {agents.name}"
    if not count or set(weights) != expected:
        odd = sorted(set(weights) ^ expected)
        raise InputError(
            f"{place}: {', '.join(odd) or 'no weights'}: layers.0.weight, layers.0.bias, layers.1.weight ..."
        )
    layers, size = [], len(agents.features)
    for i in range(count):
        weight, bias = (np.array(weights[f"layers.{i}.{part}"], np.float32) for part in ("weight", "bias"))
        out = agents.n_actions if i == count - 1 else (weight.shape[0] if weight.ndim == 2 else 0)
        if weight.shape != (out, size) or bias.shape != (out,):
            raise InputError(
                f"{place}: layers.{i}: weight {weight.shape}, bias {bias.shape}: weight {(out, size)},"
                f" bias {(out,)} for {len(agents.features)} features and {_counted(agents.action_space)}"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise InputError(f"{place}: layers.{i}: a number that is not finite")
        layers.append((weight, bias))
        size = out
    return layers


def _check_moves(role: str, old: Network, new: Network, features: list[str], agents: RoleAgents) -> None:
    """Refuse a network whose agents of the role see or may do other things."""
    if features != list(agents.features):
        odd = sorted(set(features) ^ set(agents.features))
        raise InputError(
            f"role {role}: trained to see {len(features)} features, on {new.name} they are"
            f" {len(agents.features)} ({', '.join(odd[:3]) or 'in another order'}"
            f"{' ...' if len(odd) > 3 else ''}): only a network whose {role}s see the same can use it"
        )
    before, after = old.role_settings(role).action, new.role_settings(role).action
    if before != after:
        raise InputError(
            f"role {role}: trained to choose {_told(before)}, on {new.name} it is {_told(after)}:"
            f" only a network whose {role}s choose among the same can use it"
        )


def _told(action: Action) -> str:
    """An action's settings in words: ``multiples of 0, 0.5, 1, 1.5``."""
    if action.continuous:
        low, high = values_of(action)
        return f"{action.kind}, any from {low:g} to {high:g}"
    if isinstance(action, Quantities):
        return f"a quantity of 0 to {action.high:g} by {action.step:g}"
    return f"{action.kind} of {', '.join(f'{value:g}' for value in action.values)}"


def _counted(space: Discrete | Box) -> str:
    return f"{space.n} actions" if isinstance(space, Discrete) else "a continuous action"
