"""GPUs that are rented, and what is assumed of all of them."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, in a node of the usual form (8 of them).

    Attributes
    ----------
    memory
        Bytes, as torch reports its capacity; a part of the nominal memory is not for programs.
    flops
        Multiplications and additions a second, dense, bfloat16.
    bandwidth
        Of its memory, bytes a second.
    link
        To the others of its node, bytes a second each way: NVLink, or PCIe 4.
    network
        Its share of its node's network, bytes a second each way.
    """

    memory: float
    flops: float
    bandwidth: float
    link: float
    network: float


def _gpu(gib: float, teraflops: float, gigabytes: float, link: float, gigabits: float) -> Gpu:
    return Gpu(gib * GIB, teraflops * 1e12, gigabytes * 1e9, link * 1e9, gigabits * 1e9 / 8)


GPUS: dict[str, Gpu] = {
    "a100-40": _gpu(39.4, 312, 1555, 300, 50),
    "a100-80": _gpu(79.1, 312, 2039, 300, 50),
    "b200-180": _gpu(178.4, 2250, 8000, 900, 400),
    "h100-80": _gpu(79.1, 989, 3350, 450, 400),
    "h200-141": _gpu(139.8, 989, 4800, 450, 400),
    "l4-24": _gpu(22.0, 121, 300, 32, 12.5),
    "l40s-48": _gpu(44.4, 362, 864, 32, 50),
}
"""By name. Sources: NVIDIA's data sheets (A100, B200, H100 SXM, H200 SXM, L4, L40S; bfloat16 without sparsity); the
network of AWS's nodes of 8 (p4d, p4de, p6-b200, p5, p5en, g6, g6e); memory as in torch's out-of-memory messages."""
