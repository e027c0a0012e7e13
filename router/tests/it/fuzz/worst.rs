//! The most expensive requests within the limits: CPU time and memory of the router process.
//!
//! `cargo test --test router worst_cases -- --ignored --nocapture` prints the table of `docs/measurements/gateway.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use harness::workspace;
use serde_json::{Value, json};

use super::input::{Input, post};
use super::target::Target;
use super::{CPU_LIMIT, DEVELOPMENT_FACTOR};
use crate::fakes::PHOTO;

/// Maximum growth in bytes by distinct documents of the largest size, with full caches.
const CACHE_LIMIT: u64 = 96 * 1024 * 1024;

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn worst_cases_of_a_development_build() {
    let program = Path::new(env!("CARGO_BIN_EXE_router"));
    measure(program, CPU_LIMIT * DEVELOPMENT_FACTOR).await;
}

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn worst_cases_of_a_release_build() {
    measure(&workspace::target_dir().join("release/router"), CPU_LIMIT).await;
}

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn distinct_documents_are_forgotten() {
    let mut target = Target::start(Path::new(env!("CARGO_BIN_EXE_router"))).await;
    target.record_initial_size();
    let (mut growth, mut sent) = (0, 0);
    for number in 0..90 {
        for (_, body) in cases(number) {
            growth = target.send(&input(&body)).await.growth;
            sent += 1;
        }
    }
    println!("{sent} distinct documents: grown by {} MiB", growth / 1024 / 1024);
    assert!(growth < CACHE_LIMIT, "the router has grown by {growth} bytes");
}

/// Prints the CPU time of each case, and fails above `limit`.
async fn measure(program: &Path, limit: Duration) {
    let mut target = Target::start(program).await;
    for number in 0..3 {
        for (_, body) in cases(number) {
            target.send(&input(&body)).await;
        }
    }
    let mut slow = Vec::new();
    println!("{}", program.display());
    for case in 0..cases(0).len() {
        // The minimum of several measurements, because other processes slow some of them down. Each is another
        // document.
        let mut least: Option<(Duration, String)> = None;
        let mut again = Duration::MAX;
        for number in 3..8 {
            let (_, body) = &cases(number)[case];
            let observed = target.send(&input(body)).await;
            again = again.min(target.send(&input(body)).await.cpu);
            if least.as_ref().is_none_or(|(cpu, _)| observed.cpu < *cpu) {
                least = Some((observed.cpu, observed.answer));
            }
        }
        let (name, _) = &cases(0)[case];
        let (cpu, answer) = least.expect("it was sent five times");
        println!("{name:<48} {cpu:>8.1?}, again {again:>8.1?}  {answer}");
        if cpu > limit {
            slow.push(format!("{name}: {cpu:.1?}"));
        }
    }
    assert!(slow.is_empty(), "above {limit:?}: {slow:?}");
}

fn input(body: &Value) -> Input {
    post("worst", body.to_string().into_bytes())
}

/// Repeats a text of `tokens` tokens up to the limit of tokens.
fn filled(text: &str, tokens: usize) -> String {
    text.repeat(960 / tokens)
}

