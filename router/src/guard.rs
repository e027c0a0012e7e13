//! Refuses requests that would cost the library far more than their bytes suggest, before it parses them.
//!
//! The library parses JSON recursively, puts fragments in the place of their names without a limit, and validates in
//! time that grows faster than the document. Everything here is one pass over the bytes, without recursion.
//!
//! [`check`] is the whole of it for the body of a POST request; the plugin calls its parts where the library has read
//! the body, and where it has decoded the document.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

use hive_router::GraphQLError;
use hive_router::async_trait;
use hive_router::graphql_tools::parser::{TokenKind, spanned_tokens};
use hive_router::http::StatusCode;
use hive_router::plugins::hooks::on_graphql_params::{
    GraphQLParams, OnGraphQLParamsStartHookPayload, OnGraphQLParamsStartHookResult,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::{EndHookPayload as _, RouterPlugin, StartHookPayload as _};
use hive_router::query_planner::utils::parsing::safe_parse_operation;
use hive_router::sonic_rs::{JsonNumberTrait as _, JsonValueMutTrait as _, JsonValueTrait as _, Value};
use serde::Deserialize;

/// Arrays and objects inside one another in JSON. Our deepest input has four.
pub const MAX_JSON_DEPTH: usize = 32;
/// Names, numbers, strings and punctuators of a document. `router.yaml` gives the library the same number.
pub const MAX_TOKENS: usize = 1_000;
/// Brackets inside one another in a document, before and after fragments are expanded.
pub const MAX_NESTING: usize = 40;
/// Selections after fragments are expanded, over all operations and fragments of the document.
pub const MAX_SELECTIONS: usize = 2_000;
/// Bytes of a document. The library keeps a thousand of them, each several times over.
pub const MAX_DOCUMENT_LENGTH: usize = 32 * 1024;
/// Aliases in a document as it is written. `router.yaml` gives the library the same number.
pub const MAX_ALIASES: usize = 15;
/// Selections under one name that differ in their fields or arguments. Each pair is an error of its own for the library,
/// which would keep ten megabytes of them for a request of three kilobytes.
pub const MAX_REPEATS: usize = 32;
/// Selections under one name, whether they differ or not: the library compares each with each.
pub const MAX_SELECTIONS_OF_NAME: usize = 500;
/// Bytes of a name in a document.
pub const MAX_NAME_LENGTH: usize = 128;
/// Bytes of a number in a document.
pub const MAX_NUMBER_LENGTH: usize = 32;

/// Fields that every type or the root has by the specification.
const META_FIELDS: [&str; 3] = ["__typename", "__schema", "__type"];
/// The library names its own aliases so.
const LIBRARY_ALIAS: &str = "_internal_qp_alias";
/// The key of every entity.
const ENTITY_KEY: &str = "id";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("The request must be JSON with a query, and variables as an object.")]
    NotJson,
    #[error("The JSON of this request is nested too deeply: the limit is {MAX_JSON_DEPTH} levels.")]
    JsonDepth,
    #[error("The operation cannot be parsed. {0}")]
    Syntax(String),
    #[error("This operation is too long: the limit is {MAX_TOKENS} tokens.")]
    Tokens,
    #[error("This operation is nested too deeply: the limit is {MAX_NESTING} brackets inside one another.")]
    Nesting,
    #[error(
        "This operation selects too much: the limit is {MAX_SELECTIONS} selections after fragments are expanded."
    )]
    Selections,
    #[error("This operation is too long: the limit is {} KiB.", MAX_DOCUMENT_LENGTH / 1024)]
    Length,
    #[error("This operation has too many aliases: the limit is {MAX_ALIASES}.")]
    Aliases,
    #[error(
        "Different fields or arguments are selected as \"{0}\" too often: the limit is {MAX_REPEATS} selections of one name."
    )]
    Repeats(String),
    #[error("\"{0}\" is selected too often: the limit is {MAX_SELECTIONS_OF_NAME} selections of one name.")]
    SelectionsOfName(String),
    #[error("A name in this operation is too long: the limit is {MAX_NAME_LENGTH} bytes.")]
    NameLength,
    #[error("A number in this operation is out of range, or longer than {MAX_NUMBER_LENGTH} characters.")]
    Number,
    #[error("The fragment \"{0}\" cannot spread itself, neither directly nor through other fragments.")]
    FragmentCycle(String),
    #[error("There can be only one fragment named \"{0}\".")]
    DuplicateFragment(String),
    #[error("There is no field \"{0}\": names that begin with two underscores are reserved.")]
    ReservedField(String),
    #[error("The alias \"{0}\" is reserved: choose a name that does not begin with an underscore.")]
    ReservedAlias(String),
    #[error(
        "The alias \"{ENTITY_KEY}\" can only be given to the field \"{ENTITY_KEY}\": choose another name."
    )]
    EntityKeyAlias,
}

