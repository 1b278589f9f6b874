"""TRL's PPO trainer: a step is a rollout and the updates on it."""

import rounds

given = rounds.workload()

import trl
from datasets import Dataset
from transformers import LlamaForCausalLM, LlamaForSequenceClassification
from trl.experimental.ppo import PPOConfig, PPOTrainer

data = Dataset.from_list([{"input_ids": pair["prompt"]} for pair in given.pairs])
policy = LlamaForCausalLM(rounds.config(given))
reference = LlamaForCausalLM(rounds.config(given))
reference.load_state_dict(policy.state_dict())
scalar = lambda: LlamaForSequenceClassification(rounds.config(given, num_labels=1))
timer = rounds.Rounds(given.steps, f"TRL {trl.__version__}")
settings = rounds.arguments(given)
settings["per_device_train_batch_size"] = given.micro_batch
settings["learning_rate"] = 1e-5
trainer = PPOTrainer(
    args=PPOConfig(
        **settings,
        gradient_accumulation_steps=given.batch // given.micro_batch,
        num_mini_batches=1,
        num_ppo_epochs=given.epochs,
        total_episodes=given.batch * 1000,
        response_length=given.new,
        num_sample_generations=0,
        local_rollout_forward_batch_size=given.batch,
        stop_token=None,
    ),
    processing_class=rounds.tokenizer(given),
    model=policy,
    ref_model=reference,
    reward_model=scalar(),
    value_model=scalar(),
    train_dataset=data,
    callbacks=[rounds.callback(timer)],
)
trainer.train()
