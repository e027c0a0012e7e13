//! The command line of the backup program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use backup::config::{DEFAULT_LISTEN, RunConfig, SourceConfig, VaultConfig};
use backup::logs::ShippedPiece;
use backup::manifest::Manifest;
use backup::media::Media;
use backup::replay::RestoreTarget;
use backup::restore::{RestoreRequest, restore};
use backup::source::Source;
use backup::vault::Vault;
use backup::{full, service, verify};
use chassis::config::LogConfig;
use chassis::objects::StoreConfig;
use chassis::{server, telemetry};
use chrono::Utc;
use clap::{Args, Parser};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Backs up a site, and restores it.
#[derive(Debug, Parser)]
#[command(name = "backup", version)]
enum Task {
    /// Run the backup service until SIGTERM: a full backup per day, new logs and files every few seconds.
    Run(Box<Run>),
    /// Make a full backup now.
    Now(Box<Site>),
    /// List the backups.
    List(Box<Offline>),
    /// Verify all backups: read them and compare their hashes.
    Verify(Box<Offline>),
    /// Restore a point in time into an empty database volume, and restore photo files.
    Restore(Box<Restore>),
    /// Check the health of a running service.
    Healthcheck {
        /// The address of the service.
        #[arg(long, env = "LISTEN", default_value = DEFAULT_LISTEN)]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    schedule: RunConfig,
}

/// The source and the destination of backups.
#[derive(Debug, Args)]
struct Site {
    #[command(flatten)]
    vault: VaultConfig,
    #[command(flatten)]
    source: SourceConfig,
    #[command(flatten)]
    media: StoreConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Debug, Args)]
struct Offline {
    #[command(flatten)]
    vault: VaultConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Debug, Args)]
struct Restore {
    /// `latest`, or a time such as 2026-11-22T20:15:00Z, with a precision of a second.
    #[arg(long)]
    to: RestoreTarget,
    /// Folder of the volume to restore into. It must be empty.
    #[arg(long)]
    into: PathBuf,
    /// Slot of the database node that will use the volume.
    #[arg(long, default_value_t = 1)]
    slot: u32,
    #[command(flatten)]
    vault: VaultConfig,
    #[command(flatten)]
    media: StoreConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Run(run) => run_service(*run).await,
        Task::Now(site) => back_up_now(*site).await,
        Task::List(offline) => list(*offline).await,
        Task::Verify(offline) => verify_all(*offline).await,
        Task::Restore(settings) => run_restore(*settings).await,
        Task::Healthcheck { listen } => server::healthcheck(listen).await.map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backup: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_service(Run { site, schedule }: Run) -> anyhow::Result<()> {
    telemetry::init(site.log.log_format, "backup");
    let stop = CancellationToken::new();
    server::stop_at_signal(stop.clone());
    Ok(service::run(&site.vault, &site.source, &site.media, schedule, stop).await?)
}

async fn back_up_now(site: Site) -> anyhow::Result<()> {
    telemetry::init(site.log.log_format, "backup");
    let began = Instant::now();
    let vault = Vault::open(&site.vault)?;
    vault.check().await?;
    let media = Mutex::new(Media::open(&site.media, &vault).await?);
    let manifest = full::take(&vault, &Source::new(&site.source)?, &media).await?;
    println!(
        "{}: transaction {}, {} bytes of database, {} files, in {:.1} s",
        manifest.name,
        manifest.transaction,
        manifest.database.stored.bytes,
        manifest.media_files,
        began.elapsed().as_secs_f32()
    );
    Ok(())
}

async fn list(settings: Offline) -> anyhow::Result<()> {
    telemetry::init(settings.log.log_format, "backup");
    let vault = Vault::open(&settings.vault)?;
    let manifests = Manifest::all(&vault).await?;
    println!(
        "full backup        age            cluster                               transaction  database (bytes)  files"
    );
    for manifest in &manifests {
        println!(
            "{}  {:<13}  {}  {:>11}  {:>16}  {:>5}",
            manifest.name,
            service::age(Utc::now(), manifest),
            manifest.cluster,
            manifest.transaction,
            manifest.database.stored.bytes,
            manifest.media_files
        );
    }
    let Some(newest) = manifests.last() else {
        bail!("there is no full backup");
    };
    match ShippedPiece::all(&vault, newest.cluster).await?.last() {
        Some(piece) => println!("logs until {}, transaction {}", piece.at, piece.last),
        None => println!("no logs yet"),
    }
    Ok(())
}

async fn verify_all(settings: Offline) -> anyhow::Result<()> {
    telemetry::init(settings.log.log_format, "backup");
    let report = verify::verify(&Vault::open(&settings.vault)?).await?;
    for line in report.fine {
        println!("{line}");
    }
    for line in &report.faults {
        println!("FAULT: {line}");
    }
    if report.faults.is_empty() {
        Ok(())
    } else {
        bail!("{} faults were found", report.faults.len())
    }
}

async fn run_restore(settings: Restore) -> anyhow::Result<()> {
    telemetry::init(settings.log.log_format, "backup");
    let began = Instant::now();
    let request = RestoreRequest {
        to: settings.to,
        into: settings.into,
        slot: settings.slot,
    };
    let restored = restore(&Vault::open(&settings.vault)?, &settings.media, &request).await?;
    let written = restored
        .written_at
        .map_or_else(String::new, |at| format!(", written at {at}"));
    println!(
        "restored from {} up to transaction {}{written}; {} files; in {:.1} s",
        restored.base,
        restored.transaction,
        restored.files,
        began.elapsed().as_secs_f32()
    );
    println!(
        "{} is the volume of slot {} of the new cluster {}: start that node, then the others with empty volumes",
        request.into.display(),
        request.slot,
        restored.cluster
    );
    Ok(())
}
