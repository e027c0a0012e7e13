//! Refuses small requests that would take the library much time or memory, before the library parses them.
//!
//! The library parses JSON recursively, expands fragments without a limit, and needs time for validation that grows
//! faster than the length of the document. The checks here are one pass over the bytes, without recursion.
//!
//! The plugin calls [`check_json`] once the library has read the body, and [`check_document`] once it has decoded the document.

mod document;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

use contracts::Code;
use hive_router::GraphQLError;
use hive_router::async_trait;
use hive_router::http::StatusCode;
use hive_router::plugins::hooks::on_graphql_params::{
    GraphQLParams, OnGraphQLParamsStartHookPayload, OnGraphQLParamsStartHookResult,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::{EndHookPayload as _, RouterPlugin, StartHookPayload as _};
use hive_router::query_planner::utils::parsing::safe_parse_operation;
use hive_router::sonic_rs::{JsonNumberTrait as _, JsonValueMutTrait as _, JsonValueTrait as _, Value};

pub use document::check_document;

/// Maximum nesting of arrays and objects in JSON. The deepest input of the API has four levels.
pub const MAX_JSON_DEPTH: usize = 32;
/// Maximum number of tokens of a document: names, numbers, strings and punctuators. `router.yaml` gives the library the
/// same number.
pub const MAX_TOKENS: usize = 1_000;
/// Maximum nesting of brackets in a document, before and after fragments are expanded.
pub const MAX_NESTING: usize = 40;
/// Maximum number of selections after fragments are expanded, over all definitions of the document.
pub const MAX_SELECTIONS: usize = 2_000;
/// Maximum length of a document in bytes. The library caches parsed documents, each in several forms.
pub const MAX_DOCUMENT_LENGTH: usize = 32 * 1024;
/// Maximum number of aliases in a document, before fragments are expanded. `router.yaml` gives the library the same
/// number.
pub const MAX_ALIASES: usize = 15;
/// Maximum number of selections of one response name that differ in field or arguments. The library reports each pair
/// as an error: 10 MB for a request of 3 KB.
pub const MAX_REPEATS: usize = 32;
/// Maximum number of selections of one response name. The library compares each pair.
pub const MAX_SELECTIONS_OF_NAME: usize = 500;
/// Maximum length of a name in a document, in bytes.
pub const MAX_NAME_LENGTH: usize = 128;
/// Maximum length of a number in a document, in bytes.
pub const MAX_NUMBER_LENGTH: usize = 32;

/// The key of every entity.
const ENTITY_KEY: &str = "id";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    #[error("The request must be JSON with a query, and variables as an object.")]
    NotJson,
    #[error("The JSON of this request is nested too deeply: the limit is {MAX_JSON_DEPTH} levels.")]
    JsonDepth,
    #[error("The operation cannot be parsed. {0}")]
    Syntax(String),
    #[error("This operation is too long: the limit is {MAX_TOKENS} tokens.")]
    Tokens,
    #[error("This operation is nested too deeply: the limit is {MAX_NESTING} levels of brackets.")]
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
    #[error("There is no field \"{0}\" here: only queries have it, at their root.")]
    IntrospectionField(String),
    #[error("The alias \"{0}\" is reserved: choose a name that does not begin with an underscore.")]
    ReservedAlias(String),
    #[error(
        "The alias \"{ENTITY_KEY}\" can only be given to the field \"{ENTITY_KEY}\": choose another name."
    )]
    EntityKeyAlias,
}

impl GuardError {
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
            Self::IntrospectionField(_) => "introspection_field",
            Self::ReservedAlias(_) => "reserved_alias",
            Self::EntityKeyAlias => "entity_key_alias",
        }
    }

    fn into_error(self) -> GraphQLError {
        metrics::counter!("proofsheet_router_guard_refused_total", "reason" => self.reason()).increment(1);
        GraphQLError::from_message_and_code(self.to_string(), Code::InvalidInput.as_str())
    }
}

