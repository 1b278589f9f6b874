"""TRL's supervised trainer."""

import rounds

given = rounds.workload()

import trl
from datasets import Dataset
from transformers import LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

data = Dataset.from_list(
    [{"input_ids": pair["prompt"] + pair["chosen"]} for pair in given.pairs]
)
timer = rounds.Rounds(given.steps, f"TRL {trl.__version__}")
trainer = SFTTrainer(
    model=LlamaForCausalLM(rounds.config(given)),
    args=SFTConfig(
        **rounds.arguments(given, max_steps=rounds.ENDLESS), max_length=given.model["context"]
    ),
    train_dataset=data,
    processing_class=rounds.tokenizer(given),
    callbacks=[rounds.callback(timer)],
)
rounds.in_order(trainer, timer).train()
