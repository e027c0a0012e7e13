//! The checks of a GraphQL document: a scan of its tokens, then the sizes of its definitions with fragments expanded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use hive_router::graphql_tools::parser::{TokenKind, spanned_tokens};

use super::{
    ENTITY_KEY, GuardError, MAX_ALIASES, MAX_DOCUMENT_LENGTH, MAX_NAME_LENGTH, MAX_NESTING,
    MAX_NUMBER_LENGTH, MAX_REPEATS, MAX_SELECTIONS, MAX_SELECTIONS_OF_NAME, MAX_TOKENS,
};

/// The meta field of every type.
const TYPE_NAME: &str = "__typename";
/// The meta fields of the query type. The library drops them without an error from other types.
const INTROSPECTION_FIELDS: [&str; 2] = ["__schema", "__type"];
/// The name of the query type.
const QUERY: &str = "Query";
/// The prefix of aliases that the library generates.
const LIBRARY_ALIAS: &str = "_internal_qp_alias";
/// Checks a document: its length, its nesting, its names, and what its fragments expand to.
///
/// A malformed document passes, because the library's parser rejects it.
///
/// # Errors
///
/// The limit that the document exceeds, or the reserved name that it uses.
pub fn check_document(source: &str) -> Result<(), GuardError> {
    if source.len() > MAX_DOCUMENT_LENGTH {
        return Err(GuardError::Length);
    }
    let tokens = match spanned_tokens(source) {
        Ok(tokens) => tokens,
        Err(error) if error.contains("Recursion limit exceeded") => return Err(GuardError::Nesting),
        Err(_) => return Ok(()),
    };
    if tokens.len() > MAX_TOKENS {
        return Err(GuardError::Tokens);
    }
    for (kind, range) in &tokens {
        match kind {
            TokenKind::Name if range.len() > MAX_NAME_LENGTH => return Err(GuardError::NameLength),
            TokenKind::IntValue | TokenKind::FloatValue if !is_representable(&source[range.clone()]) => {
                return Err(GuardError::Number);
            }
            _ => {}
        }
    }
    let definitions = Scan::new(source, &tokens).definitions()?;
    Expansion::new(&definitions)?.check()
}
fn is_representable(number: &str) -> bool {
    number.len() <= MAX_NUMBER_LENGTH && number.parse::<f64>().is_ok_and(f64::is_finite)
}

type Token = (TokenKind, std::ops::Range<usize>);

/// An operation or a fragment.
#[derive(Default)]
struct Definition<'d> {
    /// The name of a fragment; `None` for an operation.
    name: Option<&'d str>,
    selections: usize,
    nesting: usize,
    /// The spread fragments, each with its nesting.
    spreads: Vec<(&'d str, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Selections {
        /// Whether they are selected on the query type.
        on_query: bool,
    },
    /// Arguments, variable definitions, and the lists and objects in them.
    Values,
}

/// How often a response name is selected, with its first field and arguments.
struct Selected<'d> {
    field: &'d str,
    arguments: &'d str,
    count: usize,
    differs: bool,
}

/// Finds the definitions of a document in its tokens. The result for a malformed document is arbitrary, because the
/// parser rejects it.
struct Scan<'d> {
    source: &'d str,
    tokens: &'d [Token],
    at: usize,
    open: Vec<Bracket>,
    /// Between the name of a definition and its selections.
    is_in_header: bool,
    /// Whether the next selections are on the query type.
    next_on_query: bool,
    definitions: Vec<Definition<'d>>,
    aliases: usize,
    selected: HashMap<&'d str, Selected<'d>>,
}

impl<'d> Scan<'d> {
    fn new(source: &'d str, tokens: &'d [Token]) -> Self {
        Self {
            source,
            tokens,
            at: 0,
            open: Vec::new(),
            is_in_header: false,
            next_on_query: true,
            definitions: Vec::new(),
            aliases: 0,
            selected: HashMap::new(),
        }
    }

