//! Generates random requests (JSON, documents, GET parameters), and mutates kept requests.

use std::fmt::Write as _;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::documents::{cycle, deep, fan_out, introspection, mutation, wide};
use crate::random::{self, Pools, Schema};

/// The router's limit of bodies is 64 KiB.
const MAX_BODY: usize = 64 * 1024;
/// Below the limit of the request line.
const MAX_QUERY_STRING: usize = 24 * 1024;

/// The bytes of a request.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Tokens of the grammars.
const PIECES: [&str; 56] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    ",",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "\\u0000",
    "...",
    "... on ",
    "@skip(if: true)",
    "@include(if: $v0)",
    "@deprecated",
    "$v0",
    "fragment F0 on Photo ",
    "query ",
    "mutation ",
    "subscription ",
    "null",
    "true",
    "1e999",
    "-0",
    "5.0",
    "99999999999999999999",
    "\"\"\"",
    "#",
    "!",
    "&",
    "|",
    "=",
    "__typename",
    "__schema",
    "__type(name: \"Photo\")",
    "__x",
    "id: title",
    "_entities",
    "_service { sdl }",
    "photo",
    "viewer",
    "latestPhotos",
    "first: 2147483648",
    "first: -1",
    "input: {",
    "\u{feff}",
    "\u{202e}",
    "\u{0}",
    "é",
    "🦆",
    "\r\n",
    "variables",
    "extensions",
];

const NAMES: [&str; 14] = [
    "a",
    "id",
    "first",
    "input",
    "variables",
    "query",
    "operationName",
    "extensions",
    "__proto__",
    "__typename",
    "",
    "é\u{301}",
    "\u{0}",
    "v0",
];

pub(super) struct Generator {
    schema: Schema,
    pools: Pools,
}

impl Generator {
    pub(super) fn new() -> Self {
        let pools = Pools {
            photos: vec!["01936f5e-7c00-7000-8000-000000000001".to_owned()],
            usernames: vec!["ada".to_owned()],
            days: vec!["2026-11-22".to_owned()],
            cursors: vec!["bGF0ZXN0".to_owned()],
        };
        Self {
            schema: Schema::load(),
            pools,
        }
    }

    /// A request like those of the app.
    pub(super) fn ordinary(&self, rng: &mut StdRng) -> Input {
        let operation = random::operation(&self.schema, &self.pools, rng);
        let body = json!({ "query": operation.to_string(), "variables": operation.variables() });
        post("ordinary", body.to_string().into_bytes())
    }

    pub(super) fn input(&self, rng: &mut StdRng) -> Input {
        match rng.random_range(0..20) {
            0..3 => self.ordinary(rng),
            3..8 => {
                let document = self.document(rng);
                post("document", envelope(&document, rng))
            }
            8..11 => {
                let mut document = self.document(rng).into_bytes();
                mutate_bytes(&mut document, b"{ viewer { id } }", rng);
                post(
                    "broken document",
                    envelope(&String::from_utf8_lossy(&document), rng),
                )
            }
            11..14 => post("json", json_text(rng).into_bytes()),
            14..16 => {
                let query = random::operation(&self.schema, &self.pools, rng).to_string();
                let place = ["variables", "extensions", "other", "operationName"]
                    .choose(rng)
                    .expect("it has some");
                let body = format!("{{\"query\":{},\"{place}\":{}}}", json!(query), json_text(rng));
                post("json in a request", body.into_bytes())
            }
            16..18 => self.get(rng),
            _ => {
                let document = self.document(rng);
                let mut body = envelope(&document, rng);
                mutate_bytes(&mut body, b"{\"query\":null}", rng);
                post("bytes", body)
            }
        }
    }

    /// Mutates a kept request, or combines its beginning with the end of another.
    pub(super) fn change(&self, input: &Input, other: &Input, rng: &mut StdRng) -> Input {
        let is_post = input.bytes.starts_with(b"POST");
        let (Some(mut own), Some(other)) = (content(&input.bytes), content(&other.bytes)) else {
            return self.input(rng);
        };
        // Often only the document is changed, so that the request remains valid.
        if is_post
            && rng.random_bool(0.6)
            && let Ok(mut body) = serde_json::from_slice::<Value>(&own)
            && let Some(query) = body["query"].as_str()
        {
            let mut query = query.as_bytes().to_vec();
            mutate_bytes(&mut query, self.document(rng).as_bytes(), rng);
            body["query"] = json!(String::from_utf8_lossy(&query));
            return post("changed document", body.to_string().into_bytes());
        }
        mutate_bytes(&mut own, &other, rng);
        if is_post {
            post("changed", own)
        } else {
            get_with("changed", &percent(&own))
        }
    }

