//! Registers the composed schema and reads the catalogues, so that every GraphQL operation and every text of the app is
//! checked while it compiles, and has the linker keep what splitting the app takes.

use std::env;
use std::path::{Path, PathBuf};

use leptos_i18n_parser::parse_locales::options::Config;
use leptos_i18n_parser::parse_locales::parse_locales;

fn main() {
    // Asked for when it runs: a build script that another checkout compiled may be run for this one.
    let folder = folder("CARGO_MANIFEST_DIR");
    register_schema(&folder);
    write_catalogue(&folder);
    keep_relocations();
}

fn folder(name: &str) -> PathBuf {
    env::var_os(name)
        .unwrap_or_else(|| panic!("cargo sets {name}"))
        .into()
}

/// Keeps relocations, which `./dev bundle` needs to split the app.
fn keep_relocations() {
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg=--emit-relocs");
    }
}

fn register_schema(folder: &Path) {
    let supergraph = folder.join("../supergraph.graphql");
    println!("cargo::rerun-if-changed={}", supergraph.display());
    cynic_codegen::register_schema("proofsheet")
        .from_sdl_file(supergraph)
        .expect("supergraph.graphql is a GraphQL schema; `./dev supergraph` writes it")
        .as_default()
        .expect("the build script may write its output folder");
}

/// Writes the module that `language.rs` includes. A text that only one language has stops the build.
fn write_catalogue(crate_folder: &Path) {
    println!(
        "cargo::rerun-if-changed={}",
        crate_folder.join("locales").display()
    );
    let config = Config::new("en").and_then(|config| config.add_locale("de"));
    let catalogues = parse_locales(
        Some(crate_folder.to_owned()),
        config.expect("these are languages"),
    )
    .unwrap_or_else(|error| panic!("the catalogues cannot be read: {error}"));
    let warnings = catalogues.diag.warnings();
    let errors = catalogues.diag.errors();
    let problems: Vec<String> = errors
        .iter()
        .map(ToString::to_string)
        .chain(warnings.iter().map(ToString::to_string))
        .collect();
    assert!(
        problems.is_empty(),
        "the catalogues have flaws:\n{}",
        problems.join("\n")
    );
    let module = leptos_i18n_codegen::gen_code(&catalogues, None, false, None, false)
        .unwrap_or_else(|error| panic!("the catalogues make no module: {error}"));
    std::fs::write(folder("OUT_DIR").join("catalogue.rs"), module.to_string())
        .expect("the build script may write its output folder");
}
