"""The same case in PyTorch and transformers: SDPA attention, bfloat16 by autocast over 32-bit weights, fused AdamW.

Prints a line of JSON, as `benches/gpu/main.rs` does. Tokens follow the same rule, so both sides train on the same ids.
"""

import argparse
import json
import resource
import subprocess
import time

import torch
import torch.nn.functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

SHAPES = {
    "tiny": dict(width=64, layers=2, heads=4, kv=2, ffn=160, vocabulary=512, rows=4, micro=2, prompt=12, completion=16),
    "qwen2-0.5b": dict(width=896, layers=24, heads=14, kv=2, ffn=4864, vocabulary=151936, rows=16, micro=4, prompt=128,
                       completion=256),
}
parser = argparse.ArgumentParser()
parser.add_argument("case", choices=["dpo", "reward", "ppo", "generate"])
parser.add_argument("--device", default="cpu")
parser.add_argument("--shape", choices=SHAPES, default="tiny")
parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
parser.add_argument("--recompute", action="store_true")
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--warmup", type=int, default=3)
given = parser.parse_args()
shape = argparse.Namespace(**SHAPES[given.shape])
device = torch.device(given.device)
torch.manual_seed(0)
torch.backends.cuda.matmul.allow_tf32 = given.precision == "bf16"

config = Qwen2Config(
    vocab_size=shape.vocabulary, hidden_size=shape.width, num_hidden_layers=shape.layers,
    num_attention_heads=shape.heads, num_key_value_heads=shape.kv, intermediate_size=shape.ffn,
    max_position_embeddings=32768, tie_word_embeddings=True, attn_implementation="sdpa", pad_token_id=0, num_labels=1,
    eos_token_id=None, bos_token_id=None,
)


def model(kind):
    made = kind(config).to(device)
    if given.recompute:
        made.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return made.train()


def numbers():
    return torch.autocast(device.type, torch.bfloat16, enabled=given.precision == "bf16")


def optimizer(*models):
    parameters = [p for m in models for p in m.parameters()]
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0, fused=True)


def tokens(row, start, count):
    places = torch.arange(start, start + count)
    return 4 + (row * 7919 + places * 104_729) % (shape.vocabulary - 4)


prompts = torch.stack([tokens(row, 0, shape.prompt) for row in range(shape.rows)]).to(device)
chosen = torch.stack([tokens(row, 1000, shape.completion) for row in range(shape.rows)]).to(device)
rejected = torch.stack([tokens(row, 2000, shape.completion) for row in range(shape.rows)]).to(device)
both = lambda rows: torch.cat([torch.cat([prompts[rows], side[rows]], 1) for side in (chosen, rejected)])


def completion_logps(policy, ids):
    """Log-prob of each completion token, `[b, c]`, in 32 bits; the head at completion positions alone."""
    hidden = policy.model(ids).last_hidden_state[:, shape.prompt - 1 : -1]
    logits = policy.lm_head(hidden).float()
    targets = ids[:, shape.prompt :]
    return -F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


def clipped(update, *models):
    norm = torch.nn.utils.clip_grad_norm_([p for m in models for p in m.parameters()], 1.0)
    update.step()
    update.zero_grad(set_to_none=True)
    return float(norm)


def micro_batches():
    return [slice(first, first + shape.micro) for first in range(0, shape.rows, shape.micro)]


def dpo():
    policy = model(Qwen2ForCausalLM)
    update = optimizer(policy)
    with torch.no_grad(), numbers():
        reference = [completion_logps(policy, both(rows)).sum(1) for rows in micro_batches()]

    def step():
        for rows, known in zip(micro_batches(), reference):
            with numbers():
                ratio = completion_logps(policy, both(rows)).sum(1) - known
            better, worse = ratio.chunk(2)
            loss = -F.logsigmoid(0.1 * (better - worse)).sum() / shape.rows
            loss.backward()
        clipped(update, policy)

    return step, 2 * shape.rows * (shape.prompt + shape.completion)


def reward():
    scorer = model(Qwen2ForSequenceClassification)
    update = optimizer(scorer)

    def step():
        for rows in micro_batches():
            with numbers():
                score = scorer.score(scorer.model(both(rows)).last_hidden_state[:, -1]).float().squeeze(1)
            better, worse = score.chunk(2)
            (-F.logsigmoid(better - worse).sum() / shape.rows).backward()
        clipped(update, scorer)

    return step, 2 * shape.rows * (shape.prompt + shape.completion)


def sampled(policy):
    policy.eval()
    with torch.no_grad(), numbers():
        rows = policy.generate(
            input_ids=prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=shape.completion,
            min_new_tokens=shape.completion, do_sample=True, top_k=0, top_p=1.0, use_cache=True,
        )
    policy.train()
    assert rows.shape[1] == shape.prompt + shape.completion
    return rows


def generate():
    policy = model(Qwen2ForCausalLM)
    return lambda: sampled(policy), shape.rows * shape.completion


def ppo():
    """A rollout of all rows, its scores, values and log-probs, and four passes over it."""
    policy, value = model(Qwen2ForCausalLM), model(Qwen2ForSequenceClassification)
    reference, scorer = model(Qwen2ForCausalLM).eval(), model(Qwen2ForSequenceClassification).eval()
    updates = [(optimizer(policy), policy), (optimizer(value), value)]

    def values_of(made, ids):
        hidden = made.model(ids).last_hidden_state[:, shape.prompt - 1 : -1]
        return made.score(hidden).float().squeeze(2)

    def step():
        rows = sampled(policy)
        parts = micro_batches()
        with torch.no_grad(), numbers():
            old = torch.cat([completion_logps(policy, rows[part]) for part in parts])
            known = torch.cat([completion_logps(reference, rows[part]) for part in parts])
            values = torch.cat([values_of(value, rows[part]) for part in parts])
            scores = torch.cat(
                [scorer.score(scorer.model(rows[part]).last_hidden_state[:, -1]).float().squeeze(1) for part in parts]
            )
        rewards = -0.05 * (old - known)
        rewards[:, -1] += scores
        advantages, last = torch.zeros_like(rewards), torch.zeros(len(rows), device=device)
        for place in reversed(range(shape.completion)):
            after = values[:, place + 1] if place + 1 < shape.completion else 0.0
            last = rewards[:, place] + after - values[:, place] + 0.95 * last
            advantages[:, place] = last
        returns = advantages + values
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        for _ in range(4):
            for part in parts:
                share = 1.0 / len(parts)
                with numbers():
                    ratio = (completion_logps(policy, rows[part]) - old[part]).exp()
                a = advantages[part]
                (torch.max(-a * ratio, -a * ratio.clamp(0.8, 1.2)).mean() * share).backward()
                with numbers():
                    now = values_of(value, rows[part])
                (0.05 * (now - returns[part]).square().mean() * share).backward()
            for update, made in updates:
                clipped(update, made)

    return step, shape.rows * shape.completion


def memory():
    """MiB: the device's most where there is one, else the most resident memory of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def finish():
    if device.type == "cuda":
        torch.cuda.synchronize(device)


step, count = globals()[given.case]()
seconds = []
for number in range(given.warmup + given.steps):
    finish()
    begun = time.perf_counter()
    step()
    finish()
    if number >= given.warmup:
        seconds.append(time.perf_counter() - begun)
seconds.sort()
print(json.dumps(dict(
    case=given.case, seconds=seconds[len(seconds) // 2], least=seconds[0], most=seconds[-1], tokens=count,
    memory=memory(), version=f"torch {torch.__version__}",
)))