    fn get(&self, rng: &mut StdRng) -> Input {
        let mut query = String::new();
        let document = self.document(rng);
        for name in ["query", "variables", "operationName", "extensions", "other"] {
            if name != "query" && rng.random_bool(0.5) {
                continue;
            }
            let value = match name {
                "query" => document.clone().into_bytes(),
                "operationName" => b"Named".to_vec(),
                _ => json_text(rng).into_bytes(),
            };
            let _ = write!(query, "{name}={}&", percent(&value));
            // Duplicated, or cut within an escape.
            if rng.random_bool(0.05) {
                let _ = write!(query, "{name}=%");
            }
        }
        get_with("get", &query)
    }

    /// A document: valid, or with cycles, expanding fragments or deep nesting.
    pub(super) fn document(&self, rng: &mut StdRng) -> String {
        match rng.random_range(0..12) {
            0..3 => random::operation(&self.schema, &self.pools, rng).to_string(),
            3 => cycle(rng),
            4 => fan_out(rng),
            5 => deep(rng),
            6 => wide(rng),
            7 => introspection(rng),
            8 => mutation(rng),
            _ => {
                // Pieces of valid documents, concatenated.
                let mut document = random::operation(&self.schema, &self.pools, rng).to_string();
                for _ in 0..rng.random_range(1..4) {
                    let other = random::operation(&self.schema, &self.pools, rng).to_string();
                    document.push(' ');
                    document.push_str(&other);
                }
                document
            }
        }
    }
}

pub(super) fn post(kind: &'static str, mut body: Vec<u8>) -> Input {
    body.truncate(MAX_BODY);
    let mut bytes = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    Input { kind, bytes }
}

fn get_with(kind: &'static str, query: &str) -> Input {
    let query = &query[..query.len().min(MAX_QUERY_STRING)];
    let head =
        format!("GET /graphql?{query} HTTP/1.1\r\nhost: localhost\r\nx-proofsheet: 1\r\naccept: */*\r\n\r\n");
    Input {
        kind,
        bytes: head.into_bytes(),
    }
}

/// Returns the body of a POST, or the query string of a GET.
fn content(request: &[u8]) -> Option<Vec<u8>> {
    if request.starts_with(b"POST") {
        let at = request.windows(4).position(|window| window == b"\r\n\r\n")?;
        return Some(request[at + 4..].to_vec());
    }
    let start = request.iter().position(|byte| *byte == b'?')? + 1;
    let end = start + request[start..].iter().position(|byte| *byte == b' ')?;
    Some(request[start..end].to_vec())
}

fn percent(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'%' | b'=' | b'&' => {
                text.push(char::from(*byte));
            }
            _ => {
                let _ = write!(text, "%{byte:02x}");
            }
        }
    }
    text
}

fn envelope(document: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut body = json!({ "query": document });
    if rng.random_bool(0.6) {
        body["variables"] = json!({ "v0": value(rng, 0), "v1": value(rng, 0), "input": value(rng, 0) });
    }
    if rng.random_bool(0.2) {
        body["operationName"] = json!(["Named", "", "A"].choose(rng));
    }
    body.to_string().into_bytes()
}

fn value(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth > 4 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(rng.random_bool(0.5)),
        2 => json!(rng.random_range(-3..200)),
        3 => json!(rng.random::<f64>() * 1e18),
        4 => json!("01936f5e-7c00-7000-8000-000000000001"),
        5 => json!("ada"),
        6 => json!("\u{0}\u{202e}🦆"),
        7 => (0..rng.random_range(0..4))
            .map(|_| value(rng, depth + 1))
            .collect(),
        _ => {
            let pairs = (0..rng.random_range(0..4)).map(|_| {
                let name = *NAMES.choose(rng).expect("there are some");
                (name.to_owned(), value(rng, depth + 1))
            });
            Value::Object(pairs.collect::<Vec<_>>().into_iter().collect())
        }
    }
}

