//! Transcripts of HH-RLHF (Bai et al. 2022, arXiv:2204.05862): turns that start with `\n\nHuman:` or `\n\nAssistant:`.

use crate::{Message, Text};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Whether `text` is a transcript.
pub fn is_transcript(text: &str) -> bool {
    text.starts_with(HUMAN) && text.contains(ASSISTANT)
}

/// The prompt that two transcripts share, up to and with the last `\n\nAssistant:` in their common start, and what each
/// goes on with. `None` if they share no such turn.
pub fn split(chosen: &str, rejected: &str) -> Option<(String, String, String)> {
    let common: usize = chosen
        .chars()
        .zip(rejected.chars())
        .take_while(|(a, b)| a == b)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let end = chosen[..common].rfind(ASSISTANT)? + ASSISTANT.len();
    Some((
        chosen[..end].to_owned(),
        chosen[end..].to_owned(),
        rejected[end..].to_owned(),
    ))
}

/// The completion of a transcript prompt: a blank stands between `Assistant:` and what it says, also where a data set
/// has trimmed it.
pub fn completion(prompt: &str, completion: &str) -> String {
    let is_trimmed = is_transcript(prompt)
        && prompt.ends_with(ASSISTANT)
        && !completion.starts_with(char::is_whitespace);
    if is_trimmed && !completion.is_empty() {
        format!(" {completion}")
    } else {
        completion.to_owned()
    }
}

/// The turns of a transcript as messages of `user` and `assistant`, without the blanks around them; an `Assistant:` at
/// the end that says nothing is left out. `None` if the text is no transcript.
pub fn messages(text: &str) -> Option<Text> {
    if !is_transcript(text) {
        return None;
    }
    let mut turns = Vec::new();
    let mut rest = text;
    while let Some((role, after)) = turn_start(rest) {
        let end = [after.find(HUMAN), after.find(ASSISTANT)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(after.len());
        turns.push(Message::new(role, after[..end].trim()));
        rest = &after[end..];
    }
    if turns
        .last()
        .is_some_and(|last| last.role == "assistant" && last.content.is_empty())
    {
        turns.pop();
    }
    Some(Text::Messages(turns))
}

fn turn_start(text: &str) -> Option<(&'static str, &str)> {
    let human = text.strip_prefix(HUMAN).map(|after| ("user", after));
    human.or_else(|| {
        text.strip_prefix(ASSISTANT)
            .map(|after| ("assistant", after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Go on\n\nAssistant:";

    #[test]
    fn the_shared_turns_are_the_prompt() {
        let (prompt, chosen, rejected) = split(
            &format!("{START} No, sorry"),
            &format!("{START} No!\n\nHuman: x"),
        )
        .unwrap();
        assert_eq!((prompt.as_str(), chosen.as_str()), (START, " No, sorry"));
        assert_eq!(rejected, " No!\n\nHuman: x");
        assert_eq!(split("\n\nHuman: a", "\n\nHuman: b"), None);
    }

    #[test]
    fn a_trimmed_completion_gets_its_blank_back() {
        assert_eq!(completion(START, "No"), " No");
        assert_eq!(completion(START, " No"), " No");
        assert_eq!(completion(START, ""), "");
        assert_eq!(completion("Q:", "No"), "No");
    }

    #[test]
    fn turns_become_messages() {
        let Some(Text::Messages(messages)) = messages(START) else {
            panic!("a transcript")
        };
        let turns: Vec<(&str, &str)> = messages
            .iter()
            .map(|m| (m.role.as_str(), m.content.as_str()))
            .collect();
        assert_eq!(
            turns,
            [("user", "Hi"), ("assistant", "Hello!"), ("user", "Go on")]
        );
    }
}
