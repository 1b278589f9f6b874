//! From merged tables to typed settings, with every problem placed where it was written.
//!
//! This is a serde deserializer over [`Node`]s. Next to what `toml` does it
//! - points into the layer a value came from, however many tables were merged;
//! - lets a choice (an external tag such as `method.ppo = { ... }`) of a higher layer win over that of a lower one,
//!   which then only gives defaults for its own choice: `[base]` may hold `method.ppo` and `method.dpo`, and each arm
//!   takes up one;
//! - goes on after a problem to find the next ones.

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::Problem;
use crate::node::{Entry, Node, Origin, Value};
use crate::read_error::{Kind, ReadError};
use crate::sources::Sources;

/// Reads settings from a node.
///
/// # Errors
/// With every problem that can be found without guessing.
pub fn read<T: DeserializeOwned>(node: &Node, sources: &Sources) -> Result<T, Vec<Problem>> {
    let mut rest = node.clone();
    let mut problems = Vec::new();
    loop {
        let error = match T::deserialize(Reader { node: &rest }) {
            Ok(settings) if problems.is_empty() => return Ok(settings),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        // With the culprit taken out the rest can be read on; what is missing then is no problem of its own.
        let consequence =
            !problems.is_empty() && matches!(error.kind, Kind::Missing | Kind::NoChoice);
        if !consequence {
            problems.push(error.problem(sources));
        }
        let removable = rest.remove(&error.path);
        if !removable {
            return Err(problems);
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let origin = &self.node.origin;
        match &self.node.value {
            Value::String(text) => visitor.visit_str(text),
            Value::Datetime(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter(),
            }),
            Value::Table(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
            }),
        }
        .map_err(|error: ReadError| error.placed(origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let choice = match &self.node.value {
            Value::String(name) => Choice {
                name,
                key_origin: &self.node.origin,
                content: None,
            },
            Value::Table(entries) => {
                let entry =
                    chosen(entries, variants).map_err(|error| error.placed(&self.node.origin))?;
                Choice {
                    name: &entry.key,
                    key_origin: &entry.key_origin,
                    content: Some(&entry.node),
                }
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {
                return self.deserialize_any(visitor);
            }
        };
        visitor
            .visit_enum(choice)
            .map_err(|error| error.placed(&self.node.origin))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The choice of the highest layer.
fn chosen<'a>(
    entries: &'a [Entry],
    variants: &'static [&'static str],
) -> Result<&'a Entry, ReadError> {
    let Some(top) = entries.iter().map(|entry| entry.node.top_layer()).max() else {
        return Err(ReadError {
            hint: Some(format!("the choices here are: {}", variants.join(", "))),
            ..ReadError::new(Kind::NoChoice, "a choice is missing".to_owned())
        });
    };
    let mut candidates = entries.iter().filter(|entry| entry.node.top_layer() == top);
    match (candidates.next(), candidates.next()) {
        (Some(first), Some(second)) => {
            let error = ReadError {
                hint: Some("keep one of them".to_owned()),
                ..ReadError::new(
                    Kind::Value,
                    format!(
                        "expected one choice, found `{}` and `{}`",
                        first.key, second.key
                    ),
                )
            };
            Err(error.within(&second.key, &second.key_origin))
        }
        (Some(entry), None) => Ok(entry),
        (None, _) => unreachable!("the highest layer has an entry"),
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.items
            .next()
            .map(|node| {
                seed.deserialize(Reader { node })
                    .map_err(|error| error.placed(&node.origin))
            })
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.value = self.entries.next();
        self.value
            .map(|entry| {
                seed.deserialize(entry.key.as_str().into_deserializer())
                    .map_err(|error: ReadError| error.within(&entry.key, &entry.key_origin))
            })
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        seed.deserialize(Reader { node: &entry.node })
            .map_err(|error| error.within(&entry.key, &entry.node.origin))
    }
}

struct Choice<'a> {
    name: &'a str,
    key_origin: &'a Origin,
    content: Option<&'a Node>,
}

impl<'de, 'a> EnumAccess<'de> for Choice<'a> {
    type Error = ReadError;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'a>), ReadError> {
        let variant =
            seed.deserialize(self.name.into_deserializer())
                .map_err(|error: ReadError| {
                    // A choice written as text has no key of its own: the value it stands in is the culprit.
                    if self.content.is_some() {
                        error.within(self.name, self.key_origin)
                    } else {
                        error.placed(self.key_origin)
                    }
                })?;
        Ok((
            variant,
            Content {
                name: self.name,
                origin: self.key_origin,
                node: self.content,
            },
        ))
    }
}

