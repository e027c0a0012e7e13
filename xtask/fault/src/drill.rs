//! `./dev drill`, the restore drill: backs up a site under load, destroys it, restores it from the backup, and reports
//! RPO and RTO.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::{DateTime, NaiveDateTime, Utc};
use harness::cluster::{Cluster, NODES};
use harness::topology::Topology as _;
use harness::{wait, workspace};
use workload::audit::{Audited, Auditor, Finding, wait_for_quiet};
use workload::counter::{self, CounterMode};
use workload::databases;
use workload::history::{Outcome, Record};
use workload::users::{SimulatedUser, Workload};

use crate::run::{start_cluster, start_workload};

const DRILL_STEP_TIMEOUT: Duration = Duration::from_secs(120);
const BACKUP_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The goals in seconds.
const MAX_RPO_SECONDS: f64 = 60.0;
const MAX_RTO_SECONDS: f64 = 15.0 * 60.0;
/// Files of photos that were published or deleted in the last seconds before the end may be restored without a row:
/// files are backed up before their rows, and removals are recorded after them. The photo service's reconciler removes
/// such files.
const MAX_ORPHANED_FILE_AGE: f64 = 120.0;

/// Restore drill: backs up a site under load, destroys it, restores it, and reports RPO and RTO. Needs root.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The seed of the users' actions. Random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of simulated users.
    #[arg(long, default_value_t = 8)]
    people: u64,
    /// Seconds of load after the full backup.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// The folder of data, backups and logs. Temporary by default.
    #[arg(long)]
    data: Option<PathBuf>,
}

pub(crate) async fn drill(arguments: &Arguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let temporary = tempfile::Builder::new().prefix("drill-").tempdir()?;
    let folder = arguments.data.as_deref().unwrap_or(temporary.path());
    let folder = std::path::absolute(folder)?;
    let mut drill = Drill::start(folder, arguments.people, seed).await?;
    drill.load(arguments).await?;
    let before = drill.destroy().await?;
    let times = drill.restore().await?;
    let findings = drill.audit(&before, &times).await?;
    drill.report(&before, &times, &findings)
}

struct Drill {
    cluster: Cluster,
    backup: Option<tokio::process::Child>,
    workload: Arc<Workload>,
    users: Vec<tokio::task::JoinHandle<SimulatedUser>>,
    /// A pair of times of the two clocks: the history's and the calendar's.
    clock: (f64, DateTime<Utc>),
}

/// The state of the site when it was destroyed.
struct End {
    at: Instant,
    /// In seconds of the history.
    seconds: f64,
    records: Vec<Record>,
}

/// The times of the recovery, in seconds since the end of the load.
struct Times {
    /// When the last restored write was made, in seconds of the history.
    reached: f64,
    output: String,
    restored: f64,
    answers: f64,
    in_sync: f64,
}

impl Drill {
    async fn start(folder: PathBuf, people: u64, seed: u64) -> Result<Self> {
        let cluster = start_cluster(Some(folder.join("site")), None).await?;
        let pools = databases::pools(&cluster.databases())?;
        counter::prepare(&pools[0]).await?;
        let workload = start_workload(&cluster, &folder.join("history.jsonl"))?;
        let clock = (workload.history.now(), Utc::now());
        counter::start_all(&workload, &pools, CounterMode::InOneStatement);
        let users = SimulatedUser::several(&workload, people, &format!("s{seed}"), seed);
        let users = users.into_iter().map(SimulatedUser::start).collect();
        Ok(Self {
            cluster,
            backup: None,
            workload,
            users,
            clock,
        })
    }

    fn folder(&self) -> PathBuf {
        self.cluster.data_dir().with_file_name("backup")
    }

