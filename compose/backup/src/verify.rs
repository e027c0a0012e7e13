//! Verifies all backups.

use crate::error::Error;
use crate::logs::ShippedPiece;
use crate::manifest::Manifest;
use crate::media;
use crate::replay::{RestoreTarget, assemble};
use crate::vault::Vault;

/// The result of a verification.
#[derive(Debug, Default)]
pub struct VerificationReport {
    /// A line for each part that could be read.
    pub fine: Vec<String>,
    /// Parts that cannot be restored, with the reasons.
    pub faults: Vec<String>,
}

impl VerificationReport {
    fn note(&mut self, what: &str, outcome: Result<String, Error>) {
        match outcome {
            Ok(more) => self.fine.push(format!("{what}: {more}")),
            Err(error) => self.faults.push(format!("{what}: {error}")),
        }
    }
}

/// Reads every full backup, every file of a photo, and the logs, and compares all hashes.
pub async fn verify(vault: &Vault) -> Result<VerificationReport, Error> {
    let mut report = VerificationReport::default();
    let manifests = Manifest::all(vault).await?;
    if manifests.is_empty() {
        report.faults.push("there is no full backup".to_owned());
    }
    for manifest in &manifests {
        let read = read_database(vault, manifest).await;
        report.note(&format!("full backup {}", manifest.name), read);
    }
    let newest = manifests.last().map(|manifest| manifest.cluster);
    if let Some(base) = manifests.iter().find(|manifest| Some(manifest.cluster) == newest) {
        let read = read_logs(vault, base).await;
        report.note(&format!("logs of cluster {}", base.cluster), read);
    }
    if let Some(oldest) = manifests.first() {
        verify_media(vault, oldest, &mut report).await;
    }
    Ok(report)
}

async fn read_database(vault: &Vault, manifest: &Manifest) -> Result<String, Error> {
    let mut reading = vault
        .open_packed(&manifest.database.path, manifest.database.packing)
        .await?;
    while reading.next().await?.is_some() {}
    reading.compare(&manifest.database)?;
    Ok(format!(
        "{} bytes of database, {} files",
        manifest.database.content.bytes, manifest.media_files
    ))
}

async fn read_logs(vault: &Vault, base: &Manifest) -> Result<String, Error> {
    let replay = assemble(vault, base, RestoreTarget::Latest, None).await?;
    let pieces = ShippedPiece::all(vault, base.cluster).await?.len();
    Ok(format!(
        "{pieces} pieces; transactions {} to {} follow full backup {} without a gap",
        base.transaction + 1,
        replay.reached,
        base.name
    ))
}

async fn verify_media(vault: &Vault, oldest: &Manifest, report: &mut VerificationReport) {
    let files = match media::needed(vault, oldest, RestoreTarget::Latest).await {
        Ok(files) => files,
        Err(error) => {
            report.faults.push(format!("the lists of files: {error}"));
            return;
        }
    };
    let mut bytes = 0;
    for file in files.values() {
        match file.read(vault).await {
            Ok(contents) => bytes += contents.len(),
            Err(error) => report.faults.push(format!("file {}: {error}", file.path)),
        }
    }
    report.fine.push(format!(
        "files of photos: {} were read, {bytes} bytes",
        files.len()
    ));
}
