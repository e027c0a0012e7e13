//! Registers the composed schema, so that every GraphQL operation of the app is checked while it compiles, and has the
//! linker keep what splitting the app takes.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    // Read at run time: another checkout may have compiled this build script.
    let folder = folder("CARGO_MANIFEST_DIR");
    register_schema(&folder);
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
