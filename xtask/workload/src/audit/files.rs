//! Checks the files of photos, in the folder of the object store.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::api::Site;
use uuid::Uuid;

use super::expected::ExpectedContent;
use super::found::NodeContent;
use super::{DefectKind, Findings};
use crate::picture;

/// Number of photos whose files are also fetched through the site.
const AUDITED_FILES: usize = 10;

/// Caches the expected files of pictures.
#[derive(Debug, Default)]
pub(super) struct ExpectedFiles {
    known: HashMap<u64, BTreeMap<String, [u8; 32]>>,
}

impl ExpectedFiles {
    pub(super) fn judge(
        &mut self,
        expected: &ExpectedContent<'_>,
        found: &NodeContent,
        objects: &Path,
        findings: &mut Findings,
    ) -> Result<()> {
        for (id, photo) in &expected.photos {
            let mut add = |kind, what: String| {
                findings.add(kind, format!("object store: photo {id} {what}"), &photo.records);
            };
            let Some(there) = found.photos.get(id) else {
                if photo.key.is_some_and(|key| is_in_use(&folder(objects, key))) {
                    add(DefectKind::Wrong, "is deleted and still has files".to_owned());
                }
                continue;
            };
            let files = match self.known.get(&photo.picture) {
                Some(files) => files,
                None => self
                    .known
                    .entry(photo.picture)
                    .or_insert(picture::files(photo.picture)?),
            };
            for (name, hash) in files {
                match fs::read(folder(objects, there.key).join(name)) {
                    Ok(bytes) if picture::hash(&bytes) == *hash => {}
                    Ok(_) => add(DefectKind::Lost, format!("has other bytes in {name}")),
                    Err(_) => add(DefectKind::Lost, format!("has no file {name}")),
                }
            }
        }
        Ok(())
    }

    /// Checks that the site serves the files of some photos.
    pub(super) async fn judge_served(
        &self,
        expected: &ExpectedContent<'_>,
        found: &NodeContent,
        site: &Site,
        findings: &mut Findings,
    ) {
        let there = expected
            .photos
            .iter()
            .filter_map(|(id, photo)| Some((id, photo, found.photos.get(id)?)));
        for (id, photo, row) in there.take(AUDITED_FILES) {
            // The original is stored and never served.
            let files = self.known.get(&photo.picture).into_iter().flatten();
            for (name, hash) in files.filter(|(name, _)| *name != "master.jpg") {
                let path = format!("/media/{}/{name}", row.key.simple());
                let served = site.fetch(&path).await;
                if !served.as_ref().is_ok_and(|bytes| picture::hash(bytes) == *hash) {
                    let what = match served {
                        Ok(_) => "other bytes".to_owned(),
                        Err(error) => format!("{error:#}"),
                    };
                    let what = format!("the site does not serve {path} of photo {id}: {what}");
                    findings.add(DefectKind::Wrong, what, &photo.records);
                }
            }
        }
    }
}

/// Returns the folder of a photo's files, which is named by the first two digits of the key.
pub(crate) fn folder(objects: &Path, key: Uuid) -> PathBuf {
    let key = key.simple().to_string();
    objects.join(&key[..2]).join(key)
}

/// Whether the folder contains a file. The store may leave an empty folder.
pub(crate) fn is_in_use(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
}
