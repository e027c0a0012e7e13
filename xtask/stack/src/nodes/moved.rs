//! A node of the database moves to another machine, for example because the first disk is full.

use std::time::Instant;

use anyhow::Result;

use super::{FIRST_ENGINE, MANAGERS, Machine, Swarm};
use crate::STACK;

impl Swarm {
    pub(super) async fn move_a_database(&mut self) -> Result<String> {
        let mut fourth = Machine::new(FIRST_ENGINE + MANAGERS);
        fourth.start()?;
        self.machines.push(fourth);
        self.send(3..4).await?;
        self.up().await?;
        let began = Instant::now();
        self.label("--label-add", "proofsheet.database=true", 3).await?;
        self.label("--label-rm", "proofsheet.database", 2).await?;
        self.databases_on(&[0, 1, 3]).await?;
        let took = began.elapsed().as_secs_f64();
        let volume = format!("{STACK}_db-1");
        self.manager()
            .until("the volume can be removed", async || {
                let left = &self.machines[2].engine;
                // Swarm keeps the container of an ended task for some time.
                left.docker(&["container", "prune", "--force"]).await?;
                Ok(left.docker(&["volume", "rm", &volume]).await.is_ok())
            })
            .await?;
        Ok(format!(
            "it is in sync there after {took:.0} s, and the full volume is gone"
        ))
    }

    async fn label(&self, change: &str, label: &str, machine: usize) -> Result<()> {
        let name = &self.machines[machine].name;
        let update = ["node", "update", change, label, name];
        self.manager().docker(&update).await.map(drop)
    }
}
