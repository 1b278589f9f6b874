"""Tiny checkpoints of every family and what transformers computes with them.

    python generate.py DIR      # writes DIR/models.json and DIR/checkpoints/<name>/

Weights are random. Logits and scores are computed in float64 on unpadded rows with eager attention; greedy continuations
in float32 on a left-padded batch.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

VOCABULARY = 48
ROWS = [[7, 3, 11], [5, 9, 2, 40, 33, 21, 8, 14, 30, 6, 19, 44], [12, 13, 5, 47, 26, 4, 17]]
COMMON = dict(vocab_size=VOCABULARY, initializer_range=0.3, pad_token_id=0, bos_token_id=2, eos_token_id=1)
LLAMA = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, **COMMON,
)
LLAMA3_SCALING = dict(
    rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=8,
)
NEOX = dict(
    hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
    hidden_dropout=0.0, attention_dropout=0.0, **COMMON,
)
GPT2 = dict(n_embd=16, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **COMMON)

# name: (class of the configuration, its values, kind of head, number type)
CASES = {
    "llama3_scaled": ("LlamaConfig", dict(LLAMA, rope_parameters=LLAMA3_SCALING), "causal", "float32"),
    "llama_linear_scaled_tied": (
        "LlamaConfig",
        dict(LLAMA, tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=500.0)),
        "causal", "float32",
    ),
    "llama_biases_wide_heads": (
        "LlamaConfig",
        dict(LLAMA, attention_bias=True, mlp_bias=True, head_dim=8, hidden_act="gelu", rms_norm_eps=1e-3),
        "causal", "float32",
    ),
    "llama_bf16": ("LlamaConfig", LLAMA, "causal", "bfloat16"),
    "llama_f16_score": ("LlamaConfig", LLAMA, "score", "float16"),
    "qwen2_windowed": (
        "Qwen2Config",
        dict(LLAMA, use_sliding_window=True, sliding_window=4, max_window_layers=1, tie_word_embeddings=True),
        "causal", "float32",
    ),
    "qwen2_score": ("Qwen2Config", LLAMA, "score", "float32"),
    "qwen3": ("Qwen3Config", dict(LLAMA, head_dim=12), "causal", "float32"),
    "qwen3_biases_score": ("Qwen3Config", dict(LLAMA, head_dim=8, attention_bias=True), "score", "float32"),
    "mistral": ("MistralConfig", dict(LLAMA, sliding_window=5), "causal", "float32"),
    "mistral_score": ("MistralConfig", dict(LLAMA, sliding_window=None), "score", "float32"),
    "gemma2": (
        "Gemma2Config",
        LLAMA | dict(
            num_hidden_layers=3, head_dim=8, query_pre_attn_scalar=12, sliding_window=4, attn_logit_softcapping=3.0,
            final_logit_softcapping=2.0,
        ),
        "causal", "float32",
    ),
    "gemma2_uncapped_score": (
        "Gemma2Config",
        dict(LLAMA, head_dim=8, attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=4096),
        "score", "float32",
    ),
    "gpt2_layer_scaled": (
        "GPT2Config",
        dict(GPT2, scale_attn_by_inverse_layer_idx=True, n_inner=20, activation_function="relu"),
        "causal", "float32",
    ),
    "gpt2_untied": ("GPT2Config", dict(GPT2, tie_word_embeddings=False), "causal", "float32"),
    "gpt2_score": ("GPT2Config", GPT2, "score", "float32"),
    "pythia": ("GPTNeoXConfig", NEOX, "causal", "float32"),
    "neox_sequential_half_rotated": (
        "GPTNeoXConfig",
        dict(
            NEOX, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True,
            rope_parameters=dict(rope_type="default", rope_theta=2000.0, partial_rotary_factor=0.5),
        ),
        "causal", "float32",
    ),
    "neox_score": ("GPTNeoXConfig", NEOX, "score", "float32"),
}


def padded(side):
    width = max(map(len, ROWS))
    ids, mask = [], []
    for row in ROWS:
        fill = [0] * (width - len(row))
        ids.append(fill + row if side == "left" else row + fill)
        mask.append([0] * len(fill) + [1] * len(row) if side == "left" else [1] * len(row) + [0] * len(fill))
    return dict(input_ids=ids, attention_mask=mask)


def causal_figures(model, exact):
    figures = {}
    logits = [exact(torch.tensor([row])).logits[0] for row in ROWS]
    logps = [
        torch.log_softmax(of_row, -1)[:-1].gather(1, torch.tensor(row[1:])[:, None])[:, 0] for of_row, row in zip(logits, ROWS)
    ]
    for side in ["right", "left"]:
        figures[side] = padded(side) | dict(
            per_sequence_logprob_f64=[of_row.sum().item() for of_row in logps],
            per_token_logprob_f64=[of_row.tolist() for of_row in logps],
            logits_f32_last_real_position=[of_row[-1].float().tolist() for of_row in logits],
            logits_f32_row0_real_positions=logits[0].float().tolist(),
        )
    batch = {key: torch.tensor(value) for key, value in padded("left").items()}
    model.generation_config.eos_token_id = None
    found = model.generate(**batch, do_sample=False, max_new_tokens=12, pad_token_id=0, eos_token_id=None)
    figures["greedy_12"] = dict(note="left padded batch, eos disabled", new_tokens=found[:, -12:].tolist())
    return figures


def score_figures(exact):
    scores = [exact(torch.tensor([row])).logits[0, 0].item() for row in ROWS]
    return {side: padded(side) | dict(scores=scores, scores_f64=scores) for side in ["right", "left"]}


@torch.no_grad()
def main(out):
    models = {}
    for index, (name, (config_class, values, head, number)) in enumerate(CASES.items()):
        torch.manual_seed(index)
        config = getattr(transformers, config_class)(**values)
        config._attn_implementation = "eager"
        kind = AutoModelForCausalLM
        if head == "score":
            config.num_labels = 1
            kind = AutoModelForSequenceClassification
        model = kind.from_config(config)
        for parameter in model.parameters():  # norms and biases too
            parameter.add_(torch.randn_like(parameter) * 0.1)
        directory = out / "checkpoints" / name
        model.to(getattr(torch, number)).save_pretrained(directory)
        model = kind.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
        exact = kind.from_pretrained(directory, dtype=torch.float64, attn_implementation="eager").eval()
        figures = causal_figures(model, exact) if head == "causal" else score_figures(exact)
        figures["param_count"] = sum(parameter.numel() for parameter in model.parameters())
        models[name] = figures
    versions = dict(transformers=transformers.__version__, torch=torch.__version__)
    source = dict(package="transformers", versions=versions, script="generate.py")
    text = json.dumps(dict(source=source, models=models))
    (out / "models.json").write_text(text + "\n")


main(Path(sys.argv[1]))
