//! A small disk for tests of a full disk: a file system in memory. Mounting it needs root.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A folder with limited space. Its contents are deleted with it.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of this size at a folder.
    pub fn mount(at: PathBuf, megabytes: u32) -> Result<Self> {
        fs::create_dir_all(&at).with_context(|| format!("could not make {}", at.display()))?;
        let disk = Self { at };
        disk.call_mount(&format!("size={megabytes}m"))?;
        Ok(disk)
    }

    /// Changes the size of the file system.
    pub fn resize(&self, megabytes: u32) -> Result<()> {
        self.call_mount(&format!("remount,size={megabytes}m"))
    }

    fn call_mount(&self, options: &str) -> Result<()> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.at)
            .output()
            .context("could not run mount")?;
        if !mount.status.success() {
            bail!(
                "a small file system cannot be mounted: {}",
                String::from_utf8_lossy(&mount.stderr)
            );
        }
        Ok(())
    }

    /// Writes up to `bytes` bytes, or until the disk is full.
    pub fn fill(&self, mut bytes: u64) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        // Large pieces first, then small ones.
        for piece in [vec![0; 1 << 16], vec![0; 512]] {
            let length = piece.len() as u64;
            while bytes >= length && filler.write_all(&piece).is_ok() {
                bytes -= length;
            }
        }
        Ok(())
    }

    /// Removes the data of [`Self::fill`].
    pub fn clear(&self) -> Result<()> {
        fs::remove_file(self.filler()).map_err(Into::into)
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a process may still have a file open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
