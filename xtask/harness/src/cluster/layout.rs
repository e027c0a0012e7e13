//! The layout of a cluster: folders, addresses, secrets, and the arguments of its programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{NODES, Options, read};
use crate::disk::SmallDisk;
use crate::network::Network;
use crate::system::SERVICES;
use crate::system::database::write_private;
use crate::system::secret;
use crate::system::services::{self, ServiceEnv};

/// The port of all services, because each has another address.
const SERVICE_PORT: u16 = 5000;
/// The last parts of addresses.
const ROUTER_HOST: u8 = 100;
const FIRST_REPLICA_HOST: u8 = 101;
const OBJECTS_HOST: u8 = 190;
const FIRST_BALANCED_HOST: u8 = 201;
/// Maximum number of replicas of a service.
const MAX_REPLICAS: u8 = 10;

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    pub(super) binaries: PathBuf,
    pub(super) cluster_secret: String,
    passwords: BTreeMap<&'static str, String>,
    router: String,
    objects: String,
    /// The address of each program.
    replicas: BTreeMap<String, String>,
    /// The virtual address of each service.
    balanced: BTreeMap<&'static str, String>,
    _temporary: Option<tempfile::TempDir>,
}

impl Layout {
    pub(super) fn new(options: &Options, network: &Network) -> Result<Self> {
        let (dir, temporary) = if let Some(dir) = &options.data_dir {
            (std::path::absolute(dir)?, None)
        } else {
            let temporary = tempfile::Builder::new().prefix("cluster-").tempdir()?;
            (temporary.path().to_path_buf(), Some(temporary))
        };
        for folder in ["logs", "secrets", "objects/media"] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
        }
        if options.replicas > MAX_REPLICAS {
            bail!("there are addresses for {MAX_REPLICAS} replicas of a service");
        }
        let secrets = dir.join("secrets");
        let mut layout = Self {
            binaries: options
                .binaries
                .clone()
                .unwrap_or_else(crate::workspace::binaries),
            cluster_secret: secret(&secrets.join("cluster"))?,
            passwords: BTreeMap::new(),
            router: network.add_host(ROUTER_HOST)?,
            objects: network.add_host(OBJECTS_HOST)?,
            replicas: BTreeMap::new(),
            balanced: BTreeMap::new(),
            dir,
            _temporary: temporary,
        };
        for name in ["sst", "internal-secret", "key-secret", "objects-secret"] {
            secret(&secrets.join(name))?;
        }
        for (number, service) in (0..).zip(SERVICES.iter().copied()) {
            layout
                .balanced
                .insert(service, network.add_host(FIRST_BALANCED_HOST + number)?);
            for replica in 0..options.replicas {
                let address = network.add_host(FIRST_REPLICA_HOST + number * MAX_REPLICAS + replica)?;
                layout
                    .replicas
                    .insert(format!("{service}-{}", replica + 1), address);
            }
            let password = secret(&secrets.join(format!("{service}_password")))?;
            let migrate = secret(&secrets.join(format!("{service}_migrate_password")))?;
            layout.passwords.insert(service, password);
            let migrate = format!("mysql://{service}_migrate:{migrate}@db:3306/{service}");
            write_private(
                &layout.secret_file(&format!("{service}-database-url")),
                &layout.database_url(service, "db"),
            )?;
            write_private(
                &layout.secret_file(&format!("{service}-migrate-database-url")),
                &migrate,
            )?;
        }
        // The name `db` resolves to all database nodes.
        let nodes = network.addresses().join(" db\n");
        fs::write(
            layout.dir.join("hosts"),
            format!("127.0.0.1 localhost\n{nodes} db\n"),
        )?;
        Ok(layout)
    }

    pub(super) fn secret_file(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(name)
    }

    pub(super) fn log_file(&self, part: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{part}.log"))
    }

    pub(super) fn volume(&self, slot: u32) -> PathBuf {
        self.dir.join(format!("volume-{slot}"))
    }

    /// Creates the volumes of all nodes, and returns the small disk if one is on it.
    pub(super) fn make_volumes(&self, small: Option<(u32, u32)>) -> Result<Option<SmallDisk>> {
        for slot in 1..=NODES {
            fs::create_dir_all(self.volume(slot))?;
        }
        small
            .map(|(slot, megabytes)| SmallDisk::mount(self.volume(slot), megabytes))
            .transpose()
    }

    pub(super) fn program(&self, name: &str) -> Result<PathBuf> {
        services::program(&self.binaries, name)
    }

    pub(super) fn database_url(&self, service: &str, host: &str) -> String {
        let password = &self.passwords[service];
        format!("mysql://{service}:{password}@{host}:3306/{service}")
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}:4999", self.router)
    }

    /// Returns the URL of a service by its virtual address.
    pub(super) fn url(&self, service: &str) -> String {
        format!("http://{}:{SERVICE_PORT}", self.balanced[service])
    }

    /// Returns the virtual address of a service, and the addresses of its replicas.
    pub(super) fn balanced(&self, service: &str) -> (String, Vec<String>) {
        let of_service = |part: &str| part.rsplit_once('-').is_some_and(|(name, _)| name == service);
        let replicas = self.replicas.iter().filter(|(part, _)| of_service(part));
        (
            format!("{}:{SERVICE_PORT}", self.balanced[service]),
            replicas
                .map(|(_, address)| format!("{address}:{SERVICE_PORT}"))
                .collect(),
        )
    }

    pub(super) fn replicas(&self) -> Vec<String> {
        self.replicas.keys().cloned().collect()
    }

    /// Returns the URL of the readiness check of a program.
    pub(super) fn readiness(&self, part: &str) -> String {
        let address = match self.replicas.get(part) {
            Some(address) => format!("{address}:{SERVICE_PORT}"),
            None => format!("{}:5005", self.router),
        };
        format!("http://{address}/readiness")
    }

    /// Returns the arguments of `unshare` that start a program which can resolve the names of the database nodes.
    pub(super) fn with_names(&self, program: &str) -> Vec<String> {
        let hosts = self.dir.join("hosts").display().to_string();
        let program = self.binaries.join(program).display().to_string();
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"".to_owned();
        let mut arguments: Vec<_> = ["--mount", "--", "sh", "-c"].map(str::to_owned).into();
        arguments.extend([script, hosts, program]);
        arguments
    }

    pub(super) fn set_up_service(&self, part: &str, service: &str, command: &mut Command) {
        let listen = match self.replicas.get(part) {
            Some(address) => format!("{address}:{SERVICE_PORT}"),
            None => format!("{}:4999", self.router),
        };
        let around = ServiceEnv {
            listen,
            internal_listen: format!("{}:5005", self.router),
            public_url: self.base_url(),
            media_store: "s3://media/photos".to_owned(),
            secrets: &self.dir.join("secrets"),
            url: &|name| self.url(name),
        };
        services::set_up(&around, service, command);
        match service {
            "photo" => {
                command.envs(self.objects_environment());
            }
            "router" => {
                // Tests use the API only, from few addresses.
                command.env_remove("APP_DIR").env_remove("PLAYGROUND_DIR");
                command
                    .env("RATE_LIMIT_GRAPHQL", "0")
                    .env("RATE_LIMIT_PAGES", "0")
                    .env("RATE_LIMIT_UPLOADS", "0");
            }
            _ => {}
        }
    }

    pub(super) fn objects_environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("S3_ENDPOINT", format!("http://{}:9000", self.objects)),
            ("S3_ACCESS_KEY_ID", "proofsheet".to_owned()),
            (
                "S3_SECRET_ACCESS_KEY_FILE",
                self.secret_file("objects-secret").display().to_string(),
            ),
        ]
    }

    pub(super) fn set_up_objects(&self, command: &mut Command) -> Result<()> {
        command
            .args(["--listen", &format!("{}:9000", self.objects)])
            .args(["--access-key-id", "proofsheet"])
            .args(["--secret-access-key", &read(&self.secret_file("objects-secret"))?])
            .arg(self.dir.join("objects"));
        Ok(())
    }

    /// Sets the environment of an agent.
    pub(super) fn set_up_database(&self, slot: u32, network: &Network, command: &mut Command) {
        command
            .env("DATABASE_SLOT", slot.to_string())
            .env("DATABASE_NODES", NODES.to_string())
            .env("DATABASE_PEERS", network.addresses().join(","))
            .env("DATABASE_VOLUME", self.volume(slot))
            .env("DATABASE_SECRETS", self.dir.join("secrets"))
            .env("DATABASE_CLUSTER_SECRET_FILE", self.secret_file("cluster"))
            .env("DATABASE_SST_PASSWORD_FILE", self.secret_file("sst"))
            .env("DATABASE_BUFFER_POOL", "64M")
            .env("DATABASE_GCACHE", "64M")
            .env("DATABASE_MAX_CONNECTIONS", "300");
    }
}
