//! The words of slogans and how they follow one another.

/// What a word can do in a slogan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Starts a phrase: `Taste`.
    Verb,
    /// Stands before an adjective or noun: `Your`.
    Determiner,
    /// Stands before a noun: `Fresh`.
    Adjective,
    /// `Coffee`.
    Noun,
    /// Stands before a noun's phrase: `With`.
    Preposition,
    /// Ends a slogan: `Today`.
    Adverb,
}

impl Class {
    const ALL: [Self; 6] = [
        Self::Verb,
        Self::Determiner,
        Self::Adjective,
        Self::Noun,
        Self::Preposition,
        Self::Adverb,
    ];

    /// The words of this class.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Verb => &[
                "Taste",
                "Feel",
                "Find",
                "Love",
                "Share",
                "Enjoy",
                "Bring",
                "Make",
                "Start",
                "Choose",
                "Discover",
                "Celebrate",
            ],
            Self::Determiner => &["The", "Your", "Our", "Every", "This", "A"],
            Self::Adjective => &[
                "Fresh", "Bright", "Warm", "New", "Pure", "Bold", "Sweet", "Smart", "Simple",
                "Clean", "Golden", "Quiet", "Real", "Gentle", "Strong", "Happy",
            ],
            Self::Noun => &[
                "Coffee", "Morning", "Home", "Garden", "Bread", "Water", "Journey", "City",
                "Music", "Summer", "Family", "Friends", "Moment", "Dream", "Light", "Taste", "Day",
                "Kitchen", "Ocean", "Story", "Winter", "Forest", "Future", "Smile",
            ],
            Self::Preposition => &["With", "For", "In", "From", "Into", "Through"],
            Self::Adverb => &["Today", "Together", "Now", "Again", "Always", "Forever"],
        }
    }

    /// The classes that may follow.
    pub fn followers(self) -> &'static [Self] {
        match self {
            Self::Verb => &[Self::Determiner, Self::Adjective, Self::Noun],
            Self::Determiner => &[Self::Adjective, Self::Noun],
            Self::Adjective => &[Self::Noun],
            Self::Noun => &[Self::Preposition, Self::Verb, Self::Adverb],
            Self::Preposition => &[Self::Determiner, Self::Adjective, Self::Noun],
            Self::Adverb => &[Self::Verb],
        }
    }

    /// Whether a slogan may end here.
    pub fn may_end(self) -> bool {
        match self {
            Self::Noun | Self::Adverb => true,
            Self::Verb | Self::Determiner | Self::Adjective | Self::Preposition => false,
        }
    }
}

/// Classes whose words a prompt may ask for.
pub const CONTENT: [Class; 2] = [Class::Adjective, Class::Noun];

/// Every word, without repetition.
pub fn all() -> Vec<&'static str> {
    let mut words = Vec::new();
    for word in Class::ALL.into_iter().flat_map(Class::words) {
        if !words.contains(word) {
            words.push(*word);
        }
    }
    words
}

/// Whether `text` is a word.
pub fn is_word(text: &str) -> bool {
    Class::ALL
        .into_iter()
        .any(|class| class.words().contains(&text))
}
