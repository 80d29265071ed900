"""Real-size layers of gpt-oss-120b trained on a GPU, beside what cluster.plan says of the same.

    python -m benchmarks.plan [--gpu h200-141] [--layers 1,2,4] [--tokens 4096] [--lora-r 16] [--experts] [--json]

One process on one GPU trains so many layers with random weights in bfloat16, LoRA, gradient checkpointing and AdamW.
Memory is what torch had allocated at the worst moment, in GiB; time is a forward and backward pass, the median of 5
after one to warm up. The plan is that of a single worker: nothing is gathered from others.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.command import parser_of
from cluster.planning.gpus import GIB, GPUS
from cluster.planning.memory import Dryrun, Training, cut, forward_backward, trainable
from cluster.planning.parts import load_config, read_model, untrained
from cluster.planning.seconds import Work, compute_seconds
from llm.adapters import LoraSettings

MODEL = "openai/gpt-oss-120b"
EXPERTS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
_PASSES = 5


@dataclass(frozen=True)
class Measured:
    """GiB allocated and reserved at the worst moment, seconds of a pass."""

    allocated: float
    reserved: float
    seconds: float


def measure(training: Training) -> Measured:
    """On the GPU of this machine."""
    import torch

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with torch.device("cuda"):
        model = trainable(untrained(training.config), training)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=1e-5, fused=True)
        seconds = []
        for _ in range(1 + _PASSES):
            torch.cuda.synchronize()
            begun = time.perf_counter()
            forward_backward(model, training)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
            optimiser.step()
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return Measured(allocated / GIB, reserved / GIB, statistics.median(seconds[1:]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, compare."""
    parser = parser_of("plan", __doc__)
    parser.add_argument("--gpu", default="h200-141", choices=list(GPUS), help="what the GPU here is")
    parser.add_argument("--layers", default="1,2,4", help="numbers of layers")
    parser.add_argument("--tokens", type=int, default=4096, help="of a sequence, a quarter of them the answer")
    parser.add_argument("--lora-r", type=int, default=16, help="rank of the adapters")
    parser.add_argument("--experts", action="store_true", help="adapters on the experts too")
    options = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        parser.error("a GPU is needed, and this machine has none")
    lora = LoraSettings(options.lora_r, 2 * options.lora_r, expert_targets=EXPERTS if options.experts else ())
    answer = options.tokens // 4
    rows = []
    print("layers  GiB: plan  GPU  difference  (reserved)   pass, s: plan  GPU")
    with Dryrun() as dryrun:
        for layers in map(int, options.layers.split(",")):
            training = Training(cut(load_config(MODEL), layers), 1, options.tokens, answer, 1, lora)
            planned = dryrun.peak(training).total / GIB
            work = Work(options.tokens, answer, 1, 1, 1, True, not options.experts)
            estimate = compute_seconds(read_model(training.config, lora), GPUS[options.gpu], work)
            found = measure(training)
            apart = planned / found.allocated - 1
            rows.append({"layers": layers, "planned": planned, "estimate": estimate, **vars(found)})
            print(
                f"{layers:6}  {planned:9.2f}  {found.allocated:.2f}  {apart:+9.1%}  ({found.reserved:.2f})   "
                f"{estimate:13.3f}  {found.seconds:.3f}"
            )
    if options.json:
        print(json.dumps({"gpu": torch.cuda.get_device_name(), "tokens": options.tokens, "rows": rows}))


if __name__ == "__main__":
    main(sys.argv[1:])
