//! Where things are in this repository and in cargo's target folder.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root of the repository")
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

/// The folder that the playground is bundled into.
pub fn playground_bundle() -> PathBuf {
    root().join("router/playground/dist")
}
