"""A supervised step as a plain PyTorch loop."""

import itertools

import torch

import plain
import rounds

given = rounds.workload()
model = plain.Model(given)
optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.0, foreach=True)
batches = []
for start in range(0, len(given.pairs), given.batch):
    pairs = given.pairs[start : start + given.batch]
    batches.append(plain.padded([(pair["prompt"], pair["chosen"]) for pair in pairs]))

timer = rounds.Rounds(given.steps, f"PyTorch {torch.__version__}")
timer.ready()
for ids, real, _ in itertools.cycle(batches):
    timer.see(real)
    optimizer.zero_grad()
    logps = plain.token_logps(model, ids, real)
    (-logps.sum() / real[:, 1:].sum()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    timer.step_done()
