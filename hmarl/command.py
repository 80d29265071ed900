"""The command line of every command: flags from a pydantic model's fields, and one place where errors end.

A value comes from the first of: the command line (``--episodes 200``), the environment
(``HMARL_EPISODES``, or the name that a field gives as ``env``), the YAML file of ``--config``, the field's
default. argparse is driven directly because pydantic-settings splits ``--set 'mean_demand=[2,2]'`` at the comma
and reports errors over several lines.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hmarl.errors import Failed, InputError, explain, unknown
from hmarl.files import read_yaml

Settings = TypeVar("Settings", bound=BaseModel)
LISTS = ("presets", "policies", "scenarios")


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. It interrupts as Ctrl-C does, so that what cleans up for one cleans up for both."""


def parse(settings: type[Settings], argv: Sequence[str], prog: str, description: str) -> Settings:
    """Settings of a command from its command line, the environment and ``--config``.

    Each field is a flag in kebab-case (one trailing underscore dropped: the field ``json_`` is ``--json``);
    its description is the help. A ``bool`` is a flag without value (and ``--no-...``), a ``list`` takes
    ``a,b`` or is repeated, a ``dict`` is repeated as ``KEY=VALUE`` with a YAML value, a model is YAML.
    ``--help``, ``--print-config`` and ``--list`` print and leave with exit status 0.

    Raises
    ------
    InputError
        An unknown flag or key, or a value that the field does not allow.
    """
    parser, options = _parser(settings, prog, description)
    known, rest = parser.parse_known_args(list(argv))
    if rest:
        raise _unexpected(rest[0], [*options.values(), "--config", "--print-config", "--list", "--help"])
    if known.list_names:
        print(names(known.list_names))
        raise SystemExit(0)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    config = known.config or os.environ.get("HMARL_CONFIG")
    if config:
        _take(values, places, _from_file(settings, config), lambda name: f"{config}: {plain(name)}")
    variables = {name: _given_variable(name, field) for name, field in settings.model_fields.items()}
    _take(values, places, _from_environment(settings, variables), variables.__getitem__)
    _take(values, places, _from_flags(settings, known), lambda name: options[name])
    try:
        result = settings.model_validate(values)
    except ValidationError as error:
        raise explain(error, settings, "", {**{name: options[name] for name in options}, **places}) from error
    if known.print_config:
        dumped = {plain(name): value for name, value in result.model_dump(mode="json").items()}
        print(yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True), end="")
        raise SystemExit(0)
    return result


def run(main: Callable[[list[str]], int | None]) -> NoReturn:
    """Run a command and leave with its exit status.

    0 or what `main` returns; 2 and one line ``error: ...`` for bad input, 1 and such a line for work that failed; 130
    for Ctrl-C, 143 for SIGTERM (both raise in the main thread, so that ``finally`` blocks run); 141 where nobody reads
    the output.
    """
    catch_sigterm()
    try:
        status = main(sys.argv[1:]) or 0
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except Failed as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 1
    except Terminated:
        status = 128 + signal.SIGTERM
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    sys.exit(status)