    fn definitions(mut self) -> Result<Vec<Definition<'d>>, GuardError> {
        while let Some(text) = self.text(self.at) {
            match self.tokens[self.at].0 {
                TokenKind::Punctuator => self.punctuator(text)?,
                TokenKind::Name if self.open.is_empty() => self.header(text),
                TokenKind::Name if self.is_in_selections() => self.field(text)?,
                _ => {}
            }
            self.at += 1;
        }
        Ok(self.definitions)
    }

    fn text(&self, at: usize) -> Option<&'d str> {
        let (_, range) = self.tokens.get(at)?;
        self.source.get(range.clone())
    }

    fn name(&self, at: usize) -> Option<&'d str> {
        let (kind, _) = self.tokens.get(at)?;
        (*kind == TokenKind::Name).then(|| self.text(at)).flatten()
    }

    fn is_in_selections(&self) -> bool {
        matches!(self.open.last(), Some(Bracket::Selections { .. }))
    }

    fn is_on_query(&self) -> bool {
        self.open.last() == Some(&Bracket::Selections { on_query: true })
    }

    fn punctuator(&mut self, text: &str) -> Result<(), GuardError> {
        match text {
            "{" | "(" | "[" => self.open(text)?,
            "}" | ")" | "]" => {
                self.open.pop();
                // An operation may begin without a keyword.
                if self.open.is_empty() && !self.is_in_header {
                    self.next_on_query = true;
                }
            }
            "..." if self.is_in_selections() => self.fragment(),
            // The name after it is neither a field nor a definition.
            "@" | "$" if self.name(self.at + 1).is_some() => self.at += 1,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, text: &str) -> Result<(), GuardError> {
        let is_value = text != "{" || self.open.last() == Some(&Bracket::Values);
        if self.open.is_empty() && !is_value {
            if !self.is_in_header {
                self.definitions.push(Definition::default());
            }
            self.is_in_header = false;
        }
        self.open.push(if is_value {
            Bracket::Values
        } else {
            Bracket::Selections {
                on_query: self.next_on_query,
            }
        });
        let nesting = self.open.len();
        if nesting > MAX_NESTING {
            return Err(GuardError::Nesting);
        }
        if let Some(definition) = self.definitions.last_mut() {
            definition.nesting = definition.nesting.max(nesting);
        }
        Ok(())
    }

    /// `query Name`, or `fragment Name on Type`.
    fn header(&mut self, keyword: &str) {
        let name = self.name(self.at + 1);
        if name.is_some() {
            self.at += 1;
        }
        let is_fragment = keyword == "fragment";
        self.next_on_query = keyword == "query";
        if is_fragment && self.name(self.at + 1) == Some("on") {
            self.at += 2;
            self.next_on_query = self.name(self.at) == Some(QUERY);
        }
        self.is_in_header = true;
        self.definitions.push(Definition {
            name: name.filter(|_| is_fragment),
            ..Definition::default()
        });
    }

    /// `...Name`, `... on Type` or `...` alone.
    fn fragment(&mut self) {
        let Some(definition) = self.definitions.last_mut() else {
            return;
        };
        definition.selections += 1;
        // Without a type, it is on the type around it.
        self.next_on_query = self.is_on_query();
        let Some(name) = self.name(self.at + 1) else {
            return;
        };
        self.at += 1;
        let nesting = self.open.len();
        match self.name(self.at + 1) {
            Some(condition) if name == "on" => {
                self.at += 1;
                self.next_on_query = condition == QUERY;
            }
            _ => {
                if let Some(definition) = self.definitions.last_mut() {
                    definition.spreads.push((name, nesting));
                }
            }
        }
    }

    /// `name`, or `alias: name`.
    fn field(&mut self, text: &'d str) -> Result<(), GuardError> {
        let mut field = text;
        if self.text(self.at + 1) == Some(":") {
            field = self.name(self.at + 2).unwrap_or(text);
            self.at += 2;
            self.aliases += 1;
            if self.aliases > MAX_ALIASES {
                return Err(GuardError::Aliases);
            }
            if text != field && (text.starts_with("__") || text.starts_with(LIBRARY_ALIAS)) {
                return Err(GuardError::ReservedAlias(text.to_owned()));
            }
            if text == ENTITY_KEY && field != ENTITY_KEY {
                return Err(GuardError::EntityKeyAlias);
            }
        }
        if INTROSPECTION_FIELDS.contains(&field) {
            if !self.is_on_query() {
                return Err(GuardError::IntrospectionField(field.to_owned()));
            }
        } else if field.starts_with("__") && field != TYPE_NAME {
            return Err(GuardError::ReservedField(field.to_owned()));
        }
        // No field of the schema has the query type.
        self.next_on_query = false;
        let arguments = self.arguments();
        let selected = self.selected.entry(text).or_insert(Selected {
            field,
            arguments,
            count: 0,
            differs: false,
        });
        selected.count += 1;
        selected.differs |= (selected.field, selected.arguments) != (field, arguments);
        if selected.differs && selected.count > MAX_REPEATS {
            return Err(GuardError::Repeats(text.to_owned()));
        }
        if selected.count > MAX_SELECTIONS_OF_NAME {
            return Err(GuardError::SelectionsOfName(text.to_owned()));
        }
        if let Some(definition) = self.definitions.last_mut() {
            definition.selections += 1;
        }
        Ok(())
    }

    /// The source text of the field's arguments.
    fn arguments(&self) -> &'d str {
        let mut depth = 0_usize;
        let mut end = 0;
        let start = self.tokens.get(self.at + 1).map_or(0, |(_, range)| range.start);
        for (kind, range) in self.tokens.iter().skip(self.at + 1) {
            end = range.end;
            match &self.source[range.clone()] {
                "(" if *kind == TokenKind::Punctuator => depth += 1,
                ")" if *kind == TokenKind::Punctuator => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        let text = self.source.get(start..end).unwrap_or_default();
        if text.starts_with('(') { text } else { "" }
    }
}

/// The size of a definition with its fragments expanded.
#[derive(Clone, Copy, Default)]
struct Size {
    selections: usize,
    nesting: usize,
}

/// The sizes of all definitions. Each is computed once.
struct Expansion(Vec<Size>);

impl Expansion {
    fn new(definitions: &[Definition]) -> Result<Self, GuardError> {
        let mut fragments = HashMap::new();
        for (index, definition) in definitions.iter().enumerate() {
            let Some(name) = definition.name else { continue };
            match fragments.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(index);
                }
                Entry::Occupied(_) => return Err(GuardError::DuplicateFragment(name.to_owned())),
            }
        }
        let mut sizes: Vec<Option<Size>> = vec![None; definitions.len()];
        let mut is_on_path = vec![false; definitions.len()];
        // Definitions that are being expanded, each with the number of processed spreads.
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..definitions.len() {
            if sizes[start].is_some() {
                continue;
            }
            path.push((start, 0));
            is_on_path[start] = true;
            while let Some((index, done)) = path.last_mut() {
                let definition = &definitions[*index];
                if let Some((name, _)) = definition.spreads.get(*done) {
                    *done += 1;
                    match fragments.get(name) {
                        Some(&next) if is_on_path[next] => {
                            return Err(GuardError::FragmentCycle((*name).to_owned()));
                        }
                        Some(&next) if sizes[next].is_none() => {
                            is_on_path[next] = true;
                            path.push((next, 0));
                        }
                        _ => {}
                    }
                    continue;
                }
                let mut size = Size {
                    selections: definition.selections,
                    nesting: definition.nesting,
                };
                for (name, nesting) in &definition.spreads {
                    let spread = fragments
                        .get(name)
                        .and_then(|&index| sizes[index])
                        .unwrap_or_default();
                    size.selections = size.selections.saturating_add(spread.selections);
                    size.nesting = size.nesting.max(nesting.saturating_add(spread.nesting));
                }
                sizes[*index] = Some(size);
                is_on_path[*index] = false;
                path.pop();
            }
        }
        Ok(Self(sizes.into_iter().map(Option::unwrap_or_default).collect()))
    }

    fn check(&self) -> Result<(), GuardError> {
        if self.0.iter().any(|size| size.nesting > MAX_NESTING) {
            return Err(GuardError::Nesting);
        }
        let selections = self
            .0
            .iter()
            .fold(0_usize, |sum, size| sum.saturating_add(size.selections));
        if selections > MAX_SELECTIONS {
            return Err(GuardError::Selections);
        }
        Ok(())
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(document: &str) -> Option<&'static str> {
        check_document(document).err().map(|refused| refused.reason())
    }

    #[test]
    fn documents_are_nested_to_a_limit() {
        let nested =
            |open: &str, close: &str, levels: usize| open.repeat(levels) + "a" + &close.repeat(levels);
        assert_eq!(refusal(&nested("{a", "}", MAX_NESTING)), None);
        assert_eq!(refusal(&nested("{a", "}", MAX_NESTING + 1)), Some("nesting"));
        for levels in [MAX_NESTING, 60, 150] {
            for (open, close) in [("[", "]"), ("{a:", "}"), ("[{a:", "}]")] {
                let value = nested(open, close, levels);
                assert_eq!(refusal(&format!("{{ a(b: {value}) }}")), Some("nesting"));
            }
            let list_type = nested("[", "]", levels);
            assert_eq!(
                refusal(&format!("query ($a: {list_type}) {{ a }}")),
                Some("nesting")
            );
            assert_eq!(refusal(&nested("{ ... ", "}", levels + 1)), Some("nesting"));
        }
        for (open, close) in [("[", "]"), ("{a:", "}"), ("{ ... ", "}")] {
            assert!(refusal(&nested(open, close, 10_000)).is_some(), "{open}");
        }
        let chain: Vec<String> = (0..60)
            .map(|i| format!("fragment F{i} on Query {{ a {{ ...F{} }} }} ", i + 1))
            .collect();
        assert_eq!(
            refusal(&chain.concat()),
            Some("nesting"),
            "after fragments are expanded"
        );
    }

    #[test]
    fn cycles_are_found_however_they_are_written() {
        for cycle in [
            "fragment A on Query { ...A } { ...A }",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
            "{ a } fragment A on Query { ...A }",
            "mutation { ...A } fragment A on Mutation { logout ...B } fragment B on Mutation { ...A }",
            "{ ...A @include(if: true) } fragment A on Query @skip(if: false) { ... A @skip(if: true) }",
            "{ __schema { types { ...A } } } fragment A on __Type { ofType { ...A } }",
            "{ ...A } fragment A on Query { ... on Query { a { ...B } } } fragment B on X { ... @include(if: true) { ...A } }",
            "query ($a: [Int] = [1, {a: 2}]) { ...A } fragment A on Query { a(b: {c: [{d: 1}]}) { ...A } }",
            "fragment on on Query { ...on }",
        ] {
            assert_eq!(refusal(cycle), Some("fragment_cycle"), "{cycle}");
        }
        let message = check_document("{ ...A } fragment A on Query { ...A }")
            .unwrap_err()
            .to_string();
        assert!(message.contains("cannot spread itself"), "{message}");
        assert_eq!(
            refusal("{ ...A ...A ...B } fragment A on Query { ...B } fragment B on Query { b }"),
            None
        );
    }

    #[test]
    fn fragments_count_wherever_they_are_spread() {
        let levels = |levels: usize, times: usize| {
            let spreading: Vec<String> = (0..levels)
                .map(|level| {
                    let spreads = format!("...F{} ", level + 1).repeat(times);
                    format!(" fragment F{level} on Query {{ {spreads} }}")
                })
                .collect();
            format!("{{ ...F0 }}{}", spreading.concat()) + &format!(" fragment F{levels} on Query {{ a }}")
        };
        assert_eq!(refusal(&levels(7, 8)), Some("selections"));
        assert_eq!(
            refusal(&levels(30, 8)),
            Some("selections"),
            "more than a number can hold"
        );
        assert_eq!(refusal(&levels(2, 8)), None);
        let many_operations = "query A { ...F0 } ".repeat(30) + &levels(2, 8);
        assert_eq!(refusal(&many_operations), Some("selections"));
    }

    #[test]
    fn names_of_the_library_are_reserved() {
        for document in [
            "{ a { __typename: title } }",
            "{ __x: a }",
            "{ _internal_qp_alias_0: a }",
        ] {
            assert_eq!(refusal(document), Some("reserved_alias"), "{document}");
        }
        assert_eq!(refusal("{ __foo }"), Some("reserved_field"));
        assert_eq!(refusal("{ a: __foo }"), Some("reserved_field"));
        assert_eq!(refusal("{ a { id: name } }"), Some("entity_key_alias"));
        for document in [
            "{ __typename kind: __typename __typename: __typename a: id id: id }",
            "{ a(id: name, __x: 1) @b(id: 2) { name } } # id: name",
            "query ($id: ID!) { a(b: {id: $id}) }",
        ] {
            assert_eq!(refusal(document), None, "{document}");
        }
    }

    #[test]
    fn the_schema_is_described_on_the_query_type_only() {
        for document in [
            "{ __schema { types { name } } }",
            "query { __type(name: \"A\") { name } }",
            "query A($a: [Int] = [1]) @b(c: {d: 1}) { a { b } __schema { types { name } } }",
            "mutation { a { b } } { __schema { types { name } } }",
            "{ ... { __schema { types { name } } } }",
            "{ ... @include(if: true) { a: __schema { types { name } } } }",
            "{ ... on Query { __schema { types { name } } } }",
            "{ ...A } fragment A on Query @b { __schema { types { name } } }",
            "{ a { __typename } } mutation { __typename }",
        ] {
            assert_eq!(refusal(document), None, "{document}");
        }
        for document in [
            "mutation { __schema { types { name } } }",
            "subscription { __type(name: \"A\") { name } }",
            "{ a } mutation { __schema { types { name } } }",
            "mutation A @b(c: {d: 1}) { __schema { types { name } } }",
            "mutation { a { __schema { types { name } } } }",
            "mutation { ... { __schema { types { name } } } }",
            "{ viewer { id __schema { types { name } } } }",
            "{ viewer { id a: __type(name: \"A\") { name } } }",
            "{ viewer(a: {b: 1}) @c { __schema { types { name } } } }",
            "{ __schema { types { __schema { types { name } } } } }",
            "{ __schema { types { ... { __type(name: \"A\") { name } } } } }",
            "{ ... on Viewer { __schema { types { name } } } }",
            "{ viewer { ...A } } fragment A on Viewer { __schema { types { name } } }",
            "{ ...A } fragment A on Query { viewer { __schema { types { name } } } }",
        ] {
            assert_eq!(refusal(document), Some("introspection_field"), "{document}");
        }
    }

    #[test]
    fn tokens_have_a_limit_and_a_size() {
        assert_eq!(
            refusal(&format!("{{ {} }}", "a b ".repeat(MAX_TOKENS / 2 - 1))),
            None
        );
        assert_eq!(
            refusal(&format!("{{ {} c }}", "a b ".repeat(MAX_TOKENS / 2 - 1))),
            Some("tokens")
        );
        assert_eq!(
            refusal(&format!("{{ {} }}", "a ".repeat(MAX_SELECTIONS_OF_NAME))),
            None
        );
        assert_eq!(
            refusal(&format!("{{ {} }}", "a ".repeat(MAX_SELECTIONS_OF_NAME + 1))),
            Some("selections_of_name")
        );
        assert_eq!(
            refusal(&format!("{{ {} }}", "a".repeat(MAX_NAME_LENGTH + 1))),
            Some("name_length")
        );
        for number in ["1e888888", "-1e400", "1e77777777777777777777", &"1".repeat(40)] {
            assert_eq!(
                refusal(&format!("{{ a(b: {number}) }}")),
                Some("number"),
                "{number}"
            );
        }
        assert_eq!(refusal("{ a(b: 1.5e3, c: -0) }"), None);
    }

    #[test]
    fn conflicts_have_a_limit() {
        let users = |count: usize| -> String {
            let fields: Vec<String> = (0..count)
                .map(|i| format!("user(username: \"{i}\") {{ id }} "))
                .collect();
            format!("{{ {} }}", fields.concat())
        };
        assert_eq!(refusal(&users(MAX_REPEATS)), None);
        assert_eq!(refusal(&users(MAX_REPEATS + 1)), Some("repeats"));
        let plain = "title ".repeat(MAX_REPEATS);
        assert_eq!(
            refusal(&format!("{{ a {{ {plain} title: name }} }}")),
            Some("repeats")
        );
        assert_eq!(
            refusal(&format!("{{ a {{ {plain} title }} }}")),
            None,
            "nothing differs"
        );
        let same = "user(username: \")\", a: [(1)]) { id } ".repeat(60);
        assert_eq!(refusal(&format!("{{ {same} }}")), None, "nothing differs");
        assert_eq!(
            refusal(&format!("{{ {} }}", "a: b ".repeat(MAX_ALIASES + 1))),
            Some("aliases")
        );
        assert_eq!(
            refusal(&format!("{{ a(b: \"{}\") }}", "x".repeat(MAX_DOCUMENT_LENGTH))),
            Some("length")
        );
    }
}