impl Refused {
    /// The label of the metric.
    fn reason(&self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::JsonDepth => "json_depth",
            Self::Syntax(_) => "syntax",
            Self::Tokens => "tokens",
            Self::Nesting => "nesting",
            Self::Selections => "selections",
            Self::Length => "length",
            Self::Aliases => "aliases",
            Self::Repeats(_) => "repeats",
            Self::SelectionsOfName(_) => "selections_of_name",
            Self::NameLength => "name_length",
            Self::Number => "number",
            Self::FragmentCycle(_) => "fragment_cycle",
            Self::DuplicateFragment(_) => "duplicate_fragment",
            Self::ReservedField(_) => "reserved_field",
            Self::ReservedAlias(_) => "reserved_alias",
            Self::EntityKeyAlias => "entity_key_alias",
        }
    }

    fn into_error(self) -> GraphQLError {
        metrics::counter!("proofsheet_router_guard_refused_total", "reason" => self.reason()).increment(1);
        GraphQLError::from_message_and_code(self.to_string(), "INVALID_INPUT")
    }
}

/// Checks the body of a POST request and the document in it.
///
/// A body that is not JSON, or has no document, passes: the library explains what is wrong with it.
///
/// # Errors
///
/// Names the limit that the request exceeds.
pub fn check(body: &[u8]) -> Result<(), Refused> {
    #[derive(Deserialize)]
    struct Body {
        query: Option<String>,
    }
    check_json(body)?;
    match serde_json::from_slice(body) {
        Ok(Body { query: Some(query) }) => check_document(&query),
        _ => Ok(()),
    }
}

