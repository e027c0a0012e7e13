//! Samples, and the text that a sample may have.

use chassis::UserId;
use chassis::text::{InvalidText, Rule};
use chrono::{DateTime, Utc};

chassis::id_newtype! {
    /// The id of a sample.
    SampleId
}

/// Characters are Unicode scalar values.
const TITLE: Rule = Rule {
    field: "title",
    name: "a title",
    min: 1,
    max: 120,
    lines: false,
};

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Sample {
    pub id: SampleId,
    pub owner_id: UserId,
    pub title: String,
    pub created_at: DateTime<Utc>,
}

/// Trims a title and checks its length.
pub fn parse_title(raw: &str) -> Result<String, InvalidText> {
    TITLE.parse(raw)
}

#[cfg(test)]
mod tests {
    use super::parse_title;

    #[test]
    fn a_title_is_trimmed_and_has_a_length() {
        assert_eq!(parse_title(" Herons ").unwrap(), "Herons");
        assert!(parse_title(&"é".repeat(120)).is_ok());
        for bad in ["", "  ", "two\nlines", &"é".repeat(121)] {
            assert!(parse_title(bad).is_err(), "{bad:?}");
        }
    }
}
