//! The structure of a query, and its text.

use std::fmt;

use serde_json::{Map, Value};

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) name: Option<&'static str>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) selections: Vec<Selection>,
}

#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) default: Option<String>,
    /// `None`: absent from the request.
    pub(super) value: Option<Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(super) name: String,
    pub(super) on: String,
    pub(super) height: usize,
    pub(super) selections: Vec<Selection>,
}

#[derive(Debug, Clone)]
pub(crate) enum Selection {
    Field(Field),
    Inline(Inline),
    Spread { name: String, directives: Vec<String> },
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(super) alias: Option<&'static str>,
    pub(super) name: String,
    pub(super) arguments: Vec<(String, String)>,
    pub(super) directives: Vec<String>,
    pub(super) selections: Vec<Selection>,
}

#[derive(Debug, Clone)]
pub(crate) struct Inline {
    pub(super) on: Option<String>,
    pub(super) directives: Vec<String>,
    pub(super) selections: Vec<Selection>,
}

impl Operation {
    pub(crate) fn variables(&self) -> Value {
        let given = self
            .variables
            .iter()
            .filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)));
        Value::Object(given.collect::<Map<_, _>>())
    }

    /// Removes unused fragments and variables.
    pub(super) fn remove_unused(&mut self) {
        loop {
            let text = self.to_string();
            let before = self.fragments.len();
            self.fragments
                .retain(|fragment| has_word(&text, &format!("...{}", fragment.name)));
            if self.fragments.len() == before {
                break;
            }
        }
        let body = self.body();
        self.variables
            .retain(|variable| has_word(&body, &format!("${}", variable.name)));
    }

    fn body(&self) -> String {
        let mut body = block(&self.selections);
        for fragment in &self.fragments {
            body.extend([format!(
                " fragment {} on {}{}",
                fragment.name,
                fragment.on,
                block(&fragment.selections)
            )]);
        }
        body
    }
}

/// Whether the text contains this word as a whole word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[at + word.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

fn block(selections: &[Selection]) -> String {
    if selections.is_empty() {
        return String::new();
    }
    let inner: Vec<_> = selections.iter().map(ToString::to_string).collect();
    format!(" {{ {} }}", inner.join(" "))
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => {
                if let Some(alias) = field.alias {
                    write!(f, "{alias}: ")?;
                }
                f.write_str(&field.name)?;
                if !field.arguments.is_empty() {
                    let arguments: Vec<_> = field
                        .arguments
                        .iter()
                        .map(|(name, value)| format!("{name}: {value}"))
                        .collect();
                    write!(f, "({})", arguments.join(", "))?;
                }
                for directive in &field.directives {
                    write!(f, " {directive}")?;
                }
                f.write_str(&block(&field.selections))
            }
            Self::Inline(inline) => {
                f.write_str("...")?;
                if let Some(on) = &inline.on {
                    write!(f, " on {on}")?;
                }
                for directive in &inline.directives {
                    write!(f, " {directive}")?;
                }
                f.write_str(&block(&inline.selections))
            }
            Self::Spread { name, directives } => {
                write!(f, "...{name}")?;
                for directive in directives {
                    write!(f, " {directive}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|variable| {
                let default = variable.default.as_ref().map(|default| format!(" = {default}"));
                format!(
                    "${}: {}{}",
                    variable.name,
                    variable.type_name,
                    default.unwrap_or_default()
                )
            })
            .collect();
        f.write_str("query")?;
        if let Some(name) = self.name {
            write!(f, " {name}")?;
        }
        if !variables.is_empty() {
            write!(f, " ({})", variables.join(", "))?;
        }
        f.write_str(&self.body())
    }
}
