//! Generates documents that are expensive for servers: cycles, expanding fragments, depth, width, introspection.

use std::fmt::Write as _;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// Fragments that spread each other in a cycle of random length and depth, sometimes with conditions.
pub(super) fn cycle(rng: &mut StdRng) -> String {
    let length = rng.random_range(1..40);
    let (on, start, (open, close)) = *[
        ("Query", "query", ("", "")),
        ("Query", "query", ("... {", "}")),
        ("Mutation", "mutation", ("", "")),
        ("Photo", "query", ("author { photos { nodes {", "} } }")),
        ("User", "query", ("photos { nodes { author {", "} } }")),
        ("Comment", "query", ("replyTo {", "}")),
        ("__Type", "query", ("ofType {", "}")),
    ]
    .choose(rng)
    .expect("there are some");
    let root = match on {
        "Photo" => "{ photo(id: 1) { ...F0 } }",
        "User" => "{ user(username: \"ada\") { ...F0 } }",
        "Comment" => "{ photo(id: 1) { comments { nodes { ...F0 } } } }",
        "__Type" => "{ __type(name: \"Photo\") { ...F0 } }",
        _ => "{ ...F0 }",
    };
    let condition = [
        "",
        "",
        "@skip(if: true)",
        "@include(if: true)",
        "@include(if: $v0)",
    ]
    .choose(rng)
    .expect("there are some");
    // Sometimes the last fragment ends the cycle, which makes the document valid, and sometimes a fragment is missing.
    let last = rng.random_range(0..length + 2);
    let mut document = format!("{start} {root}");
    for number in 0..length {
        let next = if number + 1 == length { last } else { number + 1 };
        let _ = write!(
            document,
            " fragment F{number} on {on} {{ __typename {open} ...F{next} {condition} {close} }}"
        );
    }
    document
}

/// Each fragment spreads the next one several times.
pub(super) fn fan_out(rng: &mut StdRng) -> String {
    let (levels, width) = (rng.random_range(2..14), rng.random_range(2..12));
    let is_inline = rng.random_bool(0.2);
    let leaf = [
        "__typename",
        "viewer { id }",
        "latestPhotos(first: 1) { nodes { id title } }",
        "a: photo(id: 1) { id }",
    ]
    .choose(rng)
    .expect("there are some");
    let mut document = "{ ...F0 }".to_owned();
    for level in 0..levels {
        let next = if level + 1 == levels {
            (*leaf).to_owned()
        } else {
            format!("...F{} ", level + 1).repeat(width)
        };
        let next = if is_inline {
            format!("... @include(if: true) {{ {next} }}")
        } else {
            next
        };
        let _ = write!(document, " fragment F{level} on Query {{ {next} }}");
    }
    document
}

/// A document with deep nesting of one kind.
pub(super) fn deep(rng: &mut StdRng) -> String {
    let depth = match rng.random_range(0..3) {
        0 => rng.random_range(5..60),
        1 => rng.random_range(60..1_000),
        _ => rng.random_range(1_000..12_000),
    };
    let nest =
        |open: &str, core: &str, close: &str| format!("{}{core}{}", open.repeat(depth), close.repeat(depth));
    match rng.random_range(0..8) {
        0 => nest("{a", "", "}"),
        1 => format!(
            "{{ photo(id: 1) {} }}",
            nest("{ author { photos { nodes ", "{ id }", "} } }")
        ),
        2 => format!("{{ {} }}", nest("... {", "viewer { id }", "}")),
        3 => format!("{{ photo(id: {}) {{ id }} }}", nest("[", "1", "]")),
        4 => format!("{{ photo(id: {}) {{ id }} }}", nest("{a:", "1", "}")),
        5 => format!(
            "query ($v0: {}) {{ photo(id: $v0) {{ id }} }}",
            nest("[", "ID", "]")
        ),
        6 => format!(
            "query ($v0: ID = {}) {{ photo(id: $v0) {{ id }} }}",
            nest("[", "1", "]")
        ),
        _ => format!(
            "{{ __schema {{ types {} }} }}",
            nest("{ fields { type ", "{ name }", "} }")
        ),
    }
}

