"""What every peer shares: the workload, the model it describes, and rounds on command.

The runner writes `go` and waits for `@round {..}`; anything else it writes ends the process.
"""

import argparse
import json
import os
import sys
import time

import torch


def workload(**options):
    """The workload named on the command line, with more options as attributes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    for name, default in options.items():
        parser.add_argument(f"--{name}", default=default)
    arguments = parser.parse_args()
    with open(arguments.workload) as file:
        given = argparse.Namespace(**json.load(file))
    for name in options:
        setattr(given, name, getattr(arguments, name))
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    return given


class Rounds:
    """Times rounds of `steps` steps; padding is counted where batches are shown to it."""

    def __init__(self, steps, library):
        self.steps, self.library = steps, library
        self.done = self.cells = self.real = 0

    def see(self, mask):
        self.cells += mask.numel()
        self.real += int(mask.sum())

    def ready(self):
        self._say("ready", {"library": self.library})
        self._wait()

    def step_done(self):
        self.done += 1
        if self.done % self.steps == 0:
            seconds = time.perf_counter() - self.begun
            padding = 1 - self.real / self.cells if self.cells else 0.0
            self._say("round", {"seconds": seconds, "padding": padding})
            self._wait()

    def _wait(self):
        if sys.stdin.readline().strip() != "go":
            os._exit(0)
        self.begun = time.perf_counter()

    def _say(self, what, value):
        print(f"@{what} {json.dumps(value)}", flush=True)


def callback(rounds):
    """A trainer's callback that keeps `rounds`."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):
        def on_train_begin(self, *_, **__):
            rounds.ready()

        def on_step_end(self, *_, **__):
            rounds.step_done()

    return Callback()


def config(given, **more):
    from transformers import LlamaConfig

    shape = given.model
    made = LlamaConfig(
        vocab_size=given.vocabulary,
        hidden_size=shape["width"],
        intermediate_size=shape["feedforward"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=shape["context"],
        tie_word_embeddings=shape["tied"],
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        **more,
    )
    made._attn_implementation = "sdpa"
    return made


def word(token):
    return f"w{token}"


def tokenizer(given):
    """One word for each token, so that text becomes exactly the ids of the workload."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3}
    words.update({word(token): token for token in range(4, given.vocabulary)})
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="left",
    )


def arguments(given, **more):
    """Settings of a trainer: AdamW, single precision on the CPU, nothing written, nothing logged."""
    import tempfile

    return dict(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=given.batch,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        logging_steps=1_000_000,
        report_to=[],
        save_strategy="no",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
        **more,
    )


ENDLESS = 1_000_000


def in_order(trainer, rounds):
    """Lets `trainer` take its examples as they stand, and `rounds` see every batch."""
    from torch.utils.data import SequentialSampler

    trainer._get_train_sampler = lambda *_, **__: SequentialSampler(trainer.train_dataset)
    collate = trainer.data_collator

    def seen(rows):
        batch = collate(rows)
        masks = [value for name, value in batch.items() if name.endswith("attention_mask")]
        for mask in masks:
            rounds.see(mask)
        return batch

    trainer.data_collator = seen
    return trainer