/// Checks how deep the arrays and objects of a JSON text are nested.
///
/// Brackets in strings do not count. In valid JSON a backslash occurs only in strings. A parser that skips values
/// without validating them may take one outside of strings for an escape, and then see other strings than this
/// function, so such a text is refused.
///
/// # Errors
///
/// [`GuardError::JsonDepth`], or [`GuardError::NotJson`] for a backslash outside of strings.
pub fn check_json(text: &[u8]) -> Result<(), GuardError> {
    let mut depth = 0_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_JSON_DEPTH {
                    return Err(GuardError::JsonDepth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\\' => return Err(GuardError::NotJson),
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

/// Parses the document as the library does, and returns syntax errors before the library finds them. The library
/// formats the errors of its parser after it has freed the text that they point to (`docs/upstream.md`).
fn check_syntax(source: &str) -> Result<(), GuardError> {
    match safe_parse_operation(source) {
        Ok(_) => Ok(()),
        Err(error) => Err(GuardError::Syntax(in_one_line(&error.to_string()))),
    }
}

/// The parser's error, which has a line for the position, one for the cause, and some for what it expected.
fn in_one_line(error: &str) -> String {
    let mut lines = error.trim().lines();
    let position = lines
        .next()
        .and_then(|line| line.strip_prefix("Parse error at ")?.split_once(':'));
    let Some((line, column)) = position else {
        return error.trim().to_owned();
    };
    let causes: Vec<_> = lines
        .map(|cause| cause.replacen("Unexpected unexpected", "Unexpected", 1))
        .collect();
    format!("Line {line}, column {column}: {}.", causes.join(". "))
}

/// The JSON texts in the parameters of a GET request.
fn check_parameters(query: &str) -> Result<(), GuardError> {
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "query" && name != "operationName" {
            check_json(value.as_bytes())?;
        }
    }
    Ok(())
}

/// Replaces floats without a fraction, such as 5.0, by integers: JSON does not distinguish them, and the library does.
fn floats_to_integers(variables: &mut HashMap<String, Value>) {
    variables.values_mut().for_each(float_to_integer);
}

/// The recursion is at most [`MAX_JSON_DEPTH`] levels deep.
fn float_to_integer(value: &mut Value) {
    /// The largest integer up to which all integers are exact as `f64` (2^53 - 1).
    const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_991.0;
    if let Some(values) = value.as_array_mut() {
        values.iter_mut().for_each(float_to_integer);
    } else if let Some(fields) = value.as_object_mut() {
        fields.iter_mut().for_each(|(_, value)| float_to_integer(value));
    } else if let Some(number) = value.as_number()
        && number.is_f64()
        && let Some(number) = number.as_f64()
        && number.fract() == 0.0
        && number.abs() <= MAX_EXACT_INTEGER
    {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it has no fraction and is in range"
        )]
        let number = number as i64;
        *value = Value::from(number);
    }
}

/// Runs the checks before the library parses anything.
#[derive(Default)]
pub(crate) struct GuardPlugin {
    key: RandomState,
}

impl GuardPlugin {
    /// Appends a comment that clients cannot predict. The library finds parsed and validated documents in its caches by
    /// an unkeyed hash, so a client could construct a document that collides with another one.
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
            floats_to_integers(variables);
            payload.proceed()
        })
    }
}

#[cfg(test)]
mod tests {
    use hive_router::sonic_rs;

    use super::*;

    #[test]
    fn syntax_errors_say_where_in_one_line() {
        let message = |document| check_syntax(document).unwrap_err().to_string();
        assert_eq!(
            message("{ a ? }"),
            "The operation cannot be parsed. Line 1, column 5: Unexpected character '?'. Expected }."
        );
        assert_eq!(
            message("where"),
            "The operation cannot be parsed. Line 1, column 1: Unexpected `where[Name]`. \
             Expected {, query, mutation, subscription or fragment."
        );
    }

    #[test]
    fn json_nesting_is_limited() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let levels = MAX_JSON_DEPTH / open.matches(['[', '{']).count();
            let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
            assert_eq!(check_json(nested(levels).as_bytes()), Ok(()));
            assert_eq!(
                check_json(nested(levels + 1).as_bytes()),
                Err(GuardError::JsonDepth)
            );
            assert_eq!(
                check_json(open.repeat(20_000).as_bytes()),
                Err(GuardError::JsonDepth)
            );
        }
        let brackets = "[".repeat(1000);
        let in_a_string = format!(r#"{{"query":"{{ a }}","variables":{{"a":"\"{brackets}\\"}}}}"#);
        assert_eq!(check_json(in_a_string.as_bytes()), Ok(()));
        let behind_an_escape_outside = format!(r#"{{"a":\"{brackets}"#);
        assert_eq!(
            check_json(behind_an_escape_outside.as_bytes()),
            Err(GuardError::NotJson)
        );
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
            assert_eq!(check_parameters(&text), Err(GuardError::JsonDepth), "{text}");
        }
    }

    #[test]
    fn the_tag_does_not_change_the_meaning_of_a_document() {
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
        floats_to_integers(&mut variables);
        let text = |name: &str| sonic_rs::to_string(&variables[name]).unwrap();
        assert_eq!(
            [text("a"), text("b"), text("f")],
            ["5", r#"[1.5,0,{"c":2000}]"#, "7"]
        );
        assert!(variables["d"].is_f64() && variables["e"].is_str());
    }
}
