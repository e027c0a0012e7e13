//! Registers the composed schema, so that every GraphQL operation of the app is checked while it compiles.

fn main() {
    let supergraph = concat!(env!("CARGO_MANIFEST_DIR"), "/../supergraph.graphql");
    println!("cargo::rerun-if-changed={supergraph}");
    cynic_codegen::register_schema("proofsheet")
        .from_sdl_file(supergraph)
        .expect("supergraph.graphql is a GraphQL schema; `./dev compose` writes it")
        .as_default()
        .expect("the build script may write its output folder");
}