/// Checks how deep the arrays and objects of a JSON text are nested.
///
/// A parser and this scan agree on what is a string as far as the text is JSON, and a parser stops where it is not. The
/// exception is a parser that skips values that it does not need: it may take a backslash outside of strings for an
/// escape, so there may be none.
///
/// # Errors
///
/// [`Refused::JsonDepth`], or [`Refused::NotJson`] for a backslash outside of strings.
pub fn check_json(text: &[u8]) -> Result<(), Refused> {
    let mut depth = 0_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_JSON_DEPTH {
                    return Err(Refused::JsonDepth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\\' => return Err(Refused::NotJson),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            bytes.next();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a document: its length, its nesting, its names, and what its fragments expand to.
///
/// Text that is no document passes: the library's parser reports the error, and nothing runs.
///
/// # Errors
///
/// Names the limit that the document exceeds, or the name that it may not use.
pub fn check_document(source: &str) -> Result<(), Refused> {
    if source.len() > MAX_DOCUMENT_LENGTH {
        return Err(Refused::Length);
    }
    let tokens = match spanned_tokens(source) {
        Ok(tokens) => tokens,
        Err(error) if error.contains("Recursion limit exceeded") => return Err(Refused::Nesting),
        Err(_) => return Ok(()),
    };
    if tokens.len() > MAX_TOKENS {
        return Err(Refused::Tokens);
    }
    for (kind, range) in &tokens {
        match kind {
            TokenKind::Name if range.len() > MAX_NAME_LENGTH => return Err(Refused::NameLength),
            TokenKind::IntValue | TokenKind::FloatValue if !is_representable(&source[range.clone()]) => {
                return Err(Refused::Number);
            }
            _ => {}
        }
    }
    let definitions = Scan::new(source, &tokens).definitions()?;
    Expansion::new(&definitions)?.check()
}

/// Parses the document as the library does. Its parser's errors borrow the text without saying so, and the library formats
/// them when the text is gone, which reads freed memory (`docs/upstream.md`). Here the text is still there.
fn check_syntax(source: &str) -> Result<(), Refused> {
    match safe_parse_operation(source) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refused::Syntax(error.to_string().trim().to_owned())),
    }
}

fn is_representable(number: &str) -> bool {
    number.len() <= MAX_NUMBER_LENGTH && number.parse::<f64>().is_ok_and(f64::is_finite)
}

type Token = (TokenKind, std::ops::Range<usize>);

/// An operation or a fragment.
#[derive(Default)]
struct Definition<'d> {
    /// Of a fragment.
    name: Option<&'d str>,
    selections: usize,
    nesting: usize,
    /// The fragments that are spread, and how deep.
    spreads: Vec<(&'d str, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Selections,
    /// Arguments, variable definitions, and the lists and objects in them.
    Values,
}

/// How often a name is selected, and as what at first.
struct Selected<'d> {
    field: &'d str,
    arguments: &'d str,
    count: usize,
    differs: bool,
}

/// Finds the definitions of a document in its tokens. Where the document does not follow the grammar anything may be
/// found: the parser refuses it.
struct Scan<'d> {
    source: &'d str,
    tokens: &'d [Token],
    at: usize,
    open: Vec<Bracket>,
    /// Between the name of a definition and its selections.
    is_in_header: bool,
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
            definitions: Vec::new(),
            aliases: 0,
            selected: HashMap::new(),
        }
    }

    fn definitions(mut self) -> Result<Vec<Definition<'d>>, Refused> {
        while let Some(text) = self.text(self.at) {
            match self.tokens[self.at].0 {
                TokenKind::Punctuator => self.punctuator(text)?,
                TokenKind::Name if self.open.is_empty() => self.header(text),
                TokenKind::Name if self.open.last() == Some(&Bracket::Selections) => self.field(text)?,
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

    fn punctuator(&mut self, text: &str) -> Result<(), Refused> {
        match text {
            "{" | "(" | "[" => self.open(text)?,
            "}" | ")" | "]" => {
                self.open.pop();
            }
            "..." if self.open.last() == Some(&Bracket::Selections) => self.fragment(),
            // The name after it is neither a field nor a definition.
            "@" | "$" if self.name(self.at + 1).is_some() => self.at += 1,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, text: &str) -> Result<(), Refused> {
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
            Bracket::Selections
        });
        let nesting = self.open.len();
        if nesting > MAX_NESTING {
            return Err(Refused::Nesting);
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
        if is_fragment && self.name(self.at + 1) == Some("on") {
            self.at += 2;
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
        let Some(name) = self.name(self.at + 1) else {
            return;
        };
        self.at += 1;
        let nesting = self.open.len();
        match self.name(self.at + 1) {
            Some(_) if name == "on" => self.at += 1,
            _ => {
                if let Some(definition) = self.definitions.last_mut() {
                    definition.spreads.push((name, nesting));
                }
            }
        }
    }

    /// `name`, or `alias: name`.
    fn field(&mut self, text: &'d str) -> Result<(), Refused> {
        let mut field = text;
        if self.text(self.at + 1) == Some(":") {
            field = self.name(self.at + 2).unwrap_or(text);
            self.at += 2;
            self.aliases += 1;
            if self.aliases > MAX_ALIASES {
                return Err(Refused::Aliases);
            }
            if text != field && (text.starts_with("__") || text.starts_with(LIBRARY_ALIAS)) {
                return Err(Refused::ReservedAlias(text.to_owned()));
            }
            if text == ENTITY_KEY && field != ENTITY_KEY {
                return Err(Refused::EntityKeyAlias);
            }
        }
        if field.starts_with("__") && !META_FIELDS.contains(&field) {
            return Err(Refused::ReservedField(field.to_owned()));
        }
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
            return Err(Refused::Repeats(text.to_owned()));
        }
        if selected.count > MAX_SELECTIONS_OF_NAME {
            return Err(Refused::SelectionsOfName(text.to_owned()));
        }
        if let Some(definition) = self.definitions.last_mut() {
            definition.selections += 1;
        }
        Ok(())
    }

    /// The arguments of the field, as they are written.
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
    fn new(definitions: &[Definition]) -> Result<Self, Refused> {
        let mut fragments = HashMap::new();
        for (index, definition) in definitions.iter().enumerate() {
            let Some(name) = definition.name else { continue };
            match fragments.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(index);
                }
                Entry::Occupied(_) => return Err(Refused::DuplicateFragment(name.to_owned())),
            }
        }
        let mut sizes: Vec<Option<Size>> = vec![None; definitions.len()];
        let mut is_on_path = vec![false; definitions.len()];
        // Definitions that are being expanded, each with the number of its spreads that are done.
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
                            return Err(Refused::FragmentCycle((*name).to_owned()));
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

    fn check(&self) -> Result<(), Refused> {
        if self.0.iter().any(|size| size.nesting > MAX_NESTING) {
            return Err(Refused::Nesting);
        }
        let selections = self
            .0
            .iter()
            .fold(0_usize, |sum, size| sum.saturating_add(size.selections));
        if selections > MAX_SELECTIONS {
            return Err(Refused::Selections);
        }
        Ok(())
    }
}