/// A document with many elements of one kind.
pub(super) fn wide(rng: &mut StdRng) -> String {
    let count = match rng.random_range(0..2) {
        0 => rng.random_range(10..300),
        _ => rng.random_range(300..6_000),
    };
    let many = |write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<String>();
    match rng.random_range(0..9) {
        0 => format!(
            "{{ {} }}",
            many(&|number| format!("a{number}: usernameAvailable(username: \"a\") "))
        ),
        1 => format!("{{ viewer {{ {} }} }}", "id ".repeat(count)),
        2 => format!("{{ viewer {{ id {} }} }}", "@include(if: true) ".repeat(count)),
        3 => format!(
            "query ({}) {{ viewer {{ id }} }}",
            many(&|number| format!("$a{number}: Int "))
        ),
        4 => format!(
            "{{ viewer {{ id }} }} {}",
            many(&|number| format!("fragment A{number} on User {{ id }} "))
        ),
        5 => format!(
            "{{ photo({}) {{ id }} }}",
            many(&|number| format!("a{number}: 1 "))
        ),
        6 => many(&|number| format!("query A{number} {{ viewer {{ id }} }} ")),
        7 => format!(
            "{{ photo(id: \"\"\"{}\"\"\") {{ id }} }}",
            "\\\"\"\" \n ".repeat(count)
        ),
        _ => format!("{{ viewer {{ id }} }} #{}", ",\t\u{feff}#\n".repeat(count)),
    }
}

pub(super) fn introspection(rng: &mut StdRng) -> String {
    let fields = [
        "name",
        "kind",
        "description",
        "fields { %s }",
        "type { %s }",
        "ofType { %s }",
        "args { %s }",
        "types { %s }",
        "inputFields { %s }",
        "interfaces { %s }",
        "possibleTypes { %s }",
        "enumValues { %s }",
        "directives { %s }",
        "fields(includeDeprecated: true) { %s }",
        "a: name",
        "__typename",
        "...T",
    ];
    let mut body = "%s %s".to_owned();
    for _ in 0..rng.random_range(1..30) {
        let field = fields.choose(rng).expect("there are some");
        body = body.replacen("%s", &format!("{field} %s"), 1);
    }
    let body = body.replace("%s", "name");
    match rng.random_range(0..3) {
        0 => format!("{{ __schema {{ {body} }} }}"),
        1 => format!("{{ __type(name: \"Photo\") {{ {body} }} }}"),
        _ => format!("{{ __schema {{ types {{ ...T }} }} }} fragment T on __Type {{ {body} }}"),
    }
}

pub(super) fn mutation(rng: &mut StdRng) -> String {
    let field = [
        "castVote(photoId: $v0, vote: UP) { id votes { up } }",
        "castVote(photoId: $v0, vote: UP) { id author { username } comments { totalCount } }",
        "updatePhoto(input: { id: $v0, title: $v1 }) { id: title }",
        "updateProfile(input: $input) { bio }",
        "addComment(input: { photoId: $v0, body: $v1, replyToId: null }) { id replies { totalCount } }",
        "login(input: $input) { viewer { user { photos { nodes { id } } } } }",
        "logout",
        "deleteComment(id: $v0)",
        "__typename",
        "__type(name: \"Photo\") { name }",
    ];
    let head = [
        "",
        "($v0: ID!, $v1: String)",
        "($v0: ID!, $v1: String = null, $input: UpdateProfileInput!)",
    ];
    let mut document = format!("mutation Named{} {{ ", head.choose(rng).expect("there are some"));
    for _ in 0..rng.random_range(1..6) {
        if rng.random_bool(0.3) {
            let _ = write!(document, "a{}: ", rng.random_range(0..3));
        }
        let _ = write!(document, "{} ", field.choose(rng).expect("there are some"));
    }
    document.push('}');
    document
}
