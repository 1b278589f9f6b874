"""TRL's DPO trainer; `--reference cached` computes the reference log-probs once, `recomputed` at every step."""

import rounds

given = rounds.workload(reference="recomputed")

import trl
from datasets import Dataset
from transformers import LlamaForCausalLM
from trl import DPOConfig, DPOTrainer

# The trainer adds the end-of-sequence token itself.
text = lambda ids: " ".join(map(rounds.word, ids))
data = Dataset.from_list(
    [
        {
            "prompt": text(pair["prompt"]),
            "chosen": " " + text(pair["chosen"][:-1]),
            "rejected": " " + text(pair["rejected"][:-1]),
        }
        for pair in given.pairs
    ]
)
policy = LlamaForCausalLM(rounds.config(given))
cached = given.reference == "cached"
reference = None
if not cached:
    reference = LlamaForCausalLM(rounds.config(given))
    reference.load_state_dict(policy.state_dict())
timer = rounds.Rounds(given.steps, f"TRL {trl.__version__}")
settings = DPOConfig(
    **rounds.arguments(given, max_steps=rounds.ENDLESS),
    max_length=given.model["context"],
    precompute_ref_log_probs=cached,
)
trainer = DPOTrainer(
    model=policy,
    ref_model=reference,
    args=settings,
    train_dataset=data,
    processing_class=rounds.tokenizer(given),
    callbacks=[rounds.callback(timer)],
)
rounds.in_order(trainer, timer).train()
