//! A new site with photos in the object store of the stack.

use anyhow::Result;

use crate::engine::DockerEngine;

const OBJECTS_IMAGE: &str = "proofsheet/objects:stack-test";

impl DockerEngine {
    pub(super) async fn has_objects(&self) -> bool {
        self.docker(&["image", "inspect", OBJECTS_IMAGE]).await.is_ok()
    }

    /// Removes the stack with its data, and deploys a new one with compose/objects.yml.
    pub(super) async fn begin_with_objects(&self) -> Result<String> {
        self.remove().await?;
        self.remove_volumes().await?;
        let changes = [("PHOTO_NODES", "node.platform.os==linux"), ("DB_REPLICAS", "1")];
        self.deploy(&["stack.yml", "local.override.yml", "objects.yml"], &changes)
            .await?;
        self.until("the site answers", async || self.answers("latestPhotos").await)
            .await?;
        // Timelines may work before authentication has created its first key.
        self.until("people can join", async || {
            Ok(self.ask("{ viewer { id } }").await?.code().is_none())
        })
        .await?;
        self.has("objects", 1).await?;
        Ok("it answers".to_owned())
    }
}
