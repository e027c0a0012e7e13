//! The layout of a running system: folders, ports and secrets.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::database;
use super::ports::{self, PortOwner};
use super::services::{self, SERVICES};

/// The folder, ports and secrets of a running system.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    base: u16,
    binaries: PathBuf,
    pub(super) root_password: String,
    pub(super) passwords: BTreeMap<&'static str, (String, String)>,
}

impl Layout {
    pub(super) fn new(dir: &Path, base: u16, binaries: PathBuf) -> Result<Self> {
        let secret = |name: &str| secret(&dir.join("secrets").join(name));
        let layout = Self {
            root_password: secret("database-root-password")?,
            passwords: SERVICES
                .iter()
                .map(|&service| {
                    let password = secret(&format!("{service}-database-password"))?;
                    let migrate_password = secret(&format!("{service}-migrate-database-password"))?;
                    Ok((service, (password, migrate_password)))
                })
                .collect::<Result<_>>()?,
            base,
            binaries,
            dir: dir.to_path_buf(),
        };
        for name in ["internal-secret", "key-secret"] {
            secret(name)?;
        }
        // Write the URLs at each start, because the port may have changed.
        for (service, (_, migrate_password)) in &layout.passwords {
            let address = format!("127.0.0.1:{}/{service}", layout.port("database"));
            database::write_private(
                &layout.secret_file(&format!("{service}-database-url")),
                &layout.database_url(service),
            )?;
            database::write_private(
                &layout.secret_file(&format!("{service}-migrate-database-url")),
                &format!("mysql://{service}_migrate:{migrate_password}@{address}"),
            )?;
        }
        Ok(layout)
    }

    /// Returns the port of a program, at a fixed distance from the router's.
    pub(super) fn port(&self, name: &str) -> u16 {
        let is_named = |owner: &PortOwner| owner.name == name;
        let owner = ports::owners().into_iter().find(is_named);
        let owner = owner.unwrap_or_else(|| panic!("no part of the system is called {name}"));
        self.base + owner.distance
    }

    pub(super) fn secret_file(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(name)
    }

    pub(super) fn log_file(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// Sets the environment of a program.
    pub(super) fn set_up(&self, service: &str, command: &mut std::process::Command) {
        let url = |name: &str| format!("http://127.0.0.1:{}", self.port(name));
        let around = services::ServiceEnv {
            listen: format!("127.0.0.1:{}", self.port(service)),
            internal_listen: format!("127.0.0.1:{}", self.port("router-internal")),
            public_url: format!("http://localhost:{}", self.base),
            media_store: format!("file://{}", self.dir.join("media").display()),
            secrets: &self.dir.join("secrets"),
            url: &url,
        };
        services::set_up(&around, service, command);
    }

    pub(super) fn database_url(&self, service: &str) -> String {
        let (password, _) = self
            .passwords
            .get(service)
            .unwrap_or_else(|| panic!("{service} has no schema"));
        format!(
            "mysql://{service}:{password}@127.0.0.1:{}/{service}",
            self.port("database")
        )
    }

    pub(super) fn program(&self, service: &str) -> Result<PathBuf> {
        services::program(&self.binaries, service)
    }
}

/// Reads a generated secret, or generates it.
pub(crate) fn secret(file: &Path) -> Result<String> {
    match fs::read_to_string(file) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => {
            let secret = database::random_secret();
            database::write_private(file, &secret)?;
            Ok(secret)
        }
    }
}

/// Locks a data folder, or fails if another process uses it.
pub(super) fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    if file.try_lock().is_err() {
        let mut owner = String::new();
        let _ = file.read_to_string(&mut owner);
        bail!(
            "The folder {} is in use by another ./dev up (process {}). Stop that one, or choose another folder \
             and block of ports: ./dev up --data DIR --port N",
            dir.display(),
            owner.trim()
        );
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}
