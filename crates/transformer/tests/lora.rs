//! Low-rank adapters: what they compute, what they train, and that PEFT reads them.

use std::path::Path;
use std::process::Command;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use preflab_config::{LoraSettings, SamplingSettings};
use preflab_transformer::checkpoint::{self, Config, SaveOptions, SpecialTokens, weights_hash};
use preflab_transformer::{
    Architecture, CausalLm, Completions, Family, Model, ScalarModel, Sequences, gradients, lora,
};
use serde_json::json;

use crate::golden::checkpoints;
use crate::support::{VOCABULARY, architecture, assert_close, floats, settings, tokens};

fn lora_settings(text: &str) -> LoraSettings {
    toml::from_str(text).unwrap()
}

fn llama(device: &Device) -> CausalLm {
    CausalLm::init(&architecture(), 11, device)
}

/// Gives every adapter numbers that are not zero: an adapter as training leaves it.
struct Trained(u32);

impl ModuleMapper for Trained {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !parameter.is_require_grad() {
            return parameter;
        }
        let shape = parameter.shape();
        let count: usize = shape.num_elements();
        self.0 += 1;
        let values: Vec<f32> = (0..count)
            .map(|i| 0.3 * ((i as f32 + 1.7) * (self.0 as f32 + 0.3)).sin())
            .collect();
        parameter.map(|old| {
            let new = Tensor::from_data(TensorData::new(values, shape), &old.device());
            new.set_require_grad(true)
        })
    }
}

fn trained<M: Model>(model: M) -> M {
    model.map(&mut Trained(0))
}

fn row() -> Sequences {
    Sequences::right_padded(&[&[7, 3, 11, 20, 9]], &Device::flex())
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    let device = Device::flex().autodiff();
    let base = llama(&device);
    let adapted = lora::attach(base.clone(), Family::Llama, &lora_settings("rank = 4"), 3).unwrap();
    assert!(lora::is_adapted(&adapted) && !lora::is_adapted(&base));
    let logits = |model: &CausalLm| floats(model.valid().forward(&row()));
    assert_eq!(logits(&adapted), logits(&base));
    assert_eq!(logits(&lora::merged(&adapted)), logits(&base));
    assert_eq!(
        weights_hash(&lora::merged(&adapted)),
        weights_hash(&base.valid())
    );
}

#[test]
fn merged_equals_unmerged() {
    for (path, scalar) in checkpoints() {
        let device = Device::flex().autodiff();
        let settings = lora_settings("rank = 3\nalpha = 6");
        let apart = if scalar {
            let (model, config) = checkpoint::load::<ScalarModel>(&path, &device).unwrap();
            let model = trained(lora::attach(model, config.family(), &settings, 3).unwrap());
            let found = floats(lora::merged(&model).scores(&row()));
            apart(&found, &floats(model.valid().scores(&row())))
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            let base = floats(model.valid().forward(&row()));
            let model = trained(lora::attach(model, config.family(), &settings, 3).unwrap());
            let found = floats(lora::merged(&model).forward(&row()));
            assert!(
                apart(&found, &base) > 0.01,
                "the adapters of {path:?} do nothing"
            );
            apart(&found, &floats(model.valid().forward(&row())))
        };
        assert!(apart < 1e-5, "{path:?}: {apart}");
    }
}

/// Largest difference, by the size of the numbers.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let size = expected.iter().fold(1.0f32, |size, x| size.max(x.abs()));
    let both = found.iter().zip(expected);
    both.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size
}

#[test]
fn only_the_adapters_and_the_head_are_trained() {
    struct Named<'a> {
        path: Vec<String>,
        gradients: &'a GradientsParams,
        found: Vec<String>,
    }
    impl ModuleVisitor for Named<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if self.gradients.get::<D>(parameter.id).is_some() {
                self.found.push(self.path.join("."));
            }
        }
    }
    let device = Device::flex().autodiff();
    let base = llama(&device);
    let settings = lora_settings("rank = 4\ntargets = [\"q_proj\", \"down_proj\"]");
    let value = ScalarModel::from_decoder(&base.decoder, 0.1, 1);
    let value = lora::attach(value, Family::Llama, &settings, 3).unwrap();
    let text = tokens(9, 1);
    let batch = Completions::new(&[(&text[..4], &text[4..])], &value.device());
    let gradients = gradients(&value, value.values(&batch).sum());
    let mut named = Named {
        path: Vec::new(),
        gradients: &gradients,
        found: Vec::new(),
    };
    value.visit(&mut named);
    let mut expected: Vec<String> = (0..2)
        .flat_map(|index| {
            ["self_attn.q_proj", "mlp.down_proj"].map(|name| {
                ["a", "b"].map(|leaf| format!("decoder.layers.{index}.{name}.adapter.{leaf}"))
            })
        })
        .flatten()
        .collect();
    expected.push("score.weight".to_owned());
    assert_eq!(named.found, expected);
    let [d, f] = [24, 48];
    assert_eq!(
        lora::trained_parameters(&value),
        2 * 4 * ((d + d) + (f + d)) + d
    );
}

