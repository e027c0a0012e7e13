//! Detects unchanged inputs since the last build.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use xtask::workspace::root;

/// A hash over the names and contents of files and of whole folders. A missing file counts as empty.
fn digest(paths: &[PathBuf]) -> Result<String> {
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

/// A short content hash for names of immutable files.
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

/// A stamp file with the hash of the inputs, so that unchanged outputs are not built again.
pub(crate) struct Stamp {
    file: PathBuf,
    /// Of the inputs.
    pub(crate) digest: String,
}

impl Stamp {
    /// The stamp is beside `made`, not in it, because `made` may be published.
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
