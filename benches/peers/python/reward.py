"""TRL's reward trainer."""

import rounds

given = rounds.workload()

import trl
from datasets import Dataset
from transformers import LlamaForSequenceClassification
from trl import RewardConfig, RewardTrainer

data = Dataset.from_list(
    [
        {
            "chosen_ids": pair["prompt"] + pair["chosen"],
            "rejected_ids": pair["prompt"] + pair["rejected"],
        }
        for pair in given.pairs
    ]
)
timer = rounds.Rounds(given.steps, f"TRL {trl.__version__}")
trainer = RewardTrainer(
    model=LlamaForSequenceClassification(rounds.config(given, num_labels=1)),
    args=RewardConfig(
        **rounds.arguments(given, max_steps=rounds.ENDLESS), max_length=given.model["context"]
    ),
    train_dataset=data,
    processing_class=rounds.tokenizer(given),
    callbacks=[rounds.callback(timer)],
)
rounds.in_order(trainer, timer).train()