#[test]
fn gradients_equal_central_differences() {
    // GPT-2 has one adapter for queries, keys and values, Llama three.
    for (family, name) in [(Family::Llama, "llama_gqa_untied"), (Family::Gpt2, "gpt2")] {
        let (path, _) = checkpoints()
            .into_iter()
            .find(|(path, _)| path.ends_with(name))
            .unwrap();
        let device = Device::flex().autodiff();
        let (model, _) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
        let settings = lora_settings("rank = 2\nalpha = 3");
        let model = trained(lora::attach(model, family, &settings, 3).unwrap());
        let text = tokens(9, 1);
        let batch = Completions::new(&[(&text[..4], &text[4..])], &model.device());
        let loss = |model: &CausalLm| model.completion_logps(&batch, 1.0).sum().sum();
        let found = gradients(&model, loss(&model));
        let mut checked = 0;
        for number in 0..lora_parameters(&model) {
            let difference = |step: f32| {
                let moved = model.clone().map(&mut Moved {
                    number,
                    step,
                    at: 0,
                });
                f64::from(floats(loss(&moved.valid()))[0])
            };
            let step = 1e-2;
            let expected = (difference(step) - difference(-step)) / (2.0 * f64::from(step));
            let mut read = Read {
                gradients: &found,
                number,
                at: 0,
                value: 0.0,
            };
            model.visit(&mut read);
            let gradient = f64::from(read.value);
            assert!(
                (gradient - expected).abs() < 2e-3 * expected.abs().max(1.0),
                "{name}, adapter {number}: {gradient}, by differences {expected}"
            );
            checked += 1;
        }
        assert!(checked >= 20, "{checked} adapters checked");
    }
}

fn lora_parameters(model: &CausalLm) -> usize {
    let mut read = Read {
        gradients: &GradientsParams::new(),
        number: usize::MAX,
        at: 0,
        value: 0.0,
    };
    model.visit(&mut read);
    read.at
}

/// Moves the first element of the trained parameter `number`.
struct Moved {
    number: usize,
    step: f32,
    at: usize,
}

impl ModuleMapper for Moved {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !parameter.is_require_grad() {
            return parameter;
        }
        let here = self.at == self.number;
        self.at += 1;
        if !here {
            return parameter;
        }
        let step = self.step;
        parameter.map(|old| {
            let (shape, device) = (old.shape(), old.device());
            let mut values = floats(old);
            values[0] += step;
            Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
        })
    }
}

/// Reads the gradient of the first element of the trained parameter `number`.
struct Read<'a> {
    gradients: &'a GradientsParams,
    number: usize,
    at: usize,
    value: f32,
}

impl ModuleVisitor for Read<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if !parameter.is_require_grad() {
            return;
        }
        if self.at == self.number {
            let gradient = self.gradients.get::<D>(parameter.id).expect("a gradient");
            self.value = floats(gradient)[0];
        }
        self.at += 1;
    }
}

#[test]
fn sampling_follows_the_adapters() {
    let device = Device::flex().autodiff();
    let model = trained(
        lora::attach(llama(&device), Family::Llama, &lora_settings("rank = 4"), 3).unwrap(),
    );
    let prompt = tokens(4, 1);
    let sampled = &model.generate(
        std::slice::from_ref(&prompt),
        &[5],
        &SamplingSettings::default(),
        &[],
    )[0];
    let batch = Completions::new(&[(&prompt, &sampled.tokens)], &model.device());
    let logps = floats(model.valid().completion_logps(&batch, 1.0).logps);
    assert_close(&sampled.logps, &logps, 1e-4);
}

