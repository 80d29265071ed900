"""Check a network before training: what would make it pointless, each with the place and the reason."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hmarl import command


class ValidateSettings(BaseModel):
    """Options of ``python -m hmarl.validate``."""

    model_config = ConfigDict(extra="forbid")

    network: str = Field("two_store", description="a preset's name or a network's YAML file")
    set_: dict[str, Any] = Field({}, description="change of the network, as store.lead_time=3; repeatable")
    scenario: str = Field("normal", description="scenario laid over the network, see --list scenarios")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the simulated days")
    json_: bool = Field(False, description="print the checks as one JSON object on the last line")


def main(argv: list[str]) -> int:
    """Print the checks; 0 where all hold, else 1."""
    settings = command.parse(ValidateSettings, argv, "python -m hmarl.validate", __doc__ or "")
    from hmarl.network import apply_scenario, load_network

    network = apply_scenario(load_network(settings.network, **settings.set_), settings.scenario)

    from hmarl.policies.validation import check_network

    checks = check_network(network, settings.seed)
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{'ok' if check.ok else 'FAILED':6}  {check.name:{width}}  {check.detail}")
    failed = sum(not check.ok for check in checks)
    roles = ", ".join(
        f"{len(network.nodes_of(role))} {role}" for role in dict.fromkeys(map(network.role_of, network.nodes))
    )
    print(f"{network.name}: {roles}; {failed or 'none'} of {len(checks)} checks failed")
    if settings.json_:
        rows = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
        print(json.dumps({"network": network.name, "ok": not failed, "checks": rows}))
    return 1 if failed else 0


if __name__ == "__main__":
    command.run(main)
