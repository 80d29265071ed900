"""What a command says when its input is wrong."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_LONGEST_VALUE = 60
_MOST_NAMES = 12
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of names to values",
    "model": "a mapping of names to values",
    "path": "a path",
}


class InputError(Exception):
    """Bad input from the user: one line that names the place, the value and what is allowed.

    Raised where the input is read and handled once, in :func:`hmarl.command.run`, which prints the line and
    ends with exit status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Failed(RuntimeError):
    """Work that was begun and cannot be finished: the message is the cause.

    :func:`hmarl.command.run` prints it in one line and ends with exit status 1.
    """


def unknown(place: str, value: object, allowed: Iterable[str]) -> InputError:
    """The error for a name that is not among the allowed ones; the nearest is suggested.

    >>> str(unknown("network", "two_stor", ["two_store", "beer_game"]))
    "network: 'two_stor': unknown, did you mean two_store? one of beer_game, two_store"
    """
    return InputError(_join(place, show(value), _not_among(str(value), allowed)))


def show(value: object) -> str:
    """A value as an error message names it: quoted, on one line, not endless."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def explain(
    error: ValidationError, model: type[BaseModel], place: str, places: Mapping[str, str] | None = None
) -> InputError:
    """One line for the most telling error of a pydantic validation.

    Parameters
    ----------
    error
        What ``model.model_validate`` raised.
    model
        The model that was validated; needed to name the fields that exist.
    place
        Where the values came from: a file, a preset.
    places
        Field -> where its value came from, instead of `place` and the field's name (``--episodes``).
    """
    problems = [_Problem(details, model) for details in error.errors(include_url=False)]
    problem = max(problems, key=lambda p: p.rank)
    path = problem.path
    if places and path and path[0] in places:
        place, path = places[path[0]], path[1:]
    more = len({p.path[: len(problem.path)] for p in problems if p.path[:1] != problem.path[:1]})
    ending = f" (and {more} more)" if more else ""
    return InputError(_join(place, ".".join(path), problem.value, problem.allowed + ending))


class _Problem:
    """One entry of ``ValidationError.errors()``: where, what, what is allowed."""

    def __init__(self, details: Any, model: type[BaseModel]) -> None:
        self.kind: str = details["type"]
        self.context: dict[str, Any] = details.get("ctx", {})
        self.path, fields = _follow(model, details["loc"], self.kind == "extra_forbidden")
        given = details["input"]
        plain = isinstance(given, str | int | float | bool | None)
        plain = plain or (isinstance(given, list) and self.kind != "value_error")
        self.value = show(given) if plain and self.kind not in ("missing", "extra_forbidden") else ""
        self.allowed = self._allowed(details["msg"], fields)
        near = self.kind == "extra_forbidden" and bool(difflib.get_close_matches(self.path[-1], fields))
        in_union = len(details["loc"]) - len(self.path)
        self.rank = (len(self.path) if in_union else 0, near)

    def _allowed(self, message: str, fields: list[str]) -> str:
        kind, context = self.kind, self.context
        if kind == "extra_forbidden":
            return _not_among(self.path[-1], fields)
        if kind == "missing":
            return "is missing"
        if kind == "value_error":
            return str(context["error"])
        if kind in _BOUNDS:
            word, key = _BOUNDS[kind]
            return f"{word} {context[key]:g}"
        if kind == "literal_error":
            return _not_among(self.value.strip("'\""), re.findall(r"'([^']*)'", context["expected"]))
        if kind == "union_tag_invalid":
            tags = re.findall(r"'([^']*)'", context["expected_tags"])
            return f"{self._tag()}: {show(context['tag'])}: {_not_among(context['tag'], tags)}"
        if kind == "union_tag_not_found":
            return f"{self._tag()} is missing"
        if kind in ("too_short", "too_long"):
            word, key = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
            return f"{word} {context[key]} values, not {context['actual_length']}"
        if kind == "finite_number" or kind.endswith(("_type", "_parsing", "_from_float")):
            return _KINDS.get(kind) or _KINDS.get(kind.split("_")[0]) or message
        return message[:1].lower() + message[1:]

    def _tag(self) -> str:
        return str(self.context["discriminator"]).strip("'")


def _join(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _not_among(value: str, allowed: Iterable[str]) -> str:
    names = sorted(set(allowed))
    near = difflib.get_close_matches(value, names, n=3)
    if not near:
        return f"unknown; it is one of {', '.join(names)}"
    if len(names) > _MOST_NAMES:
        return f"unknown, did you mean {' or '.join(near)}?"
    return f"unknown, did you mean {near[0]}? one of {', '.join(names)}"


def _follow(model: type[BaseModel], location: tuple[Any, ...], extra: bool) -> tuple[tuple[str, ...], list[str]]:
    """The fields on the way to an error, names of union members left out, and those of its parent."""
    path: list[str] = []
    candidates = _members(model)
    for number, key in enumerate(location):
        inner = [annotation for candidate in candidates for annotation in _step(candidate, key)]
        if inner:
            path.append(str(key))
            candidates = [member for annotation in inner for member in _members(annotation)]
        elif extra and number == len(location) - 1:
            path.append(str(key))
        elif key != "[key]":
            named = [c for c in candidates if getattr(c, "__name__", "?") in str(key) or str(key) in _tags(c)]
            candidates = named or candidates
    return tuple(path), sorted({field for c in candidates for field in getattr(c, "model_fields", {})})


def _members(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    fields = getattr(annotation, "model_fields", {})
    return _members(fields["root"].annotation) if list(fields) == ["root"] else [annotation]


def _step(annotation: Any, key: Any) -> list[Any]:
    fields = getattr(annotation, "model_fields", None)
    if fields is not None:
        return [fields[key].annotation] if key in fields else []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return [arguments[1]]
    return [arguments[0]] if origin in (list, tuple) and isinstance(key, int) else []


def _tags(candidate: Any) -> list[str]:
    field = getattr(candidate, "model_fields", {}).get("kind")
    return [str(tag) for tag in get_args(field.annotation)] if field is not None else []
