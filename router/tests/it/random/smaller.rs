//! Reduces a query, to find the part that causes a failure.

use super::operation::{Field, Inline, Operation, Selection};

impl Operation {
    /// Returns all operations that are one step smaller.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut smaller = self.clone();
            change(&mut smaller);
            smaller.remove_unused();
            all.push(smaller);
        };
        for selections in smaller_selections(&self.selections) {
            add(&|operation| operation.selections.clone_from(&selections));
        }
        for (position, fragment) in self.fragments.iter().enumerate() {
            for selections in smaller_selections(&fragment.selections) {
                add(&|operation| operation.fragments[position].selections.clone_from(&selections));
            }
        }
        all
    }
}

/// Larger reductions are first, because they save the most steps.
fn smaller_selections(selections: &[Selection]) -> Vec<Vec<Selection>> {
    let mut all = Vec::new();
    for position in 0..selections.len() {
        let with = |replacement: Vec<Selection>| {
            let mut changed = selections.to_vec();
            changed.splice(position..=position, replacement);
            changed
        };
        if selections.len() > 1 {
            all.push(with(Vec::new()));
        }
        match &selections[position] {
            Selection::Field(field) => {
                if field.alias.is_some() {
                    all.push(with(vec![Selection::Field(Field {
                        alias: None,
                        ..field.clone()
                    })]));
                }
                for argument in 0..field.arguments.len() {
                    let mut field = field.clone();
                    field.arguments.remove(argument);
                    all.push(with(vec![Selection::Field(field)]));
                }
                if !field.directives.is_empty() {
                    let directives = field.directives[1..].to_vec();
                    all.push(with(vec![Selection::Field(Field {
                        directives,
                        ..field.clone()
                    })]));
                }
                for selections in smaller_selections(&field.selections) {
                    all.push(with(vec![Selection::Field(Field {
                        selections,
                        ..field.clone()
                    })]));
                }
            }
            Selection::Inline(inline) => {
                all.push(with(inline.selections.clone()));
                if !inline.directives.is_empty() {
                    all.push(with(vec![Selection::Inline(Inline {
                        directives: Vec::new(),
                        ..inline.clone()
                    })]));
                }
                for selections in smaller_selections(&inline.selections) {
                    all.push(with(vec![Selection::Inline(Inline {
                        selections,
                        ..inline.clone()
                    })]));
                }
            }
            Selection::Spread { name, directives } => {
                if !directives.is_empty() {
                    all.push(with(vec![Selection::Spread {
                        name: name.clone(),
                        directives: Vec::new(),
                    }]));
                }
            }
        }
    }
    all
}
