"""Log-probabilities of each built-in model in vLLM, beside transformers': run by test_tiny in a process of its own."""

import json
import os
import sys
from pathlib import Path

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}

import torch
from transformers import AutoModelForCausalLM
from vllm import LLM, SamplingParams
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

from llm.models import load_tokenizer
from llm.tiny import MODELS, tiny_model

DTYPES = {"tiny": "float32", "tiny-qwen3-moe": "float32", "tiny-gpt-oss": "bfloat16"}
PROMPTS = [[2, 5, 70 + i, 90, 300 + i, 40, 12] for i in range(4)]


def widened(name: str, folder: Path) -> Path:
    """The model with larger weights: with its first ones every token is about as likely, whatever the layers do."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model(name))
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1 and "bias" not in key:
                parameter.normal_(0, 0.3 if "embed" in key or "lm_head" in key else 0.08)
            elif "bias" in key or "sinks" in key:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    load_tokenizer(tiny_model(name)).save_pretrained(folder)
    return folder


def difference(folder: Path, dtype: str) -> dict[str, float]:
    """Between the log-probabilities of sampled tokens, and how far these spread."""
    engine = LLM(str(folder), dtype=dtype, enforce_eager=True, max_model_len=128, max_num_seqs=4, seed=0)
    answers = engine.generate(
        [{"prompt_token_ids": ids} for ids in PROMPTS],
        SamplingParams(max_tokens=8, temperature=1.0, seed=3, logprobs=0, ignore_eos=True),
        use_tqdm=False,
    )
    del engine
    cleanup_dist_env_and_memory()
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="eager"
    ).eval()
    ours, theirs = [], []
    for ids, answer in zip(PROMPTS, answers, strict=True):
        tokens = list(answer.outputs[0].token_ids)
        with torch.inference_mode():
            logits = model(torch.tensor([ids + tokens])).logits[0, len(ids) - 1 : -1].float()
        ours += logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
        theirs += [step[token].logprob for step, token in zip(answer.outputs[0].logprobs, tokens, strict=True)]
    differences = (torch.tensor(ours) - torch.tensor(theirs)).abs()
    return {
        "largest": float(differences.max()),
        "median": float(differences.median()),
        "spread": float(torch.tensor(ours).std()),
    }


results = {name: difference(widened(name, Path(sys.argv[1]) / name), DTYPES[name]) for name in MODELS}
print(json.dumps(results))
