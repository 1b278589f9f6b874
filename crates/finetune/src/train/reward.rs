//! A reward model.

use preflab_config::{Count, RewardMargin, RewardObjective, RewardSettings};
use preflab_data::TokenExample;
use preflab_reward::{Judged, JudgedRows, RewardRun, RewardTrainer};
use preflab_training::{Minibatches, Order, Stream};
use preflab_transformer::ScalarModel;
use preflab_transformer::checkpoint::{Config, SpecialTokens};

use super::session::Model;
use super::{REWARD_ADAPTER, Run, Summary, need_margins, pair_lengths};
use crate::FinetuneError;
use crate::memory::largest_pass;
use crate::reward_model::{REFERENCES, normalisation_on};
use crate::start::{Kind, RewardStart, Words, checkpoint_of, kind};

impl Run<'_> {
    pub(super) fn reward(&self, settings: &RewardSettings) -> Result<Summary, FinetuneError> {
        let device = self.device.clone().autodiff();
        let directory = checkpoint_of(&self.request().settings.model);
        let classifier = directory
            .map(|directory| Ok::<_, FinetuneError>((directory, kind(directory)?)))
            .transpose()?
            .filter(|(_, kind)| *kind == Kind::Classifier);
        let RewardStart {
            model,
            config,
            words,
        } = match classifier {
            Some((directory, _)) => RewardStart::load(directory, &device)?,
            None => {
                let start = self.start()?;
                // N+ detail: the head starts at standard deviation 1 / sqrt(d + 1).
                let deviation = 1.0 / (start.policy.architecture().width as f64 + 1.0).sqrt();
                let seed = self.streams().at(Stream::Init, 2);
                RewardStart {
                    model: ScalarModel::from_decoder(&start.policy.decoder, deviation, seed),
                    config: start.config,
                    words: start.words,
                }
            }
        };
        let config = with_padding(config, &words);
        let model = self.to_train(model, &config, REWARD_ADAPTER)?;
        let max_length = self.max_length(model.architecture().context)?;
        let data = self.reading(&words, max_length).pairs()?;
        let (train, held_out) = (&data.train.tokens, self.read(data.held_out.to_vec())?);
        let margins = super::margins(&data.train.notes);
        let held_out_margins = super::margins(&data.held_out.notes);
        let margined = matches!(&settings.objective, RewardObjective::BradleyTerry(own)
            if matches!(own.margin, RewardMargin::PerPair(_)));
        if margined {
            need_margins(&[&margins, &held_out_margins])?;
        }
        let batch = settings.batch_size.get();
        let micro = settings.micro_batch_size.map_or(batch, Count::get);
        let longest = self.read(train.longest(micro))?;
        // The head reads the last token of either side.
        let lengths = longest.iter().map(|pair| (pair_lengths(pair).0, 2));
        let way = self.way(model.architecture());
        self.say_memory(vec![way.trained(
            "reward model",
            self.lora(),
            largest_pass(lengths, micro),
            false,
        )]);
        let order = Order::Shuffled(Minibatches::new(self.streams(), train.len(), batch));
        let trainer =
            RewardTrainer::new(model, settings, order, train.len()).watching(held_out.len());
        let answers = self.answers(&words, Vec::new(), &[], None, None);
        let mut session = self.session(&config, &words, &answers)?;
        let RewardRun { model, .. } = trainer.run(
            JudgedRows {
                pairs: train.into(),
                gold_margins: margins.as_deref(),
            },
            Judged {
                pairs: &held_out,
                gold_margins: held_out_margins.as_deref(),
            },
            &mut session.log,
            &session.keeper,
        )?;
        let first = train.iter().take(REFERENCES);
        let chosen = first.map(|pair| Ok(pair?.examples().chosen)).collect();
        let chosen: Vec<TokenExample> = self.read(chosen)?;
        let normalise = |model: &ScalarModel| normalisation_on(model, &chosen, settings.normalise);
        self.finish(
            session,
            &Model::Scalar(model),
            &data.report,
            Some(&normalise),
        )
    }
}

/// The configuration with the tokenizer's padding token, where it names none: transformers needs it to score a batch. One
/// that also ends completions would hide their last token, and is not named.
fn with_padding(config: Config, words: &Words) -> Config {
    let tokens = config.special_tokens();
    let padding = words.tokenizer.pad();
    if tokens.padding.is_some() || words.stop.contains(&padding) {
        return config;
    }
    config.with_special_tokens(&SpecialTokens {
        padding: Some(padding),
        ..tokens
    })
}
