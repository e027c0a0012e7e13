//! Paths in the repository and in cargo's target folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Returns the root of the checkout in which this program was started.
///
/// This may differ from the checkout in which it was compiled, because checkouts can share a target folder.
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

/// Returns cargo's target folder.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Returns the folder of the built programs, such as `target/debug`.
///
/// Tests run from its subfolder `deps`.
pub fn binaries() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a program lies in a folder");
    match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder).to_path_buf(),
        _ => folder.to_path_buf(),
    }
}

/// Returns the folder of the app's bundle, which `./dev bundle` writes.
pub fn app_bundle() -> PathBuf {
    target_dir().join("app")
}

/// Returns the file with the URL of the database that `./dev db` runs. The testkit reads it.
pub fn test_database_url() -> PathBuf {
    target_dir().join("test-database-url")
}

/// Returns the folder of the development bundle, which is larger and quicker to build.
pub fn development_bundle() -> PathBuf {
    target_dir().join("app-development")
}

/// Returns the folder of the playground's bundle.
pub fn playground_bundle() -> PathBuf {
    root().join("router/playground/dist")
}
