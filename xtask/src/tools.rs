//! Running other programs, and noticing what has not changed since last time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use xtask::workspace::root;

/// A command in the root of the repository.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// cargo, of the pinned toolchain. Never with `-p` for what runs on this machine: a build of the whole
/// workspace has one set of features, and everything compiles once.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    command("cargo", arguments)
}

/// A program of the pinned npm tools.
pub(crate) fn npm_tool(name: &str) -> Result<Command> {
    let file = root().join("xtask/node_modules/.bin").join(name);
    if !file.exists() {
        bail!(
            "{} is missing. Run ./dev, which installs the front-end tools.",
            file.display()
        );
    }
    let mut command = Command::new(file);
    command.current_dir(root());
    Ok(command)
}

/// Runs a command whose output the person at the terminal sees.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start: {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}); the lines above say why");
    }
    Ok(())
}

/// Runs a command for what it prints; its errors are shown.
pub(crate) fn output(what: &str, command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("could not start: {what}"))?;
    if !output.status.success() {
        bail!("{what} failed ({}); the lines above say why", output.status);
    }
    Ok(output.stdout)
}

/// Says what is being done now.
pub(crate) fn say(text: &str) {
    eprintln!("dev: {text}");
}

/// A hash over the names and contents of files and of whole folders. What is missing counts as empty.
pub(crate) fn digest(paths: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in paths {
        let walk = walkdir::WalkDir::new(path)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| {
                !matches!(entry.file_name().to_str(), Some("node_modules" | "dist" | ".git"))
            });
        for entry in walk
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
        {
            let bytes = fs::read(entry.path())?;
            hash.update(
                entry
                    .path()
                    .strip_prefix(root())
                    .unwrap_or(entry.path())
                    .to_string_lossy()
                    .as_bytes(),
            );
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        }
    }
    Ok(hex(&hash.finalize()))
}

/// A short name for some bytes, for a file that may be cached for ever.
pub(crate) fn content_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))[..12].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Remembers what something was made from, so that it is not made again from the same.
pub(crate) struct Stamp {
    file: PathBuf,
    digest: String,
}

impl Stamp {
    /// The stamp lies beside `made`, never in it: `made` may be served to the world.
    pub(crate) fn new(made: &Path, inputs: &[PathBuf]) -> Result<Self> {
        let mut name = made.as_os_str().to_owned();
        name.push(".made-from");
        Ok(Self {
            file: name.into(),
            digest: digest(inputs)?,
        })
    }

    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|digest| digest == self.digest)
    }

    pub(crate) fn set(&self) -> Result<()> {
        fs::write(&self.file, &self.digest)
            .with_context(|| format!("could not write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_changes_with_a_name_and_with_a_byte() {
        let dir = tempfile::tempdir().unwrap();
        let inputs = [dir.path().to_path_buf()];
        fs::write(dir.path().join("a"), "one").unwrap();
        let first = digest(&inputs).unwrap();
        fs::write(dir.path().join("a"), "two").unwrap();
        let second = digest(&inputs).unwrap();
        fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        let third = digest(&inputs).unwrap();
        assert!(first != second && second != third && first != third);
    }

    #[test]
    fn a_stamp_is_current_until_an_input_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (made, input) = (dir.path().join("made"), dir.path().join("input"));
        fs::write(&input, "one").unwrap();
        Stamp::new(&made, std::slice::from_ref(&input))
            .unwrap()
            .set()
            .unwrap();
        assert!(
            Stamp::new(&made, std::slice::from_ref(&input))
                .unwrap()
                .is_current()
        );
        fs::write(&input, "two").unwrap();
        assert!(
            !Stamp::new(&made, std::slice::from_ref(&input))
                .unwrap()
                .is_current()
        );
    }
}
