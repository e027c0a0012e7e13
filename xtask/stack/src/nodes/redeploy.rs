//! Loss of machines with their disks: continuing with one, adding new machines, and restoring from the backup.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::{MANAGERS, PhotoStorage, Swarm, folder};
use crate::STACK;
use crate::engine::said;
use xtask::tools::run;

const BACKUP: &str = "proofsheet/backup:stack-test";

impl Swarm {
    /// The operator forces the remaining machine to continue alone.
    pub(super) async fn lose_all_but_one(&mut self) -> Result<String> {
        let lost: Vec<_> = self.machines[1..].iter().map(|it| it.name.clone()).collect();
        for machine in &mut self.machines[1..] {
            machine.lose()?;
        }
        self.machines.truncate(MANAGERS as usize);
        let refused = self.is_refused().await?;
        let began = Instant::now();
        let left = self.manager();
        let alone = ["swarm", "init", "--force-new-cluster", "--advertise-addr"];
        left.docker(&[&alone[..], &[left.address()]].concat()).await?;
        let names = [&[self.machines[0].name.clone()][..], &lost].concat();
        self.script("forget", &names).await?;
        let forgotten = began.elapsed().as_secs_f64();
        // The task is restarted with the Swarm.
        left.until("the database that is left takes it", async || {
            Ok(left.run_in("db", &["force-bootstrap"]).await.is_ok())
        })
        .await?;
        self.databases_on(&[0]).await?;
        left.until("the site answers", async || left.answers("latestPhotos").await)
            .await?;
        Ok(format!(
            "{refused}; the others are forgotten after {forgotten:.0} s, and the site answers from one machine after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Adds new machines with empty disks.
    pub(super) async fn replace(&mut self) -> Result<String> {
        for machine in &mut self.machines[1..] {
            machine.start()?;
        }
        self.send(1..3).await?;
        let began = Instant::now();
        self.up().await?;
        self.whole().await?;
        Ok(format!(
            "a router and a database on each {:.0} s after they had the images",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Deletes everything but the folder of the secrets, a copy of the backups, and the images.
    pub(super) async fn lose_all(&mut self) -> Result<String> {
        self.copy_the_backup().await?;
        for machine in &mut self.machines[1..] {
            machine.lose()?;
        }
        let first = &mut self.machines[0];
        first.kill()?;
        first.start()?;
        // An empty disk with the images, which otherwise come from a registry.
        first.engine.docker(&["swarm", "leave", "--force"]).await?;
        first.engine.gone().await?;
        first.engine.forget().await?;

        let began = Instant::now();
        for machine in &mut self.machines[1..] {
            machine.start()?;
        }
        self.send(1..3).await?;
        let made = self.up().await?;
        ensure!(made.contains("secrets made"), "no secrets were made: {made}");
        let ready = began.elapsed().as_secs_f64();
        self.restore().await?;
        let restored = began.elapsed().as_secs_f64();
        self.deploy(PhotoStorage::Folder).await?;
        Ok(format!(
            "a Swarm with images and secrets after {ready:.0} s, restored after {restored:.0} s, whole after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Makes a full backup, and copies all backups out of the volume.
    async fn copy_the_backup(&self) -> Result<()> {
        let first = &self.machines[0].engine;
        first
            .until("a full backup more", async || {
                first.run_in("backup", &["now"]).await?;
                Ok(true)
            })
            .await?;
        fs::create_dir_all(folder("copy"))?;
        let copy = File::create(folder("copy").join("backup.tar"))?;
        let volume = format!("{STACK}_backup:/backup:ro");
        let read = ["run", "--rm", "--volume", &volume, "--entrypoint", "tar", BACKUP];
        let mut pack = first.command("docker", &[&read[..], &["-C", "/backup", "-c", "."]].concat());
        run("copying the backup", pack.stdout(Stdio::from(copy)))
    }

    async fn restore(&self) -> Result<()> {
        let first = &self.machines[0].engine;
        let copy = File::open(folder("copy").join("backup.tar"))?;
        let volume = format!("{STACK}_backup:/backup");
        let write = [
            "run",
            "--rm",
            "-i",
            "--volume",
            &volume,
            "--entrypoint",
            "tar",
            BACKUP,
        ];
        let mut unpack = first.command("docker", &[&write[..], &["-C", "/backup", "-x"]].concat());
        run("bringing the backup", unpack.stdin(Stdio::from(copy)))?;

        let (backup, data, media) = (
            format!("{volume}:ro"),
            format!("{STACK}_db-1:/var/lib/proofsheet"),
            format!("{STACK}_media:/media"),
        );
        let safe = ["run", "--rm", "--network", "none", "--tmpfs", "/tmp"];
        let settings = ["-e", "BACKUP_KEY", "-e", "MEDIA_STORE=file:///media"];
        let volumes = ["-v", &backup, "-v", &data, "-v", &media, BACKUP];
        let order = ["restore", "--to", "latest", "--into", "/var/lib/proofsheet"];
        let mut restore = first.command("docker", &[&safe[..], &settings, &volumes, &order].concat());
        let key = fs::read_to_string(folder("secrets").join("backup_key"))?;
        restore.env("BACKUP_KEY", key.trim());
        said(restore).await.map(drop)
    }
}
