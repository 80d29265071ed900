"""Random trees and settings, and small networks, for the tests of the simulator."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hmarl.network.config import Network


def shop(**node: Any) -> Network:
    """One store: lead time 0, no demand, no cost, unless told."""
    network = {k: node.pop(k) for k in list(node) if k in Network.model_fields}
    return Network.model_validate({"nodes": {"shop": {"lead_time": 0, **node}}, "warmup": 0, **network})


def path(*values: float) -> dict[str, Any]:
    return {"distribution": "path", "values": list(values)}


_PROBABILITY = st.sampled_from([0.0, 0.0, 0.3])
_LEAD_TIMES = st.one_of(
    st.integers(0, 4),
    st.builds(lambda low, more: {"low": low, "high": low + more}, st.integers(0, 3), st.integers(0, 3)),
    st.just({"days": [0, 2, 5], "probabilities": [0.2, 0.5, 0.3]}),
)
_DEMANDS = st.one_of(
    st.none(),
    st.builds(lambda m: {"distribution": "poisson", "mean": m}, st.floats(0, 20)),
    st.builds(lambda m: {"distribution": "geometric", "mean": m}, st.floats(0, 8)),
    st.just({"distribution": "normal", "mean": 9, "std": 5, "season": {"amplitude": 0.5, "period": 10}}),
    st.just({"distribution": "uniform", "low": 2, "high": 9, "weekday": [1, 1, 1, 1, 1, 2, 0]}),
    st.just({"distribution": "poisson", "mean": 6, "spikes": {"probability": 0.2, "multiplier": 3, "duration": 2}}),
    st.just({"distribution": "normal", "mean": 9, "std": 5, "autocorrelation": 0.7}),
    st.just({"distribution": "history", "values": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], "block": 4}),
    st.just({"distribution": "discrete", "values": [0, 4, 50], "probabilities": [0.5, 0.4, 0.1]}),
)


@st.composite
def random_networks(draw: st.DrawFn) -> Network:
    """Any tree of up to six nodes and three SKUs with every setting of a node."""
    count, skus = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    nodes: dict[str, Any] = {}
    for i in range(count):
        nodes[f"n{i}"] = {
            "upstream": f"n{draw(st.integers(0, i - 1))}" if i else None,
            "lead_time": draw(_LEAD_TIMES),
            "order_lead_time": draw(st.integers(0, 2)),
            "review_period": draw(st.sampled_from([1, 1, 3])),
            "storage_capacity": draw(st.sampled_from([None, 40.0])),
            "order_capacity": draw(st.sampled_from([None, 12.0])),
            "reliability": draw(st.sampled_from([1.0, 0.6])),
            "order_loss": draw(_PROBABILITY),
            "shipment_loss": draw(_PROBABILITY),
            "opening_stock": draw(st.integers(0, 40)),
            "minimum_order": draw(st.sampled_from([0, 3])),
            "case_pack": draw(st.sampled_from([0, 2])),
            "outages": draw(st.sampled_from([[], [{"first": 3, "last": 5}]])),
            "delays": draw(st.sampled_from([[], [{"first": 2, "last": 4, "days": 3}]])),
            "demand": draw(_DEMANDS),
        }
    return Network.model_validate(
        {
            "nodes": nodes,
            "skus": [f"sku{i}" for i in range(skus)],
            "quantities": draw(st.sampled_from(["integer", "real"])),
            "unmet_demand": draw(st.sampled_from(["lost", "backorder"])),
            "unfilled_orders": draw(st.sampled_from(["keep", "cancel"])),
            "shortage": draw(st.sampled_from(["proportional", "equal_shortfall"])),
        }
    )
