//! Signs that a text was decoded wrongly on its way into the data.

/// Where a text first holds a replacement character, a control character that nobody writes, or UTF-8 read as Latin-1 or
/// Windows-1252 (`Ã©` for `é`, `â€™` for `’`): the number of characters before it.
pub(super) fn first_trouble(text: &str) -> Option<usize> {
    let mut before = None;
    for (index, c) in text.chars().enumerate() {
        if c == '\u{fffd}' || is_control(c) || before.is_some_and(|lead| is_misread(lead, c)) {
            return Some(index);
        }
        before = Some(c);
    }
    None
}

/// Control characters besides tab, line feed, form feed and carriage return.
fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f'..='\u{9f}')
}

/// Whether two characters are the first two bytes of a UTF-8 sequence, each read as a character of its own: a lead byte
/// (`Ã`, `Â`, `â`, ...) and a continuation byte that no word has after it.
fn is_misread(lead: char, next: char) -> bool {
    let continues = matches!(
        next,
        '\u{a0}'
            ..='\u{bf}'
                | '€'
                | '™'
                | '‚'
                | 'ƒ'
                | '„'
                | '†'
                | '‡'
                | 'ˆ'
                | '‰'
                | '‹'
                | '›'
                | '“'
                | '”'
                | '•'
                | '˜'
    );
    matches!(lead, 'Ã' | 'Â') && continues || lead == 'â' && next == '€'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrongly_decoded_text_is_seen() {
        for text in [
            "cafÃ©",
            "itâ€™s",
            "a\u{fffd}b",
            "nul\0",
            "Â£5",
            "esc\u{1b}[0m",
        ] {
            assert!(first_trouble(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn the_place_is_told() {
        assert_eq!(first_trouble("ab\0"), Some(2));
        assert_eq!(first_trouble("床cafÃ©"), Some(5));
    }

    #[test]
    fn text_in_any_language_is_not() {
        for text in [
            "café, naïve, Ça va? SÃO PAULO",
            "it’s “so”\ttabs\r\n",
            "床前明月光，疑是地上霜。",
            "Â, Ã and â are letters",
            "emoji 👩‍🔬 and ﷽",
        ] {
            assert_eq!(first_trouble(text), None, "{text:?}");
        }
    }
}
