//! Chat templates: Jinja templates that turn a conversation into text.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::Value as Json;

use crate::{DataError, Message, Special};

/// A chat template as in `tokenizer_config.json` or `chat_template.jinja`, rendered as transformers renders it: blocks
/// are trimmed, `raise_exception` and `tojson` are there, Python's string methods work, `{% generation %}` is passed over.
///
/// `strftime_now` is not defined, so that the same data give the same ids on every day; templates fall back to the date
/// they name themselves. A template may run [`FUEL`] instructions, so that a hostile one cannot run for ever.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    /// Where it comes from, for messages.
    origin: PathBuf,
    special: Special,
}

/// Instructions a template may run; the longest known templates use a few thousand for a conversation.
pub const FUEL: u64 = 5_000_000;

impl ChatTemplate {
    /// A template given as text.
    ///
    /// # Errors
    /// If it is not a template.
    pub fn new(source: &str, special: &Special) -> Result<Self, DataError> {
        Self::from_origin(source.to_owned(), Path::new("chat template"), special)
    }

    /// The template of the tokenizer in `path` (a directory, or `tokenizer.json` in it): `chat_template.jinja`, else
    /// `chat_template` in `tokenizer_config.json`, of several the one named `default`. `None` if there is neither.
    ///
    /// # Errors
    /// If a file cannot be read or the template is not one.
    pub fn load(path: &Path, special: &Special) -> Result<Option<Self>, DataError> {
        let directory = if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(Path::new(""))
        };
        let jinja = read_if_exists(&directory.join(JINJA))?;
        let config = read_config(&directory.join(CONFIG))?;
        Self::find(jinja.as_deref(), config.as_ref(), directory, special)
    }

    /// The template in the content of `chat_template.jinja`, else in that of `tokenizer_config.json`.
    pub(crate) fn find(
        jinja: Option<&str>,
        config: Option<&Json>,
        directory: &Path,
        special: &Special,
    ) -> Result<Option<Self>, DataError> {
        if let Some(source) = jinja {
            return Self::from_origin(source.to_owned(), &directory.join(JINJA), special).map(Some);
        }
        let file = directory.join(CONFIG);
        match config.and_then(|config| config.get("chat_template")) {
            Some(Json::String(source)) => {
                Self::from_origin(source.clone(), &file, special).map(Some)
            }
            Some(Json::Array(named)) => {
                let default = named.iter().find(|template| template["name"] == "default");
                let source = default.and_then(|template| template["template"].as_str());
                let source = source.ok_or_else(|| DataError::File {
                    path: file.clone(),
                    problem: "`chat_template` lists templates, and none is named `default`".into(),
                    hint: "name one of them `default`, or write it to `chat_template.jinja`".into(),
                })?;
                Self::from_origin(source.to_owned(), &file, special).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Conversations as HH-RLHF's transcripts, for tokenizers that have no template of their own: every turn starts with
    /// `\n\nHuman:` or `\n\nAssistant:` (other roles under their own name), and the end-of-sequence token follows an
    /// answer that ends the conversation.
    ///
    /// # Errors
    /// Never: the template is known to be one.
    pub fn transcript(special: &Special) -> Result<Self, DataError> {
        Self::from_origin(
            TRANSCRIPT.to_owned(),
            Path::new("the built-in chat template"),
            special,
        )
    }

    fn from_origin(source: String, origin: &Path, special: &Special) -> Result<Self, DataError> {
        let template = Self {
            source: without_generation(&source),
            origin: origin.to_owned(),
            special: special.clone(),
        };
        template
            .environment()
            .map_err(|error| template.failed(&error))?;
        Ok(template)
    }

    /// The text of a conversation. With `add_generation_prompt` it ends where the assistant would start to speak.
    ///
    /// # Errors
    /// If the template refuses the conversation or runs out of [`FUEL`].
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        let text = |token: &Option<(String, u32)>| token.as_ref().map(|token| token.0.clone());
        let environment = self.environment().map_err(|error| self.failed(&error))?;
        let template = environment
            .get_template(NAME)
            .map_err(|error| self.failed(&error))?;
        let values = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt,
            tools => Value::from(()),
            documents => Value::from(()),
            eos_token => self.special.eos.0.clone(),
            bos_token => text(&self.special.bos),
            pad_token => text(&self.special.pad),
            unk_token => text(&self.special.unknown),
        };
        template.render(values).map_err(|error| self.failed(&error))
    }

    fn environment(&self) -> Result<Environment<'_>, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()?,
        );
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", tojson);
        environment.add_template(NAME, &self.source)?;
        Ok(environment)
    }

    fn failed(&self, error: &Error) -> DataError {
        let line = error.line().map_or_else(String::new, |line| {
            format!(" (line {line} of the template)")
        });
        DataError::File {
            path: self.origin.clone(),
            problem: format!("the chat template cannot be used: {error}{line}"),
            hint: "check the roles and their order: templates often want `user` and `assistant` in turn".into(),
        }
    }
}

