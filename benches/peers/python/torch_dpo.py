"""A DPO step as a plain PyTorch loop, the reference log-probs computed beforehand."""

import itertools

import torch
import torch.nn.functional as F

import plain
import rounds

given = rounds.workload()
model = plain.Model(given)
optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.0, foreach=True)
batches = []
for start in range(0, len(given.pairs), given.batch):
    pairs = given.pairs[start : start + given.batch]
    rows = [(pair["prompt"], pair[side]) for side in ("chosen", "rejected") for pair in pairs]
    ids, real, counted = plain.padded(rows)
    with torch.no_grad():
        reference = plain.token_logps(model, ids, counted).sum(1)
    batches.append((ids, real, counted, reference))

timer = rounds.Rounds(given.steps, f"PyTorch {torch.__version__}")
timer.ready()
for ids, real, counted, reference in itertools.cycle(batches):
    timer.see(real)
    optimizer.zero_grad()
    ratios = plain.token_logps(model, ids, counted).sum(1) - reference
    chosen, rejected = ratios.chunk(2)
    (-F.logsigmoid(0.1 * (chosen - rejected))).mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    timer.step_done()