/// The JSON texts in the parameters of a GET request.
fn check_parameters(query: &str) -> Result<(), Refused> {
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "query" && name != "operationName" {
            check_json(value.as_bytes())?;
        }
    }
    Ok(())
}

/// JSON has one kind of number, so 5.0 is an integer.
fn mend_numbers(variables: &mut HashMap<String, Value>) {
    variables.values_mut().for_each(mend_number);
}

/// At most [`MAX_JSON_DEPTH`] deep.
fn mend_number(value: &mut Value) {
    /// Every integer up to this is a float exactly.
    const EXACT: f64 = 9_007_199_254_740_991.0;
    if let Some(values) = value.as_array_mut() {
        values.iter_mut().for_each(mend_number);
    } else if let Some(fields) = value.as_object_mut() {
        fields.iter_mut().for_each(|(_, value)| mend_number(value));
    } else if let Some(number) = value.as_number()
        && number.is_f64()
        && let Some(number) = number.as_f64()
        && number.fract() == 0.0
        && number.abs() <= EXACT
    {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it has no fraction and is in range"
        )]
        let number = number as i64;
        *value = Value::from(number);
    }
}

/// Puts the checks before the library's parsers.
#[derive(Default)]
pub(crate) struct GuardPlugin {
    key: RandomState,
}

impl GuardPlugin {
    /// Appends a comment that clients cannot predict. The library finds parsed and validated documents in its caches by
    /// a hash without a key, so a document could be made that is taken for another one.
    fn tag(&self, document: &mut String) {
        let tag = self.key.hash_one(document.as_str());
        let _ = write!(document, "\n#{tag:016x}");
    }
}

