//! A volume that is nearly full: a node that cannot write holds up all the others, so it leaves them before that.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::Child;

use super::watching::Watch;
use super::{Agent, REPEAT, TICK};
use crate::decision::Stage;
use crate::mariadb::{self, ServerError, Space};
use crate::sql;

/// One that leaves for want of space gets so long to write out what it has.
const STOP_FULL: Duration = Duration::from_secs(10);

impl Agent {
    /// Waits before a start until the volume has space. Whether it has; else the agent is to stop.
    pub(super) async fn wait_for_space(&self) -> Result<bool, ServerError> {
        let shared = &self.shared;
        let mut said = Instant::now().checked_sub(REPEAT);
        loop {
            let space = shared.volume.space()?;
            // A little more than what makes it leave, so that it does not come and go.
            let wanted = shared.config.reserve + shared.config.reserve / 4;
            shared.set_lacks_space(space.free < wanted);
            if space.free >= wanted {
                shared.set_refuses(false);
                return Ok(true);
            }
            if shared.memory().is_some_and(|memory| memory.joining) && shared.volume.copy_is_unfinished() {
                tracing::warn!("the copy that filled the volume was not finished and is removed");
                shared.volume.clear_data()?;
                continue;
            }
            if said.is_none_or(|said| said.elapsed() >= REPEAT) {
                said = Some(Instant::now());
                shared.set_refuses(true);
                let sentence = format!(
                    "refusing to start: no space left on the volume ({space}; it takes {wanted} MiB). Free some or make \
                     the volume larger; MariaDB starts by itself then",
                    wanted = wanted >> 20,
                );
                shared.says(&sentence);
                tracing::warn!("{sentence}");
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.stop.cancelled() => return Ok(false),
            }
        }
    }

    /// Whether the node should leave for want of space. If no other node could continue, it stays and refuses writes.
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
            Stage::Primary if self.another_goes_on().await => true,
            Stage::Primary if !watch.read_only => {
                self.refuse_writes(watch, true, space).await;
                false
            }
            _ => false,
        }
    }

    /// Whether a node that has space is in step.
    async fn another_goes_on(&self) -> bool {
        let found = self.shared.client.ask_all().await;
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
                "no space left on the volume ({space}), and no other node could go on: writes are refused, reads go on. \
                 Free some or make the volume larger"
            ),
            Ok(()) => tracing::info!("there is space on the volume again ({space}): writes are taken"),
            Err(error) => {
                tracing::warn!(%error, "no space left on the volume, and writes could not be switched");
                return;
            }
        }
        watch.read_only = refuse;
    }

    /// Leaves the others for want of space. Whether it did: they may have stopped or filled up meanwhile.
    pub(super) async fn make_room(&self, child: &mut Child) -> bool {
        let shared = &self.shared;
        if shared.stage() == Stage::Primary && !self.another_goes_on().await {
            return false;
        }
        let space = shared.volume.space();
        let said = space
            .as_ref()
            .map_or_else(ToString::to_string, ToString::to_string);
        self.say(
            &format!(
                "no space left on the volume ({said}): stopping MariaDB, so that the others go on without it"
            ),
            true,
        );
        if space.is_ok_and(|space| space.free < shared.config.reserve / 4) {
            // It could not even write out what it has, and would hold up the others until it gave up.
            mariadb::signal(child, Signal::SIGKILL);
            let _ = child.wait().await;
        } else {
            self.leave(child, STOP_FULL).await;
        }
        true
    }
}
