//! Registers the composed schema, and generates a constant for each text of the catalogues, so that every GraphQL
//! fragment and every text is checked while it compiles.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The languages, in the order of `Language::ALL`.
const LANGUAGES: [&str; 2] = ["en", "de"];

/// Groups of texts by key.
type Catalogue = BTreeMap<String, BTreeMap<String, String>>;

fn main() {
    // Read at run time: another checkout may have compiled this build script.
    let folder = folder("CARGO_MANIFEST_DIR");
    register_schema(&folder);
    write_catalogue(&folder.join("locales"));
}

fn folder(name: &str) -> PathBuf {
    env::var_os(name)
        .unwrap_or_else(|| panic!("cargo sets {name}"))
        .into()
}

fn register_schema(folder: &Path) {
    let supergraph = folder.join("../../supergraph.graphql");
    println!("cargo::rerun-if-changed={}", supergraph.display());
    cynic_codegen::register_schema("proofsheet")
        .from_sdl_file(supergraph)
        .expect("supergraph.graphql is a GraphQL schema; `./dev supergraph` writes it")
        .as_default()
        .expect("the build script may write its output folder");
}

/// Writes `pub mod group { pub const KEY: &[&str; 2] = …; }` for each text.
fn write_catalogue(locales: &Path) {
    println!("cargo::rerun-if-changed={}", locales.display());
    let catalogues = LANGUAGES.map(|language| read_catalogue(&locales.join(format!("{language}.json"))));
    let keys = |catalogue: &Catalogue| -> Vec<String> {
        let keys = |(group, texts): (&String, &BTreeMap<String, String>)| {
            texts
                .keys()
                .map(|key| format!("{group}.{key}"))
                .collect::<Vec<_>>()
        };
        catalogue.iter().flat_map(keys).collect()
    };
    for (language, catalogue) in LANGUAGES.iter().zip(&catalogues) {
        assert_eq!(
            keys(catalogue),
            keys(&catalogues[0]),
            "{language}.json must have the keys of {}.json",
            LANGUAGES[0]
        );
    }
    let mut module = String::new();
    for (group, texts) in &catalogues[0] {
        let _ = writeln!(module, "pub mod {group} {{");
        for key in texts.keys() {
            let wordings = catalogues.each_ref().map(|catalogue| &catalogue[group][key]);
            let _ = writeln!(
                module,
                "    pub const {}: &[&str; {}] = &{wordings:?};",
                key,
                LANGUAGES.len()
            );
        }
        let _ = writeln!(module, "}}");
    }
    fs::write(folder("OUT_DIR").join("catalogue.rs"), module)
        .expect("the build script may write its output folder");
}

fn read_catalogue(file: &Path) -> Catalogue {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