/// Text that is JSON, or similar to it, with unusual keys, numbers, escapes and nesting.
fn json_text(rng: &mut StdRng) -> String {
    let mut text = String::new();
    match rng.random_range(0..8) {
        0 => nested_json(rng, &mut text),
        1 => {
            // Closed in the wrong order, or never.
            for _ in 0..rng.random_range(1..3_000) {
                text.push(
                    *['[', '{', ']', '}', '"', ',', ':', '1']
                        .choose(rng)
                        .expect("there are some"),
                );
            }
        }
        2 => {
            // Wide instead of deep.
            let item = ["0", "\"a\"", "{}", "[]", "null", "[[]]", "{\"a\":{}}"]
                .choose(rng)
                .expect("there are some");
            let count = rng.random_range(1..20_000);
            let _ = write!(text, "[{}0]", format!("{item},").repeat(count));
        }
        _ => json_value(rng, &mut text, 0),
    }
    text
}

fn nested_json(rng: &mut StdRng, text: &mut String) {
    let depth = match rng.random_range(0..3) {
        0 => rng.random_range(20..200),
        1 => rng.random_range(200..3_000),
        _ => rng.random_range(3_000..30_000),
    };
    let (open, close) = *[("[", "]"), ("{\"a\":", "}"), ("[{\"\":", "}]"), ("[[],", "]")]
        .choose(rng)
        .expect("there are some");
    text.push_str(&open.repeat(depth));
    text.push('1');
    if rng.random_bool(0.8) {
        text.push_str(&close.repeat(depth));
    }
}

fn json_value(rng: &mut StdRng, text: &mut String, depth: usize) {
    let scalars = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "1.0",
        "5.0",
        "1e5",
        "1E+400",
        "-1e-400",
        "00",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "9223372036854775808",
        "18446744073709551616",
        "1e",
        "0x10",
        "\"\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u0000\"",
        "\"\\x\"",
        "\"\t\"",
        "\"\u{2028}\"",
        "'a'",
        "\"é\"",
        "tru",
        "\"\\u00",
    ];
    match rng.random_range(0..10) {
        0..5 => text.push_str(scalars.choose(rng).expect("there are some")),
        5..7 if depth < 40 => {
            text.push('[');
            for position in 0..rng.random_range(0..5) {
                text.push_str(if position > 0 { "," } else { "" });
                json_value(rng, text, depth + 1);
            }
            text.push_str(if rng.random_bool(0.97) { "]" } else { "," });
        }
        7.. if depth < 40 => {
            text.push('{');
            for position in 0..rng.random_range(0..5) {
                text.push_str(if position > 0 { "," } else { "" });
                let name = NAMES.choose(rng).expect("there are some");
                // Some keys written by escapes.
                match rng.random_range(0..8) {
                    0 => {
                        text.push('"');
                        for character in name.chars() {
                            let _ = write!(text, "\\u{:04x}", u32::from(character));
                        }
                        text.push('"');
                    }
                    _ => text.push_str(&json!(name).to_string()),
                }
                text.push(':');
                json_value(rng, text, depth + 1);
            }
            text.push_str(if rng.random_bool(0.97) { "}" } else { ":" });
        }
        _ => text.push_str(&"9".repeat(rng.random_range(1..400))),
    }
}

/// Changes random bytes.
pub(super) fn mutate_bytes(bytes: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..40)).min(bytes.len());
        match rng.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => {
                bytes.drain(at..end);
            }
            3 => {
                let again = bytes[at..end].repeat(rng.random_range(1..200));
                bytes.splice(at..at, again);
            }
            4 => {
                bytes.truncate(at);
                let from = rng.random_range(0..=other.len());
                bytes.extend(&other[from..]);
            }
            _ => {
                let piece = PIECES.choose(rng).expect("there are some");
                let times = if rng.random_bool(0.9) {
                    1
                } else {
                    rng.random_range(1..3_000)
                };
                bytes.splice(at..at, piece.repeat(times).into_bytes());
            }
        }
        bytes.truncate(MAX_BODY);
    }
}