#[async_trait]
impl RouterPlugin for GuardPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "guard"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        payload.initialize_plugin_with_defaults()
    }

    async fn on_graphql_params<'exec>(
        &'exec self,
        payload: OnGraphQLParamsStartHookPayload<'exec>,
    ) -> OnGraphQLParamsStartHookResult<'exec> {
        let parameters = check_parameters(payload.router_http_request.query_string);
        if let Err(refused) = parameters.and_then(|()| check_json(&payload.body)) {
            return payload.end_with_graphql_error(refused.into_error(), StatusCode::BAD_REQUEST);
        }
        payload.on_end(|mut payload| {
            let GraphQLParams { query, variables, .. } = &mut payload.graphql_params;
            if let Some(document) = query {
                if let Err(refused) = check_document(document).and_then(|()| check_syntax(document)) {
                    return payload.end_with_graphql_error(refused.into_error(), StatusCode::OK);
                }
                self.tag(document);
            }
            mend_numbers(variables);
            payload.proceed()
        })
    }
}

#[cfg(test)]
mod tests {
    use hive_router::sonic_rs;

    use super::*;

    fn refusal(document: &str) -> Option<&'static str> {
        check_document(document).err().map(|refused| refused.reason())
    }

    #[test]
    fn json_is_nested_to_a_limit_wherever_it_is() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let levels = MAX_JSON_DEPTH / open.matches(['[', '{']).count();
            let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
            assert_eq!(check(nested(levels).as_bytes()), Ok(()));
            assert_eq!(check(nested(levels + 1).as_bytes()), Err(Refused::JsonDepth));
            assert_eq!(check(open.repeat(20_000).as_bytes()), Err(Refused::JsonDepth));
        }
        let brackets = "[".repeat(1000);
        let in_a_string = format!(r#"{{"query":"{{ a }}","variables":{{"a":"\"{brackets}\\"}}}}"#);
        assert_eq!(check(in_a_string.as_bytes()), Ok(()));
        let behind_an_escape_outside = format!(r#"{{"a":\"{brackets}"#);
        assert_eq!(check(behind_an_escape_outside.as_bytes()), Err(Refused::NotJson));
    }

    #[test]
    fn the_parameters_of_a_get_are_checked_once_decoded() {
        let nested = "[".repeat(100);
        assert_eq!(check_parameters("query={a}&variables={}"), Ok(()));
        for text in [
            format!("variables={nested}"),
            format!("variables={}", nested.replace('[', "%5B")),
            format!("variables={{}}&variables={nested}"),
            format!("extensions={nested}"),
        ] {
            assert_eq!(check_parameters(&text), Err(Refused::JsonDepth), "{text}");
        }
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

    #[test]
    fn a_document_is_tagged_without_a_change_of_meaning() {
        let (one, other) = (GuardPlugin::default(), GuardPlugin::default());
        for document in [
            "{ a }",
            "{ a } # b",
            "{ a(b: \"\"\"#\"\"\") }",
            "",
            "{ a",
            "{ a(b: \"c",
        ] {
            let tagged = |plugin: &GuardPlugin| {
                let mut document = document.to_owned();
                plugin.tag(&mut document);
                document
            };
            assert_eq!(tagged(&one), tagged(&one));
            assert_ne!(tagged(&one), tagged(&other));
            let text = |document: &str| safe_parse_operation(document).ok().map(|tree| tree.to_string());
            assert_eq!(text(&tagged(&one)), text(document), "{document}");
        }
    }

    #[test]
    fn whole_floats_become_integers() {
        let mut variables: HashMap<String, Value> =
            sonic_rs::from_str(r#"{"a":5.0,"b":[1.5,-0.0,{"c":2e3}],"d":1e300,"e":"5.0","f":7}"#).unwrap();
        mend_numbers(&mut variables);
        let text = |name: &str| sonic_rs::to_string(&variables[name]).unwrap();
        assert_eq!(
            [text("a"), text("b"), text("f")],
            ["5", r#"[1.5,0,{"c":2000}]"#, "7"]
        );
        assert!(variables["d"].is_f64() && variables["e"].is_str());
    }
}
