//! Registers the composed schema, so that every GraphQL operation of the app is checked while it compiles.

use std::env;

fn main() {
    // Asked for when it runs: a build script that another checkout compiled may be run for this one.
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    let supergraph = format!("{folder}/../supergraph.graphql");
    println!("cargo::rerun-if-changed={supergraph}");
    cynic_codegen::register_schema("proofsheet")
        .from_sdl_file(supergraph)
        .expect("supergraph.graphql is a GraphQL schema; `./dev compose` writes it")
        .as_default()
        .expect("the build script may write its output folder");
}