#[test]
fn adapters_are_read_back_as_they_were_written() {
    for (path, scalar) in checkpoints() {
        let dir = tempfile::tempdir().unwrap();
        let device = Device::flex().autodiff();
        let settings = lora_settings("rank = 3\nalpha = 5");
        if scalar {
            let (base, config) = checkpoint::load::<ScalarModel>(&path, &device).unwrap();
            round_trip(base, &config, &settings, dir.path(), |model| {
                floats(model.valid().scores(&row()))
            });
        } else {
            let (base, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            round_trip(base, &config, &settings, dir.path(), |model| {
                floats(model.valid().forward(&row()))
            });
        }
    }
}

fn round_trip<M: Model>(
    base: M,
    config: &Config,
    settings: &LoraSettings,
    dir: &Path,
    outputs: impl Fn(&M) -> Vec<f32>,
) {
    let model = trained(lora::attach(base.clone(), config.family(), settings, 3).unwrap());
    lora::save(&model, config, "base", dir).unwrap();
    let back = lora::load(base, config, dir).unwrap();
    assert_eq!(weights_hash(&back), weights_hash(&model));
    assert_eq!(outputs(&back), outputs(&model));
    assert_eq!(
        lora::trained_parameters(&back),
        lora::trained_parameters(&model)
    );
}

#[test]
fn a_saved_checkpoint_holds_the_merged_weights() {
    let (path, _) = checkpoints()
        .into_iter()
        .find(|(path, _)| path.ends_with("gpt2"))
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex().autodiff();
    let (base, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
    let model =
        trained(lora::attach(base, config.family(), &lora_settings("rank = 3"), 3).unwrap());
    checkpoint::save(&model, &config, SaveOptions::default(), dir.path()).unwrap();
    let (back, _) = checkpoint::load::<CausalLm>(dir.path(), &Device::flex()).unwrap();
    assert!(!lora::is_adapted(&back));
    assert_close(
        &floats(back.forward(&row())),
        &floats(model.valid().forward(&row())),
        1e-4,
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let model = llama(&device);
    let missing = lora_settings("targets = [\"q_proj\", \"c_attn\"]");
    let error = lora::attach(model.clone(), Family::Llama, &missing, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`lora.targets`: a llama model has no projection `c_attn`\n\nhint: it has q_proj, k_proj, v_proj, o_proj, \
         gate_proj, up_proj, down_proj"
    );
    let plain = lora_settings("");
    let adapted = lora::attach(model.clone(), Family::Llama, &plain, 1).unwrap();
    let twice = lora::attach(adapted.clone(), Family::Llama, &plain, 1).unwrap_err();
    assert_eq!(twice, lora::LoraError::Adapted);

    let config = Config::llama(&architecture(), &SpecialTokens::default());
    let dir = tempfile::tempdir().unwrap();
    let error = lora::save(&model, &config, "base", dir.path()).unwrap_err();
    assert!(error.to_string().ends_with("no adapter of any projection"));
    lora::save(&adapted, &config, "base", dir.path()).unwrap();
    let path = dir.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let refused = |key: &str, value: serde_json::Value, expected: &str| {
        let mut values: serde_json::Value = serde_json::from_str(&text).unwrap();
        values[key] = value;
        std::fs::write(&path, values.to_string()).unwrap();
        let error = lora::load(model.clone(), &config, dir.path()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(&format!("`{key}`: expected {expected}")),
            "{message}"
        );
    };
    refused("use_dora", json!(true), "false: DoRA");
    refused("bias", json!("all"), "\"none\"");
    refused("peft_type", json!("IA3"), "\"LORA\"");
    refused("rank_pattern", json!({ "q_proj": 4 }), "{}");
    refused("lora_alpha", json!(-1), "a number above 0");
    refused("r", json!(0), "a whole number above 0");
    let mut values: serde_json::Value = serde_json::from_str(&text).unwrap();
    values["r"] = json!(9);
    std::fs::write(&path, values.to_string()).unwrap();
    let error = lora::load(model, &config, dir.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("lora_A.weight` has shape [8, 24], expected [9, 24]"),
        "{error}"
    );
}

#[test]
fn an_adapter_of_some_projections_names_them_whole() {
    let (path, _) = checkpoints()
        .into_iter()
        .find(|(path, _)| path.ends_with("gpt2"))
        .unwrap();
    let device = Device::flex();
    let (base, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
    let all = lora_settings("targets = [\"c_proj\", \"c_attn\"]");
    let mut model = lora::attach(base, Family::Gpt2, &all, 1).unwrap();
    model.decoder.layers[0].mlp.down_proj.adapter = None;
    let dir = tempfile::tempdir().unwrap();
    lora::save(&model, &config, "base", dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    let values: serde_json::Value = serde_json::from_str(&text).unwrap();
    let targets: Vec<&str> = values["target_modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(targets.contains(&"c_attn"));
    assert!(targets.contains(&"transformer.h.0.attn.c_proj"));
    assert!(!targets.contains(&"c_proj") && !targets.contains(&"transformer.h.0.mlp.c_proj"));
}

const PROGRAM: &str = r#"
import json, sys, torch
from peft import PeftModel, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
for case in json.load(open(sys.argv[1])):
    kind = AutoModelForSequenceClassification if case["scalar"] else AutoModelForCausalLM
    row = torch.tensor([case["row"]])
    base = kind.from_pretrained(case["base"], dtype=torch.float32)
    model = PeftModel.from_pretrained(base, case["dir"]).eval()
    with torch.no_grad():
        found = model(row).logits.flatten()
    difference = (found - torch.tensor(case["expected"])).abs().max().item()
    assert difference < 1e-4, (case["base"], difference)
    # And one that PEFT makes, with numbers that are not zero.
    torch.manual_seed(0)
    base = kind.from_pretrained(case["base"], dtype=torch.float32)
    config = LoraConfig(r=5, lora_alpha=7, target_modules=case["targets"], init_lora_weights=False,
                        use_rslora=case["rslora"], task_type="SEQ_CLS" if case["scalar"] else "CAUSAL_LM")
    model = get_peft_model(base, config).eval()
    model.save_pretrained(case["theirs"])
    with torch.no_grad():
        json.dump(model(row).logits.flatten().tolist(), open(case["theirs"] + "/logits.json", "w"))
print("done")
"#;

#[test]
fn peft_loads_what_is_saved_and_the_reverse() {
    let python = std::env::var("PREFLAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let available = Command::new(&python)
        .args(["-c", "import torch, transformers, peft"])
        .output();
    if !available.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: `{python}` has no peft (PREFLAB_PYTHON names another interpreter)");
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let mut bases = checkpoints();
    // A model of our own.
    let own = out.path().join("own");
    let architecture = Architecture::new(&settings(true), VOCABULARY);
    let config = Config::llama(&architecture, &SpecialTokens::default());
    let model = CausalLm::init(&architecture, 3, &device);
    checkpoint::save(&model, &config, SaveOptions::default(), &own).unwrap();
    bases.push((own, false));
    let settings = lora_settings("rank = 3\nalpha = 5");
    let mut cases = Vec::new();
    for (number, (base, scalar)) in bases.iter().enumerate() {
        let dir = out.path().join(format!("ours-{number}"));
        let training = Device::flex().autodiff();
        let (expected, family) = if *scalar {
            let (model, config) = checkpoint::load::<ScalarModel>(base, &training).unwrap();
            let model = trained(lora::attach(model, config.family(), &settings, 3).unwrap());
            lora::save(&model, &config, &base.to_string_lossy(), &dir).unwrap();
            (floats(model.valid().scores(&row())), config.family())
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(base, &training).unwrap();
            let model = trained(lora::attach(model, config.family(), &settings, 3).unwrap());
            lora::save(&model, &config, &base.to_string_lossy(), &dir).unwrap();
            (floats(model.valid().forward(&row())), config.family())
        };
        let targets = match family {
            Family::Gpt2 => vec!["c_attn", "c_proj", "c_fc"],
            Family::GptNeoX => vec!["query_key_value", "dense", "dense_4h_to_h"],
            Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 | Family::Gemma2 => {
                vec!["q_proj", "v_proj", "o_proj", "down_proj"]
            }
        };
        cases.push(json!({
            "base": base, "dir": dir, "scalar": scalar, "row": [7, 3, 11, 20, 9], "expected": expected,
            "targets": targets, "theirs": out.path().join(format!("theirs-{number}")), "rslora": number % 2 == 1,
        }));
    }
    let list = out.path().join("cases.json");
    std::fs::write(&list, serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = Command::new(&python)
        .args(["-c", PROGRAM])
        .arg(&list)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (number, (base, scalar)) in bases.iter().enumerate() {
        let dir = out.path().join(format!("theirs-{number}"));
        let text = std::fs::read_to_string(dir.join("logits.json")).unwrap();
        let expected: Vec<f32> = serde_json::from_str(&text).unwrap();
        let found = if *scalar {
            let (model, config) = checkpoint::load::<ScalarModel>(base, &device).unwrap();
            let model = lora::load(model, &config, &dir).unwrap();
            floats(model.scores(&row()))
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(base, &device).unwrap();
            let model = lora::load(model, &config, &dir).unwrap();
            floats(model.forward(&row()))
        };
        assert!(apart(&found, &expected) < 1e-4, "{base:?}");
    }
}
