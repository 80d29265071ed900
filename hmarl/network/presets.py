"""Networks by name: the presets (YAML files beside this one), the families, and a user's own files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hmarl.errors import InputError, explain, unknown
from hmarl.files import read_yaml
from hmarl.network.config import Network
from hmarl.network.families import FAMILIES, arguments
from hmarl.network.overrides import build, override

FOLDER = Path(__file__).parent / "presets"
PRESETS: dict[str, str] = {
    "two_store": "two stores, a warehouse, a supplier; seasonal demand (the default)",
    "three_store": "three stores with three SKUs that share each store's storage",
    "tight_supply": "two_store with production of at most 120 a day and 4 to 8 days of lead time",
    "corner_shop": "one shop with a small store room, weekend peaks, three days of lead time",
    "weekday_store": "one store of fresh meals with a weekday profile, three days of lead time",
    "season_spikes": "one kiosk with a yearly season and spells of double demand",
    "unreliable_supply": "one article with demand fitted to real sales, uncertain lead times and lost orders, weeks",
    "beer_game": "four seats in a row, weeks, orders heard late, demand 4 then 8",
    "lost_sales": "family: one store, lost sales (demand, mean, lead_time, penalty, holding_cost, ...)",
    "serial": "family: stages in a row, backorders (mean, std, lead_times, holding_costs, penalty, demand)",
    "one_warehouse": "family: a warehouse and stores (mean_demand, penalty, warehouse_holding, holding_cost)",
    "one_supplier": "family: a supplier before one_warehouse (and supplier_holding)",
}


def load_network(name_or_path: str | os.PathLike[str], **overrides: Any) -> Network:
    """A network from a preset, a family or a YAML file.

    Parameters
    ----------
    name_or_path
        A name of :data:`PRESETS`, or the path of a YAML file.
    overrides
        Values that differ: for a family its arguments; for any network the names that
        :mod:`hmarl.network.overrides` lists, those with a dot as ``**{"store.lead_time": 3}``.

    Raises
    ------
    InputError
        In one line, for an unknown name or key, or a value that is not allowed.

    Examples
    --------
    >>> load_network("two_store", days=30).days
    30
    >>> load_network("lost_sales", demand="poisson", mean=5, lead_time=2, penalty=4).nodes["store"].lead_time
    2
    """
    name = os.fspath(name_or_path)
    if name in FAMILIES:
        return _family(name, overrides)
    if name in PRESETS:
        return override(build(read_yaml(FOLDER / f"{name}.yaml"), name), overrides)
    if not _is_path(name):
        raise InputError(f"{unknown('network', name, PRESETS)}, or the path of a YAML file")
    return override(build(read_yaml(name), name), overrides, name)


def _is_path(name: str) -> bool:
    return os.sep in name or Path(name).suffix in (".yaml", ".yml", ".json") or Path(name).is_file()


def _family(name: str, overrides: dict[str, Any]) -> Network:
    model = arguments(name)
    own = {key: value for key, value in overrides.items() if key in model.model_fields}
    try:
        network = FAMILIES[name](**dict(model.model_validate(own)))
    except ValidationError as error:
        raise explain(error, model, name) from error
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    return override(network, {key: value for key, value in overrides.items() if key not in own})