/// Where templates are.
pub(crate) const JINJA: &str = "chat_template.jinja";
pub(crate) const CONFIG: &str = "tokenizer_config.json";

const TRANSCRIPT: &str = "{%- for message in messages -%}\
{%- set name = {'user': 'Human', 'assistant': 'Assistant', 'system': 'System'}.get(message['role'], message['role']) -%}\
{{- '\\n\\n' + name + ': ' + message['content'] -}}\
{%- if loop.last and message['role'] == 'assistant' -%}{{- eos_token -}}{%- endif -%}\
{%- endfor -%}\
{%- if add_generation_prompt -%}{{- '\\n\\nAssistant:' -}}{%- endif -%}";

/// Without an extension, so that nothing is escaped.
const NAME: &str = "chat";

/// Drops the tags around assistant text that only transformers' mask of assistant tokens reads.
fn without_generation(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let end = start + length + 2;
        let name = rest[start + 2..end - 2].trim_matches(['-', '+']).trim();
        kept.push_str(&rest[..start]);
        if name == "generation" || name == "endgeneration" {
            // A comment keeps the trimming of white space around the tag.
            kept.push_str(
                &rest[start..end]
                    .replacen("{%", "{#", 1)
                    .replacen("%}", "#}", 1),
            );
        } else {
            kept.push_str(&rest[start..end]);
        }
        rest = &rest[end..];
    }
    kept + rest
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False, indent=indent)` writes it.
fn tojson(value: Value, kwargs: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    kwargs.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = vec![b' '; indent.min(16)];
            let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
            value.serialize(&mut serde_json::Serializer::with_formatter(
                &mut bytes, formatter,
            ))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, Spaced,
        )),
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let text = String::from_utf8(bytes).expect("serde_json writes UTF-8");
    Ok(Value::from(text))
}

/// A blank after each comma and colon, as Python's default separators have it.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The content of a `tokenizer_config.json`, if there is one.
pub(crate) fn read_config(file: &Path) -> Result<Option<Json>, DataError> {
    let Some(text) = read_if_exists(file)? else {
        return Ok(None);
    };
    let config = serde_json::from_str(&text).map_err(|error| DataError::File {
        path: file.to_owned(),
        problem: format!("not JSON: {error}"),
        hint: "expected the `tokenizer_config.json` that transformers writes".into(),
    })?;
    Ok(Some(config))
}

pub(crate) fn read_if_exists(file: &Path) -> Result<Option<String>, DataError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataError::read(file)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special() -> Special {
        let token = |name: &str, id| (name.to_owned(), id);
        Special {
            eos: token("</s>", 2),
            pad: None,
            bos: Some(token("<s>", 1)),
            unknown: None,
        }
    }

    fn rendered(source: &str) -> Result<String, DataError> {
        let messages = [
            Message::new("system", " Be brief. "),
            Message::new("user", "Hi"),
        ];
        ChatTemplate::new(source, &special())?.render(&messages, true)
    }

    #[test]
    fn blocks_are_trimmed_and_python_methods_work() {
        let source = "{{ bos_token }}\n{% for m in messages %}\n  {%- if m['role'] == 'system' %}\n[{{ m.content.strip() }}]\n    {% else %}\n{{ m['content'].upper() + eos_token }}\n{% endif %}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}\n";
        assert_eq!(rendered(source).unwrap(), "<s>\n[Be brief.]\nHI</s>\n>");
    }

    #[test]
    fn the_shapes_of_published_templates_work() {
        for (source, text) in [
            (
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
                "2",
            ),
            (
                "{{ messages[1:] | length }}{{ messages[-1].role }}",
                "1user",
            ),
            (
                "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ loop.first }}{% endfor %}",
                "True",
            ),
            (
                "{% if tools is not none %}x{% endif %}{% if strftime_now is defined %}y{% endif %}z",
                "z",
            ),
            ("{{ messages[0]['tool_calls'] is defined }}", "False"),
            (
                "{{ {'a': [1, 'é<'], 'b': none} | tojson }}",
                "{\"a\": [1, \"é<\"], \"b\": null}",
            ),
            (
                "{{ {'a': [1]} | tojson(indent=2) }}",
                "{\n  \"a\": [\n    1\n  ]\n}",
            ),
            (
                "{% generation %}a{% endgeneration %} {%- generation -%} b",
                "ab",
            ),
            (
                "{% macro say(m) %}<{{ m.content }}>{% endmacro %}{{ say(messages[1]) }}",
                "<Hi>",
            ),
            (
                "{{ 'a,b'.split(',')[1] }}{{ 'x' ~ messages | map(attribute='role') | join('+') }}",
                "bxsystem+user",
            ),
        ] {
            assert_eq!(rendered(source).unwrap(), text, "{source}");
        }
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let error = rendered("{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
        let error = rendered("{% for m in messages %}").unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error}");
    }

    #[test]
    fn a_template_cannot_run_for_ever() {
        let source =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        let error = rendered(source).unwrap_err();
        assert!(error.to_string().contains("fuel"), "{error}");
    }

    #[test]
    fn conversations_without_a_template_become_transcripts() {
        let template = ChatTemplate::transcript(&special()).unwrap();
        let asked = [
            Message::new("user", "Hi"),
            Message::new("assistant", "Hello!"),
            Message::new("user", "Go on"),
        ];
        let prompt = template.render(&asked, true).unwrap();
        assert_eq!(
            prompt,
            "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Go on\n\nAssistant:"
        );
        let answered = [asked.as_slice(), &[Message::new("assistant", "No.")]].concat();
        let whole = template.render(&answered, false).unwrap();
        assert_eq!(whole, format!("{prompt} No.</s>"));
    }

    #[test]
    fn templates_are_found_where_transformers_puts_them() {
        let directory = tempfile::tempdir().unwrap();
        let load = || ChatTemplate::load(directory.path(), &special());
        assert!(load().unwrap().is_none());
        let config = directory.path().join("tokenizer_config.json");
        std::fs::write(
            &config,
            "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}]}",
        )
        .unwrap();
        assert!(
            load()
                .unwrap_err()
                .to_string()
                .contains("none is named `default`")
        );
        std::fs::write(
            &config,
            "{\"chat_template\": [{\"name\": \"default\", \"template\": \"d\"}]}",
        )
        .unwrap();
        assert_eq!(load().unwrap().unwrap().render(&[], false).unwrap(), "d");
        std::fs::write(&config, "{\"chat_template\": \"c\"}").unwrap();
        assert_eq!(load().unwrap().unwrap().render(&[], false).unwrap(), "c");
        std::fs::write(directory.path().join("chat_template.jinja"), "j\n").unwrap();
        assert_eq!(load().unwrap().unwrap().render(&[], false).unwrap(), "j");
    }
}
