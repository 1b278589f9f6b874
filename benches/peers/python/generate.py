"""Sampling with transformers' `generate` and its key-value cache."""

import torch
import transformers

import rounds

given = rounds.workload()
model = transformers.LlamaForCausalLM(rounds.config(given)).eval()
prompts = torch.tensor([pair["prompt"] for pair in given.pairs[: given.batch]])
timer = rounds.Rounds(given.steps, f"transformers {transformers.__version__}")
timer.ready()
while True:
    sampled = model.generate(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=given.new,
        min_new_tokens=given.new,
        do_sample=True,
        temperature=0.7,
        top_k=0,
        top_p=1.0,
        eos_token_id=None,
        pad_token_id=0,
        use_cache=True,
    )
    assert sampled.shape[1] == prompts.shape[1] + given.new
    timer.step_done()
