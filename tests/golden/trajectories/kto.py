"""Makes kto_*.json: training runs of TRL's KTOTrainer on completions with labels, followed update by update.

    python kto.py

Needs trl 1.16 with transformers and datasets; reads pref_plain.jsonl and a checkpoint beside it.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import accelerate
import datasets
import numpy
import tokenizers
import torch
import transformers
import trl
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import KTOConfig, KTOTrainer

HERE = Path(__file__).resolve().parent
START = "checkpoints/llama_gqa_untied"
# Uneven: more wanted completions than unwanted ones, and updates with one kind alone.
LABELS = [True, True, False, True, True, True, True, True, False, False, True, False, True, True, False, True]

RUNS = {
    "kto": {"loss_type": "kto", "beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.33},
    "apo_zero_unpaired": {
        "loss_type": "apo_zero_unpaired",
        "beta": 0.1,
        "desirable_weight": 0.8,
        "undesirable_weight": 1.0,
        "learning_rate": 2e-4,
    },
}


def rows():
    pairs = [json.loads(line) for line in open(HERE / "pref_plain.jsonl")]
    for pair, wanted in zip(pairs, LABELS):
        yield {
            "prompt": pair["prompt"],
            "completion": pair["chosen" if wanted else "rejected"],
            "label": wanted,
        }


def tensors(model):
    return {name: value.detach().to(torch.float32).contiguous() for name, value in sorted(model.state_dict().items())}


def sha(model):
    digest = hashlib.sha256()
    for name, value in tensors(model).items():
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def run(name, own):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    checkpoint = HERE.parent / START
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    config = {
        "per_device_train_batch_size": 4,
        "max_steps": 20,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "optim": "adamw_torch",
        "weight_decay": 0.01,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "gradient_accumulation_steps": 1,
        "max_grad_norm": 1.0,
        "bf16": False,
        "fp16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "logging_first_step": True,
        "disable_tqdm": True,
        "report_to": [],
        "save_strategy": "no",
        "seed": 0,
        "data_seed": 0,
        "use_cpu": True,
        "dataloader_num_workers": 0,
        "disable_dropout": True,
        "max_length": 128,
        **own,
    }
    start = sha(model)
    with tempfile.TemporaryDirectory() as out:
        trainer = KTOTrainer(
            model=model,
            args=KTOConfig(output_dir=out, **config),
            train_dataset=datasets.Dataset.from_list(list(rows())),
            processing_class=tokenizer,
        )
        keys = ["prompt_ids", "completion_ids", "label"]
        processed = [{key: row[key] for key in keys} for row in trainer.train_dataset]
        trainer.train()
    figures = {}
    for name_, value in tensors(trainer.model).items():
        value = value.to(torch.float64)
        figures[name_] = {
            "shape": list(value.shape),
            "sum": value.sum().item(),
            "sumsq": (value * value).sum().item(),
            "first4": value.flatten()[:4].tolist(),
        }
    decayed = trainer.get_decay_parameter_names(trainer.model)
    names = [name_ for name_, _ in trainer.model.named_parameters()]
    found = {
        "start": START,
        "source": {
            "package": "trl",
            "versions": {
                module.__name__: module.__version__
                for module in [trl, transformers, torch, accelerate, datasets, tokenizers, numpy]
            },
            "trainer": "KTOTrainer",
            "note": "sequential order; 16 rows, batch 4; the baseline's completions rotate by one within each batch",
            "script": "kto.py",
        },
        "config": config,
        "weight_decay_groups": [
            {"weight_decay": config["weight_decay"], "params": [n for n in names if n in decayed]},
            {"weight_decay": 0.0, "params": [n for n in names if n not in decayed]},
        ],
        "processed_rows": processed,
        "init_weights_sha": start,
        "logs": trainer.state.log_history,
        "final_weights": {"tensors": figures},
    }
    (HERE / f"kto_{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    for name, own in RUNS.items():
        run(name, own)