struct Content<'a> {
    name: &'a str,
    origin: &'a Origin,
    node: Option<&'a Node>,
}

impl Content<'_> {
    fn needed(&self) -> Result<&Node, ReadError> {
        self.node.ok_or_else(|| {
            ReadError {
                hint: Some(format!("write it as a table: `{{ {} = ... }}`", self.name)),
                ..ReadError::new(
                    Kind::Value,
                    format!("the choice `{}` needs a value", self.name),
                )
            }
            .placed(self.origin)
        })
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.node {
            Some(node) if !(matches!(node.value, Value::Table(_)) && node.entries().is_empty()) => {
                Err(ReadError::new(
                    Kind::Value,
                    format!("the choice `{}` takes no settings", self.name),
                )
                .within(self.name, &node.origin))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        let node = self.needed()?;
        seed.deserialize(Reader { node })
            .map_err(|error| error.within(self.name, &node.origin))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let node = self.needed()?;
        de::Deserializer::deserialize_any(Reader { node }, visitor)
            .map_err(|error| error.within(self.name, &node.origin))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.tuple_variant(0, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{OptimizerSettings, Positive, SftSettings};
    use serde::Deserialize;

    fn layers(texts: &[&str]) -> (Node, Sources) {
        let mut sources = Sources::default();
        let mut node: Option<Node> = None;
        for (layer, text) in texts.iter().enumerate() {
            let source = sources.add(format!("{layer}.toml"), *text);
            let next = Node::parse(&sources, source, layer).unwrap();
            match &mut node {
                Some(node) => node.lay(&next),
                None => node = Some(next),
            }
        }
        (node.unwrap(), sources)
    }

    fn problems<T: DeserializeOwned>(texts: &[&str]) -> String {
        let (node, sources) = layers(texts);
        let Err(problems) = read::<T>(&node, &sources) else {
            panic!("no problem found")
        };
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n----\n")
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Loss {
        Dpo(Dpo),
        Ipo(Positive),
        Off,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Dpo {
        beta: Positive,
        #[serde(default)]
        steps: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        loss: Loss,
    }

    #[test]
    fn the_choice_of_a_higher_layer_wins_and_the_lower_one_gives_its_defaults() {
        let (node, sources) = layers(&[
            "loss.dpo = { beta = 0.1, steps = 3 }\nloss.ipo = 2.0",
            "loss.dpo.beta = 0.5",
        ]);
        let whole: Whole = read(&node, &sources).unwrap();
        assert_eq!(
            whole.loss,
            Loss::Dpo(Dpo {
                beta: Positive::of(0.5),
                steps: 3
            })
        );
        let (node, sources) = layers(&["loss.dpo = { beta = 0.1 }", "loss = \"off\""]);
        assert_eq!(read::<Whole>(&node, &sources).unwrap().loss, Loss::Off);
        let (node, sources) = layers(&["loss = \"off\"", "loss.ipo = 1"]);
        assert_eq!(
            read::<Whole>(&node, &sources).unwrap().loss,
            Loss::Ipo(Positive::of(1.0))
        );
    }

    #[test]
    fn two_choices_in_one_layer_are_refused() {
        insta::assert_snapshot!(problems::<Whole>(&["loss.dpo = { beta = 0.1 }\nloss.ipo = 2.0"]), @"
        0.toml:2:6
          |
        2 | loss.ipo = 2.0
          |      ^^^
        `loss.ipo`: expected one choice, found `dpo` and `ipo`

        hint: keep one of them
        ");
    }

    #[test]
    fn a_problem_points_into_the_layer_it_was_written_in() {
        insta::assert_snapshot!(problems::<Whole>(&["loss.dpo = { beta = 0.1 }", "loss.dpo.beta = -1"]), @"
        1.toml:1:17
          |
        1 | loss.dpo.beta = -1
          |                 ^^
        `loss.dpo.beta`: expected a number above 0, found -1
        ");
        insta::assert_snapshot!(problems::<Whole>(&["[loss.dpo]\nbeat = 0.1"]), @"
        0.toml:2:1
          |
        2 | beat = 0.1
          | ^^^^
        unknown key `beat`

        hint: did you mean `beta`?
        ");
        insta::assert_snapshot!(problems::<Whole>(&["loss.dpp = { beta = 0.1 }"]), @"
        0.toml:1:6
          |
        1 | loss.dpp = { beta = 0.1 }
          |      ^^^
        unknown choice `dpp`

        hint: did you mean `dpo`?
        ");
        insta::assert_snapshot!(problems::<Whole>(&["loss = \"dpo\""]), @r#"
        0.toml:1:8
          |
        1 | loss = "dpo"
          |        ^^^^^
        `loss`: the choice `dpo` needs a value

        hint: write it as a table: `{ dpo = ... }`
        "#);
        insta::assert_snapshot!(problems::<Whole>(&["loss.off.x = 1"]), @"
        0.toml:1:6
          |
        1 | loss.off.x = 1
          |      ^^^
        `loss.off`: the choice `off` takes no settings
        ");
        insta::assert_snapshot!(problems::<Whole>(&["loss = 3"]), @"
        0.toml:1:8
          |
        1 | loss = 3
          |        ^
        `loss`: expected a choice, found 3
        ");
        insta::assert_snapshot!(problems::<Whole>(&[""]), @"
        0.toml:1:1
          |
        1 | 
          | ^
        `loss` is missing
        ");
    }

    #[test]
    fn several_problems_are_found_at_once() {
        insta::assert_snapshot!(
            problems::<SftSettings>(&[
                "epochs = 0\nbatch = 3\nbatch_size = \"many\"\n[optimizer]\nlearning_rate = 0\nbetas = [0.9, 1.5]"
            ]),
            @r#"
        0.toml:1:10
          |
        1 | epochs = 0
          |          ^
        `epochs`: expected a whole number above 0, found 0
        ----
        0.toml:2:1
          |
        2 | batch = 3
          | ^^^^^
        unknown key `batch`

        hint: the keys here are: `epochs`, `batch_size`, `micro_batch_size`, `max_updates`, `on_prompts`, `optimizer`
        ----
        0.toml:3:14
          |
        3 | batch_size = "many"
          |              ^^^^^^
        `batch_size`: expected a whole number, found the text "many"
        ----
        0.toml:5:17
          |
        5 | learning_rate = 0
          |                 ^
        `optimizer.learning_rate`: expected a number above 0, found 0
        ----
        0.toml:6:15
          |
        6 | betas = [0.9, 1.5]
          |               ^^^
        `optimizer.betas`: expected a number from 0 up to but not 1, found 1.5
        "#
        );
    }

    #[test]
    fn what_is_missing_is_named_with_its_table() {
        insta::assert_snapshot!(problems::<SftSettings>(&["[optimizer]\nwarmup = 3"]), @"
        0.toml:1:1
          |
        1 | [optimizer]
          | ^^^^^^^^^^^
        `learning_rate` is missing in `optimizer`
        ");
    }

    #[test]
    fn plain_settings_are_read_as_toml_reads_them() {
        let text = "learning_rate = 1\nbetas = [0.5, 0.9]\nschedule = \"cosine\"";
        let (node, sources) = layers(&[text]);
        let ours: OptimizerSettings = read(&node, &sources).unwrap();
        assert_eq!(ours, toml::from_str(text).unwrap());
    }
}
