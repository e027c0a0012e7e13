//! Full backups: a copy of a running node, and a list of all photo files.

use chrono::Utc;

use crate::error::Error;
use crate::manifest::{FULL, Manifest, name_of};
use crate::media::Media;
use crate::source::{Source, SourceNode};
use crate::vault::{Item, Vault};
use database_agent::backup::{BackupError, CopyPosition};

/// Makes a full backup from the first node that can be copied completely.
pub async fn take(
    vault: &Vault,
    source: &Source,
    media: &tokio::sync::Mutex<Media>,
) -> Result<Manifest, Error> {
    let mut name = name_of(Utc::now());
    while Manifest::read(vault, &name).await?.is_some() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        name = name_of(Utc::now());
    }
    let taken = write(vault, source, media, &name).await;
    if taken.is_err() {
        // An incomplete backup without a manifest. If it cannot be removed now, pruning removes it later.
        let _ = vault.remove_folder(&format!("{FULL}/{name}")).await;
    }
    taken
}

async fn write(
    vault: &Vault,
    source: &Source,
    media: &tokio::sync::Mutex<Media>,
    name: &str,
) -> Result<Manifest, Error> {
    let present = media.lock().await.present();
    let (database, copied) = copy_any(vault, source, name).await?;
    // After the copy, because files exist before their rows.
    let mut media = media.lock().await;
    media.copy_new(Utc::now()).await?;
    let (list, media_files, media_bytes) = media
        .write_full_list(&format!("{FULL}/{name}/media.jsonl.zst"), present)
        .await?;
    drop(media);
    let manifest = Manifest {
        name: name.to_owned(),
        finished_at: Utc::now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        mariadb: copied.version,
        cluster: copied.cluster,
        node: copied.node,
        transaction: copied.transaction,
        database,
        media: list,
        media_files,
        media_bytes,
    };
    manifest.write(vault).await?;
    Ok(manifest)
}

async fn copy_any(vault: &Vault, source: &Source, name: &str) -> Result<(Item, CopyPosition), Error> {
    let mut last = None;
    for node in source.nodes().await? {
        match copy(vault, source, &node, name).await {
            Ok(copied) => return Ok(copied),
            Err(Error::Node(error)) => {
                tracing::warn!("the node in slot {} was not copied: {error}", node.slot);
                last = Some(error);
            }
            // Another node would not help.
            Err(error) => return Err(error),
        }
    }
    Err(last.map_or_else(|| Error::NoNode("no nodes".to_owned()), Error::Node))
}

async fn copy(
    vault: &Vault,
    source: &Source,
    node: &SourceNode,
    name: &str,
) -> Result<(Item, CopyPosition), Error> {
    let mut copy = source
        .client
        .copy(node.address, node.boot)
        .await
        .map_err(BackupError::Peer)?;
    let mut writing = vault.create_packed(&format!("{FULL}/{name}/database.mbstream.zst"), true)?;
    loop {
        let written = match copy.next().await {
            Ok(Some(bytes)) => writing.write(&bytes).await,
            Ok(None) => break,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            writing.abort().await;
            return Err(error);
        }
    }
    let item = writing.finish().await?;
    let copied = copy.copied().cloned();
    Ok((item, copied.ok_or(BackupError::BrokeOff(node.address))?))
}