/// Requests just within the limits, by name. `number` makes the documents distinct.
pub(super) fn cases(number: usize) -> Vec<(&'static str, Value)> {
    let query = |text: String| json!({ "query": format!("query N{number} {text}") });
    let photo = |selections: &str| format!("{{ photo(id: \"{PHOTO}\") {{ {selections} }} }}");
    let all = "id title altText width height publishedAt viewerVote commentCount votes { up down score } \
               author { id username displayName bio }";
    let levels = |depth: usize, core: &str| {
        (0..depth).fold(core.to_owned(), |inner, _| {
            format!("author {{ photos(first: 1) {{ nodes {{ {inner} }} }} }}")
        })
    };
    let spreads = |on: &str, core: &str, width: usize, depth: usize| {
        let mut fragments = String::new();
        for level in 0..depth {
            let inner = if level + 1 == depth {
                core.to_owned()
            } else {
                format!("...F{} ", level + 1).repeat(width)
            };
            let _ = write!(fragments, " fragment F{level} on {on} {{ {inner} }}");
        }
        fragments
    };
    let many = |count: usize, write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<String>();
    let variables = many(230, &|name| format!("$a{name}: Int "));
    let operations = many(120, &|name| format!("query Q{name} {{ viewer {{ id }} }} "));
    let unused = many(100, &|name| format!("fragment U{name} on User {{ id }} "));
    let unknown = many(950, &|name| format!("f{name} "));
    let differing = many(30, &|first| {
        format!("latestPhotos(first: {first}) {{ nodes {{ {all} }} }} ")
    });
    let aliased = many(15, &|name| {
        format!("a{name}: photo(id: \"{PHOTO}\") {{ ...F0 }} ")
    });
    let conditions = "... @include(if: true) { id title author { id username } } ".repeat(10);
    vec![
        ("one leaf of one service", query(format!("{{ viewer {{ {} }} }}", "email ".repeat(500)))),
        ("one leaf of a page", query(format!("{{ latestPhotos {{ nodes {{ {} }} }} }}", "id ".repeat(500)))),
        ("two leaves", query(photo(&filled("id title ", 2)))),
        ("one leaf of another service", query(photo(&filled("author { username } ", 4)))),
        ("one object", query(photo(&filled("votes { up } ", 4)))),
        ("one object, many fields", query(photo(&filled(&format!("{all} "), 25)))),
        ("objects in objects", query(photo(&filled(&format!("{} ", levels(2, "id")), 30)))),
        ("deep", query(photo(&format!("{} {all}", levels(2, all))))),
        ("deep, repeated", query(photo(&filled(&format!("{} ", levels(2, all)), 60)))),
        ("inline fragments", query(photo(&filled("... on Photo { id } ", 6)))),
        ("inline fragments in each other", query(photo(&format!("{}id{}", "... { ".repeat(36), " }".repeat(36))))),
        ("conditions", query(photo(&conditions))),
        ("fragments, 1,900 leaves", query(format!("{} {}", photo("...F0"), spreads("Photo", &"id ".repeat(100), 9, 2)))),
        ("fragments, eights", query(format!("{} {}", photo("...F0"), spreads("Photo", "id title votes { up }", 12, 3)))),
        ("fragments of all fields", query(format!("{} {}", photo("...F0"), spreads("Photo", all, 7, 3)))),
        ("fragments of another service", query(format!("{} {}", photo("...F0"), spreads("Photo", "author { username displayName }", 15, 3)))),
        ("fragments in 15 aliases", query(format!("{{ {aliased} }} {}", spreads("Photo", &format!("{all} {}", levels(1, all)), 2, 2)))),
        ("a chain of fragments", query(format!("{} {}", photo("...F0"), spreads("Photo", "id", 1, 35)))),
        ("conflicts", query(format!("{{ {differing} }}"))),
        ("unknown fields", query(format!("{{ viewer {{ {unknown} }} }}"))),
        ("unused fragments", query(format!("{{ viewer {{ id }} }} {unused}"))),
        ("operations", json!({ "query": format!("query N{number} {{ viewer {{ id }} }} {operations}"), "operationName": "Q7" })),
        ("unused variables", query(format!("({variables}) {{ viewer {{ id }} }}"))),
        ("a list as an argument", query(format!("{{ photo(id: [{}]) {{ id }} }}", filled("1 ", 1)))),
        ("an object as an argument", query(format!("{{ photo(id: {{{}}}) {{ id }} }}", filled("a: 1 ", 3)))),
        ("brackets in an argument", query(format!("{{ photo(id: {}1{}) {{ id }} }}", "[".repeat(37), "]".repeat(37)))),
        ("a long string", query(format!("{{ photo(id: \"{}\") {{ id }} }}", "\\u00e9".repeat(5_000)))),
        ("a long block string", query(format!("{{ photo(id: \"\"\"{}\"\"\") {{ id }} }}", "\n a".repeat(10_000)))),
        ("a comment", query(format!("{{ viewer {{ email }} }} #{}", "a#".repeat(15_000)))),
        ("commas", query(format!("{{ viewer {{ email }} }} {}", ",\n".repeat(15_000)))),
        ("a schema with all lists", query("{ __schema { types { fields { args { name type { name ofType { name ofType { name } } } } } } } }".to_owned())),
        ("a schema with repeated lists", query(format!("{{ __schema {{ types {{ {} }} }} }}", filled("fields { args { name } } ", 8)))),
        ("numbers as variables", json!({ "query": "query ($a: [Int]) { viewer { email } }", "variables": { "a": vec![number; 12_000] } })),
        ("fields as variables", json!({ "query": "query ($input: UpdateProfileInput!) { viewer { email } }",
            "variables": { "input": (0..4_000).map(|name| (format!("a{name}"), json!(number))).collect::<serde_json::Map<_, _>>() } })),
        ("escapes in JSON", json!({ "query": "{ viewer { email } }", "x": "\u{1}".repeat(10_000) })),
        ("small values in JSON", json!({ "query": "{ viewer { email } }", "x": vec![json!([]); 20_000] })),
    ]
}
