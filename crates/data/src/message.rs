//! Texts of data sets: prose, or the messages of a conversation.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or another role that the chat template knows.
    pub role: String,
    /// What was said. A list of parts is read if every part is text, and joined.
    #[serde(deserialize_with = "content")]
    pub content: String,
    /// Other keys, handed to the chat template as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Message {
    /// A message without other keys.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            content: content.into(),
            other: Map::new(),
        }
    }
}

fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Parts(Vec<Part>),
        Nothing(()),
    }
    #[derive(Deserialize)]
    struct Part {
        text: String,
    }
    Ok(match Content::deserialize(deserializer)? {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        Content::Nothing(()) => String::new(),
    })
}

/// A prompt or completion as a data set gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// Text used as it is.
    Prose(String),
    /// Messages to be rendered by a chat template.
    Messages(Vec<Message>),
}

impl Text {
    /// Whether nothing but white space is said.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Prose(text) => text.trim().is_empty(),
            Self::Messages(messages) => messages
                .iter()
                .all(|message| message.content.trim().is_empty()),
        }
    }

    /// What is said, for people: messages with their roles.
    pub fn plain(&self) -> String {
        match self {
            Self::Prose(text) => text.clone(),
            Self::Messages(messages) => {
                let lines: Vec<String> = messages
                    .iter()
                    .map(|message| format!("{}: {}", message.role, message.content))
                    .collect();
                lines.join("\n")
            }
        }
    }

    /// Length of what is said, characters.
    pub fn characters(&self) -> usize {
        match self {
            Self::Prose(text) => text.chars().count(),
            Self::Messages(messages) => messages
                .iter()
                .map(|message| message.content.chars().count())
                .sum(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Prose(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_may_be_text_parts_or_nothing() {
        for (json, content) in [
            ("{\"role\": \"user\", \"content\": \"Hi\"}", "Hi"),
            (
                "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"H\"}, {\"type\": \"text\", \"text\": \"i\"}]}",
                "Hi",
            ),
            (
                "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}",
                "",
            ),
        ] {
            assert_eq!(
                serde_json::from_str::<Message>(json).unwrap().content,
                content
            );
        }
        let image =
            "{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"url\": \"a.png\"}]}";
        assert!(serde_json::from_str::<Message>(image).is_err());
    }

    #[test]
    fn other_keys_survive() {
        let json = "{\"role\":\"tool\",\"content\":\"4\",\"name\":\"add\"}";
        let message: Message = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
    }
}
