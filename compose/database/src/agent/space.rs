//! Handles a nearly full volume: a node that cannot write blocks the whole cluster, so it leaves before that.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::Child;

use super::supervision::Watch;
use super::{Agent, POLL_PAUSE, STATUS_LOG_INTERVAL};
use crate::decision::Stage;
use crate::mariadb::{self, ServerError, Space};
use crate::sql;

/// How long a node on a full volume may take to stop.
const FULL_VOLUME_STOP_TIMEOUT: Duration = Duration::from_secs(10);

impl Agent {
    /// Waits until the volume has space; false if the agent should stop.
    pub(super) async fn wait_for_space(&self) -> Result<bool, ServerError> {
        let shared = &self.shared;
        let mut logged_at = Instant::now().checked_sub(STATUS_LOG_INTERVAL);
        loop {
            let space = shared.volume.space()?;
            // More than the limit for leaving, to avoid flapping.
            let wanted = shared.config.reserve + shared.config.reserve / 4;
            shared.set_lacks_space(space.free < wanted);
            if space.free >= wanted {
                shared.set_needs_operator(false);
                return Ok(true);
            }
            if shared.memory().is_some_and(|memory| memory.joining) && shared.volume.copy_is_unfinished() {
                tracing::warn!("the copy that filled the volume was not finished and is removed");
                shared.volume.clear_data()?;
                continue;
            }
            if logged_at.is_none_or(|logged_at| logged_at.elapsed() >= STATUS_LOG_INTERVAL) {
                logged_at = Some(Instant::now());
                shared.set_needs_operator(true);
                let message = format!(
                    "refusing to start: no space left on the volume ({space}; {wanted} MiB are needed). Free space or enlarge \
                     the volume; MariaDB then starts automatically",
                    wanted = wanted >> 20,
                );
                shared.set_status_message(&message);
                tracing::warn!("{message}");
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_PAUSE) => {}
                () = self.stop.cancelled() => return Ok(false),
            }
        }
    }

    /// Whether the node should leave because its volume is nearly full. If no other node could continue, it stays and
    /// refuses writes.
    pub(super) async fn lacks_space(&self, watch: &mut Watch) -> bool {
        let shared = &self.shared;
        let Ok(space) = shared.volume.space() else {
            return false;
        };
        let reserve = shared.config.reserve;
        let low = space.free < reserve;
        shared.set_lacks_space(low);
        if watch.read_only && space.free >= reserve + reserve / 4 {
            self.refuse_writes(watch, false, space).await;
        }
        if !low {
            return false;
        }
        match shared.stage() {
            Stage::Joining => true,
            Stage::Primary if self.has_healthy_peer().await => true,
            Stage::Primary if !watch.read_only => {
                self.refuse_writes(watch, true, space).await;
                false
            }
            _ => false,
        }
    }

    /// Whether another node with free space is in sync.
    async fn has_healthy_peer(&self) -> bool {
        let found = self.shared.client.poll_all().await;
        found.answers.values().any(|answer| {
            answer.boot != self.shared.boot
                && answer.cluster == self.shared.config.cluster
                && answer.node.stage == Stage::Primary
                && !answer.lacks_space
        })
    }

    async fn refuse_writes(&self, watch: &mut Watch, refuse: bool, space: Space) {
        match sql::refuse_writes(&self.shared.sql, refuse).await {
            Ok(()) if refuse => tracing::warn!(
                "no space left on the volume ({space}), and no other node can continue: writes are refused, reads work. \
                 Free space or enlarge the volume"
            ),
            Ok(()) => tracing::info!("there is space on the volume again ({space}): writes are accepted"),
            Err(error) => {
                tracing::warn!(%error, "no space left on the volume, and refusing or accepting writes failed");
                return;
            }
        }
        watch.read_only = refuse;
    }

    /// Leaves the cluster; false if no other node could continue.
    pub(super) async fn leave_full_cluster(&self, child: &mut Child) -> bool {
        let shared = &self.shared;
        if shared.stage() == Stage::Primary && !self.has_healthy_peer().await {
            return false;
        }
        let space = shared.volume.space();
        let space_text = space
            .as_ref()
            .map_or_else(ToString::to_string, ToString::to_string);
        self.say(
            &format!(
                "no space left on the volume ({space_text}): stopping MariaDB, so that the other nodes continue without it"
            ),
            true,
        );
        if space.is_ok_and(|space| space.free < shared.config.reserve / 4) {
            // A blocked shutdown would block the cluster.
            mariadb::signal(child, Signal::SIGKILL);
            let _ = child.wait().await;
        } else {
            self.leave(child, FULL_VOLUME_STOP_TIMEOUT).await;
        }
        true
    }
}