def catch_sigterm() -> None:
    """Let SIGTERM raise :class:`Terminated` (``ray.init`` sets a handler of its own: call it again after)."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: types.FrameType | None) -> None:
    raise Terminated


def names(kind: str) -> str:
    """What ``--list presets|policies|scenarios`` prints: a name and a line each."""
    if kind not in LISTS:
        raise unknown("--list", kind, LISTS)
    home = "hmarl.policies" if kind == "policies" else f"hmarl.network.{kind}"
    table: dict[str, str] = getattr(importlib.import_module(home), kind.upper())
    width = max(map(len, table))
    return "\n".join(f"{name:{width}}  {line}" for name, line in table.items())


def plain(name: str) -> str:
    """A field's name without the underscore that keeps it apart from Python's own names."""
    return name.removesuffix("_")


def variable(name: str) -> str:
    """The environment variable of a field."""
    return f"HMARL_{plain(name).upper()}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message.removeprefix("argument "))


def _parser(settings: type[BaseModel], prog: str, description: str) -> tuple[_Parser, dict[str, str]]:
    parser = _Parser(prog=prog, description=description, allow_abbrev=False)
    options = {name: f"--{plain(name).replace('_', '-')}" for name in settings.model_fields}
    for name, field in settings.model_fields.items():
        _add_flag(parser, name, options[name], field)
    parser.add_argument("--config", metavar="FILE", help="YAML file with values of these options [HMARL_CONFIG]")
    parser.add_argument("--print-config", action="store_true", help="print the settings as YAML and leave")
    parser.add_argument("--list", dest="list_names", metavar="|".join(LISTS), help="print the names known and leave")
    return parser, options


def _add_flag(parser: _Parser, name: str, option: str, field: FieldInfo) -> None:
    text = (field.description or "").replace("%", "%%")
    if own := _own_variable(field):
        text += f" [{own}]"
    default = "" if field.is_required() else field.get_default(call_default_factory=True)
    if default not in (None, "", [], {}, False):
        shown = ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
        text += f" (default: {shown.replace('%', '%%')})"
    kind = _kind(field.annotation)
    if kind is bool:
        parser.add_argument(option, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    metavar = {int: "N", float: "X", list: "A,B", dict: "KEY=VALUE"}.get(kind, plain(name).upper())
    if kind is Literal:
        metavar = "|".join(map(str, get_args(_inner(field.annotation))))
    action = "append" if kind in (list, dict) else "store"
    parser.add_argument(option, dest=name, action=action, metavar=metavar, help=text)


def _inner(annotation: Any) -> Any:
    """The type itself, without ``| None`` and annotations."""
    if get_origin(annotation) is Annotated:
        return _inner(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return _inner(parts[0]) if len(parts) == 1 else annotation
    return annotation


def _kind(annotation: Any) -> Any:
    inner = _inner(annotation)
    origin = get_origin(inner)
    return list if origin in (list, tuple) else origin or inner


def _from_text(kind: Any, place: str, texts: list[str]) -> Any:
    """The value that one or more texts stand for; pydantic turns ``"3"`` into 3 where it wants a number."""
    if kind is list:
        return [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if kind is dict:
        return {key: value for text in texts for key, value in _pairs(place, text).items()}
    structured = isinstance(kind, type) and issubclass(kind, BaseModel)
    return _yaml(place, texts[-1]) if structured else texts[-1]


def _pairs(place: str, text: str) -> dict[str, Any]:
    key, sign, value = text.partition("=")
    if sign and key.strip() and not text.lstrip().startswith("{"):
        return {key.strip(): _yaml(f"{place} {key.strip()}", value)}
    mapping = _yaml(place, text)
    if not isinstance(mapping, dict):
        raise InputError(f"{place}: {text!r}: KEY=VALUE")
    return mapping


def _yaml(place: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{place}: {text!r}: not YAML: {getattr(error, 'problem', error)}") from error


def _from_flags(settings: type[BaseModel], known: argparse.Namespace) -> dict[str, Any]:
    values = {}
    for name, field in settings.model_fields.items():
        given = getattr(known, name)
        if given is not None:
            texts = given if isinstance(given, list) else [given]
            values[name] = _from_text(_kind(field.annotation), f"--{plain(name)}", texts)
    return values


def _own_variable(field: FieldInfo) -> str | None:
    extra = field.json_schema_extra
    return str(extra["env"]) if isinstance(extra, dict) and "env" in extra else None


def _given_variable(name: str, field: FieldInfo) -> str:
    """The environment variable that a field is read from: ours, or its own where only that is set."""
    ours, own = variable(name), _own_variable(field)
    return own if own and not os.environ.get(ours) else ours


def _from_environment(settings: type[BaseModel], variables: dict[str, str]) -> dict[str, Any]:
    values = {}
    for name, field in settings.model_fields.items():
        text = os.environ.get(variables[name], "")
        if text:
            values[name] = _from_text(_kind(field.annotation), variables[name], [text])
    return values


def _from_file(settings: type[BaseModel], path: str) -> dict[str, Any]:
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: a mapping of names to values")
    fields = {plain(name): name for name in settings.model_fields}
    values = {}
    for key, value in content.items():
        name = fields.get(str(key).replace("-", "_"))
        if name is None:
            raise unknown(path, key, fields)
        values[name] = value
    return values


def _take(values: dict[str, Any], places: dict[str, str], new: dict[str, Any], place: Callable[[str], str]) -> None:
    values.update(new)
    places.update({name: place(name) for name in new})


def _unexpected(argument: str, options: list[str]) -> InputError:
    if argument.startswith("-"):
        return unknown("option", argument.partition("=")[0], options)
    return InputError(f"{argument!r}: not expected here; values follow an option, see --help")
