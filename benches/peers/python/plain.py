"""A Llama decoder in plain PyTorch, with its fused attention and RMSNorm."""

import torch
import torch.nn.functional as F
from torch import nn


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-6)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, heads, groups = shape["width"], shape["heads"], shape["kv_heads"]
        self.heads, self.groups, self.head = heads, groups, width // heads
        linear = lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False)
        self.before_attention, self.before_mlp = RmsNorm(width), RmsNorm(width)
        self.qkv = linear(width, (heads + 2 * groups) * self.head)
        self.out = linear(width, width)
        self.gate_up = linear(width, 2 * shape["feedforward"])
        self.down = linear(shape["feedforward"], width)

    def forward(self, x, cosine, sine):
        b, t, width = x.shape
        sizes = [self.heads, self.groups, self.groups]
        qkv = self.qkv(self.before_attention(x)).view(b, t, sum(sizes), self.head)
        q, k, v = qkv.transpose(1, 2).split(sizes, 1)

        def turned(z):
            first, second = z.chunk(2, -1)
            return z * cosine + torch.cat([-second, first], -1) * sine

        y = F.scaled_dot_product_attention(
            turned(q), turned(k), v, is_causal=True, enable_gqa=True
        )
        x = x + self.out(y.transpose(1, 2).reshape(b, t, width))
        gate, up = self.gate_up(self.before_mlp(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, given):
        super().__init__()
        shape = given.model
        self.embedding = nn.Embedding(given.vocabulary, shape["width"])
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.norm = RmsNorm(shape["width"])
        self.head = nn.Linear(shape["width"], given.vocabulary, bias=False)
        half = shape["width"] // shape["heads"] // 2
        frequencies = 10_000.0 ** (-torch.arange(half) / half)
        angles = torch.outer(torch.arange(shape["context"]), frequencies)
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def forward(self, ids):
        x, t = self.embedding(ids), ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cosine[:t], self.sine[:t])
        return self.head(self.norm(x))


def token_logps(model, ids, counted):
    """Log-probs of the tokens after the first, 0 where they do not count."""
    targets = torch.where(counted[:, 1:], ids[:, 1:], -100)
    logits = model(ids)[:, :-1].flatten(0, 1)
    return -F.cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets)


def padded(rows):
    """Rows of (prompt, completion) padded on the right: ids, what is real, what is completion."""
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    real, counted = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        ids[row, :end] = torch.tensor(prompt + completion)
        real[row, :end] = True
        counted[row, len(prompt) : end] = True
    return ids, real, counted
