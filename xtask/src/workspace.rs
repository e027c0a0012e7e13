//! Paths in the repository and in cargo's target folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the checkout that we were started in.
///
/// Not the one that this program was compiled in: two checkouts may share a target folder, and cargo
/// takes a program that either of them built for the other's.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = std::env::current_dir().unwrap_or_default();
        let is_root = |dir: &&Path| dir.join("rust-toolchain.toml").is_file() && dir.join("xtask").is_dir();
        let compiled_in = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap_or(Path::new("/"));
        here.ancestors()
            .find(is_root)
            .unwrap_or(compiled_in)
            .to_path_buf()
    })
}

/// Cargo's target folder.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The folder that the running program's siblings were built into: `target/debug`, say.
///
/// A test runs from the folder `deps` in it.
pub fn binaries() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a program lies in a folder");
    match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder).to_path_buf(),
        _ => folder.to_path_buf(),
    }
}

/// The folder that `./dev bundle` writes the app into, ready to be served.
pub fn app_bundle() -> PathBuf {
    target_dir().join("app")
}

/// Where `./dev db` writes the URL of the database that it keeps running. The testkit looks for it here.
pub fn test_database_url() -> PathBuf {
    target_dir().join("test-database-url")
}

/// The same during development of the app: built fast, and large.
pub fn development_bundle() -> PathBuf {
    target_dir().join("app-development")
}

/// The folder that the playground is bundled into.
pub fn playground_bundle() -> PathBuf {
    root().join("router/playground/dist")
}