    /// Returns a command of the backup program with its environment.
    fn program(&self, task: &str) -> Result<Command> {
        let cluster = &self.cluster;
        let secrets = cluster.data_dir().join("secrets");
        let key = secrets.join("backup-key");
        if !key.exists() {
            fs::write(&key, format!("{:032x}\n", rand::random::<u128>()))?;
        }
        let mut command = Command::new(workspace::binaries().join("backup"));
        command
            .arg(task)
            .envs(cluster.objects_environment())
            .env("MEDIA_STORE", "s3://media/photos")
            .env("BACKUP_STORE", format!("file://{}", self.folder().display()))
            .env("BACKUP_KEY_FILE", key)
            .env("DATABASE_PEERS", cluster.network().addresses().join(","))
            .env("DATABASE_CLUSTER_SECRET_FILE", secrets.join("cluster"))
            .env("LISTEN", format!("{}:5006", cluster.network().host()))
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs the load and the backup, and kills the node that ships the logs once.
    async fn load(&mut self, arguments: &Arguments) -> Result<()> {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let log = File::create(self.cluster.data_dir().join("logs/backup.log"))?;
        let mut backup = self.program("run")?;
        backup.stderr(log);
        let mut backup = tokio::process::Command::from(backup);
        self.backup = Some(backup.kill_on_drop(true).spawn()?);
        let began = Instant::now();
        wait::until_every(
            BACKUP_POLL_INTERVAL,
            "a full backup",
            DRILL_STEP_TIMEOUT,
            || async {
                let list = self.program("list")?.output()?;
                ensure!(list.status.success(), "there is none");
                Ok(())
            },
        )
        .await?;
        println!(
            "a full backup was made after {:.1} s",
            began.elapsed().as_secs_f64()
        );
        let half = Duration::from_secs(arguments.seconds) / 2;
        tokio::time::sleep(half).await;
        println!("db-1 is killed and restarts; the logs continue with another node");
        self.cluster.kill_part("db-1").await?;
        tokio::time::sleep(half).await;
        Ok(())
    }

    /// Destroys all processes, volumes and the object store during the load.
    async fn destroy(&mut self) -> Result<End> {
        let mut parts = self.cluster.site();
        parts.extend(Cluster::databases());
        parts.push("objects".to_owned());
        let at = Instant::now();
        let seconds = self.workload.history.now();
        let killed = self.cluster.kill_for_good(&parts).await;
        if let Some(mut backup) = self.backup.take() {
            backup.kill().await?;
        }
        killed?;
        self.workload.end();
        for user in self.users.drain(..) {
            user.await?;
        }
        for slot in 1..=NODES {
            empty(&self.cluster.volume(slot))?;
        }
        // The bucket remains, empty.
        let bucket = self.cluster.objects();
        let bucket = bucket.parent().context("the files are in a bucket")?;
        empty(bucket)?;
        println!("everything is destroyed: volumes, files of photos, processes");
        Ok(End {
            at,
            seconds,
            records: self.workload.history.records(),
        })
    }

    /// Restores one node, starts the site on it, and then the other nodes.
    async fn restore(&self) -> Result<Times> {
        let began = Instant::now();
        self.cluster.start_parts(&["objects".to_owned()])?;
        let volume = self.cluster.volume(1);
        let mut restore = self.program("restore")?;
        restore.args(["--to", "latest", "--into"]).arg(&volume);
        let output = tokio::process::Command::from(restore).output().await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("the restore failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let restored = began.elapsed().as_secs_f64();
        print!("{printed}");
        self.cluster.start_parts(&["db-1".to_owned()])?;
        self.cluster.start_parts(&self.cluster.site())?;
        self.cluster.wait_until_ready(DRILL_STEP_TIMEOUT).await?;
        let answers = began.elapsed().as_secs_f64();
        self.cluster.start_parts(&Cluster::databases()[1..])?;
        self.cluster.wait_in_sync(DRILL_STEP_TIMEOUT).await?;
        let in_sync = began.elapsed().as_secs_f64();
        Ok(Times {
            reached: self.reached(&printed)?,
            output: printed,
            restored,
            answers,
            in_sync,
        })
    }

    /// Returns when the last restored write was made, in seconds of the history.
    fn reached(&self, output: &str) -> Result<f64> {
        let (_, rest) = output
            .split_once("written at ")
            .context("the restore reported no time of its last write")?;
        let time = rest.get(..19).unwrap_or_default();
        let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S")?.and_utc();
        let after = time - self.clock.1;
        #[expect(clippy::cast_precision_loss, reason = "a drill takes minutes")]
        let after = after.num_milliseconds() as f64 / 1000.0;
        Ok(self.clock.0 + after)
    }

    /// Checks that all writes exist that were acknowledged before the last restored one was made.
    async fn audit(&self, end: &End, times: &Times) -> Result<Vec<Finding>> {
        let mut records = end.records.clone();
        for record in &mut records {
            if record.is_ok() && record.ended.is_none_or(|ended| ended >= times.reached) {
                record.outcome = Some(Outcome::Unknown(
                    "acknowledged after the last restored write".to_owned(),
                ));
            }
        }
        let site = self.workload.site();
        let audited = Audited::all_of(&self.cluster, &site)?;
        wait_for_quiet(&audited.pools[0]).await?;
        let mut findings = Auditor::default().audit(&records, &audited).await?;
        findings.retain(|finding| {
            let late = finding.records.iter().any(|number| {
                let ended = records[*number].ended;
                ended.is_none_or(|ended| ended > times.reached - MAX_ORPHANED_FILE_AGE)
            });
            !(late && finding.what.ends_with("is deleted and still has files"))
        });
        Ok(findings)
    }

    fn report(&self, end: &End, times: &Times, findings: &[Finding]) -> Result<()> {
        let writes = || {
            let acknowledged = |record: &&Record| record.is_ok() && record.is_site_write();
            end.records.iter().filter(acknowledged)
        };
        let late = writes().filter(|record| record.ended.is_none_or(|ended| ended >= times.reached));
        let lost = end.seconds - times.reached;
        let bytes = size_of(&self.folder())?;
        let rows = [
            ("acknowledged writes", writes().count().to_string()),
            ("of these after the last restored one", late.count().to_string()),
            ("lost seconds (RPO, at most 60)", format!("{lost:.0}")),
            (
                "size of the backup in MB",
                format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10),
            ),
            ("seconds until restored", format!("{:.1}", times.restored)),
            (
                "seconds until the site responds (RTO, at most 900)",
                format!("{:.1}", times.answers),
            ),
            (
                "seconds until three nodes are in sync",
                format!("{:.1}", times.in_sync),
            ),
            ("defects", findings.len().to_string()),
        ];
        println!();
        for (what, value) in rows {
            println!("| {what:<45} | {value:>8} |");
        }
        for finding in findings {
            println!("  {:?}: {}", finding.kind, finding.what);
        }
        println!(
            "everything was destroyed {:.0} s ago",
            end.at.elapsed().as_secs_f64()
        );
        if !findings.is_empty()
            || lost > MAX_RPO_SECONDS
            || times.answers > MAX_RTO_SECONDS
            || times.output.is_empty()
        {
            bail!("the drill failed");
        }
        Ok(())
    }
}

/// Removes the contents of a folder.
fn empty(folder: &std::path::Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn size_of(folder: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size_of(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
