//! Backup of the stack, and restore after the loss of database and photos.

use std::time::Instant;

use anyhow::{Result, ensure};
use workload::load::SiteLoad;
use xtask::workspace::target_dir;

use crate::STACK;
use crate::engine::{DockerEngine, said};

const FILES: [&str; 3] = ["stack.yml", "local.override.yml", "backup.yml"];

impl DockerEngine {
    /// Deploys the backup service, and waits for its first full backup.
    pub(super) async fn back_up(&self) -> Result<String> {
        let before = self.tasks().await?;
        let began = Instant::now();
        self.deploy(&FILES, &[("DB_REPLICAS", "3")]).await?;
        self.until("there is a full backup", async || {
            Ok(self.backup("list").await.is_ok())
        })
        .await?;
        let took = began.elapsed().as_secs_f64();
        let after = self.tasks().await?;
        let stayed = before.iter().all(|task| after.contains(task));
        ensure!(stayed, "tasks were restarted: {before:?}, then {after:?}");
        Ok(format!(
            "a full backup after {took:.0} s, and no other task was restarted"
        ))
    }

    /// Makes another full backup, and verifies all backups.
    pub(super) async fn verify_backups(&self) -> Result<String> {
        let made = self.backup("now").await?;
        let report = self.backup("verify").await?;
        let fine = report.lines().next_back().unwrap_or_default();
        Ok(format!("{made}; verify: {fine}"))
    }

    /// Runs a command of the backup service.
    async fn backup(&self, task: &str) -> Result<String> {
        self.run_in("backup", &[task]).await
    }

    /// Removes the stack with its database and its photos, and restores both, by the commands of docs/backup.md.
    pub(super) async fn restore(&self, load: &SiteLoad) -> Result<String> {
        self.shipped().await?;
        let before = self.backup("list").await?.lines().count();
        self.remove().await?;
        for volume in ["db-1", "db-2", "db-3", "media"] {
            self.docker(&["volume", "rm", &format!("{STACK}_{volume}")])
                .await?;
        }
        let began = Instant::now();
        let restored = self.run_restore().await?;
        self.deploy(&FILES, &[("DB_REPLICAS", "1")]).await?;
        self.until("the site answers", async || self.answers("latestPhotos").await)
            .await?;
        let answers = began.elapsed().as_secs_f64();
        load.wait_for_all_writes().await?;
        let whole = began.elapsed().as_secs_f64();
        self.scale_database(3).await?;
        let three = began.elapsed().as_secs_f64();
        self.until("the new cluster is backed up", async || {
            Ok(self.backup("list").await?.lines().count() > before)
        })
        .await?;
        let last = restored.lines().next_back().unwrap_or_default();
        Ok(format!(
            "{last:?}; it answers after {answers:.0} s, all is there after {whole:.0} s, three databases after {three:.0} s"
        ))
    }

    async fn run_restore(&self) -> Result<String> {
        let volumes = [
            format!("{STACK}_backup:/backup:ro"),
            format!("{STACK}_db-1:/var/lib/proofsheet"),
            format!("{STACK}_media:/media"),
        ];
        let run = ["run", "--rm", "--network", "none", "--tmpfs", "/tmp"];
        let mut restore = self.command("docker", &run);
        restore.args(["--env", "BACKUP_KEY", "--env", "MEDIA_STORE=file:///media"]);
        for volume in &volumes {
            restore.args(["--volume", volume]);
        }
        restore.arg("proofsheet/backup:stack-test").args([
            "restore",
            "--to",
            "latest",
            "--into",
            "/var/lib/proofsheet",
        ]);
        let key = target_dir().join("stack-test/secrets/backup_key");
        restore.env("BACKUP_KEY", std::fs::read_to_string(key)?);
        said(restore).await
    }

    /// Waits until all acknowledged writes are in the backup, for two rounds: the second one has started after this
    /// call.
    async fn shipped(&self) -> Result<()> {
        for _ in 0..2 {
            let before = self.backup("list").await?;
            self.until("the logs are shipped", async || {
                Ok(self.backup("list").await?.lines().next_back() != before.lines().next_back())
            })
            .await?;
        }
        Ok(())
    }
}
