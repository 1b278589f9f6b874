"""One run of the toy model as a plain PyTorch loop: DPO, 4 prompts, 10 responses, width 32, Adam.

Prints microseconds per update and updates per second. Beside `cargo bench --bench main -- toy`, on the same quiet
machine:

    python benches/peers/toy_torch.py [updates]
"""

import sys
import time

import torch
import torch.nn.functional as F


def network(width: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(4, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, 10),
    )


def main() -> None:
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    torch.manual_seed(0)
    torch.set_num_threads(1)
    prompts = torch.eye(4)
    chosen = torch.arange(4)
    policy = network(32)
    with torch.no_grad():
        start = F.log_softmax(policy(prompts), dim=-1)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)

    def update() -> None:
        rejected = torch.randint(4, 8, (4, 1))
        pair = torch.cat([chosen[:, None], rejected], dim=1)
        ratios = (F.log_softmax(policy(prompts), dim=-1) - start).gather(1, pair)
        loss = -F.logsigmoid(0.1 * (ratios[:, 0] - ratios[:, 1])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(200):
        update()
    began = time.perf_counter()
    for _ in range(updates):
        update()
    seconds = time.perf_counter() - began
    print(f"{1e6 * seconds / updates:.1f} us per update, {updates / seconds:.0f} updates/s")


if __name__ == "__main__":
    main()
