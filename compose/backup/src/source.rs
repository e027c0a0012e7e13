//! Finding a node to copy.

use std::net::SocketAddr;

use database_agent::decision::Stage;
use database_agent::memory::NodeId;
use database_agent::peers::Client;
use uuid::Uuid;

use crate::config::SourceConfig;
use crate::error::Error;

/// A node that is part of the running cluster.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where its agent answers.
    pub address: SocketAddr,
    /// The agent's process.
    pub boot: u64,
    /// The volume.
    pub id: NodeId,
    /// Its number.
    pub slot: u32,
    /// Its cluster.
    pub cluster: Uuid,
}

/// The database that is backed up.
#[derive(Debug)]
pub struct Source {
    /// Speaks to the agents.
    pub client: Client,
    cluster: String,
}

impl Source {
    /// Does not ask anybody yet.
    pub fn new(config: &SourceConfig) -> Result<Self, Error> {
        let client = Client::new(config.peers.clone(), config.agent_port, config.secret.read()?)
            .map_err(|error| Error::Client(error.to_string()))?;
        Ok(Self {
            client,
            cluster: config.cluster.clone(),
        })
    }

    /// The nodes that can be copied, the highest slot first: services spread over all, and the first one is what a
    /// cluster that shrinks ends with.
    pub async fn nodes(&self) -> Result<Vec<Found>, Error> {
        let found = self.client.ask_all().await;
        let asked = found.answers.keys().map(ToString::to_string);
        let asked: Vec<_> = asked.chain(found.silent.iter().cloned()).collect();
        let mut nodes: Vec<_> = found
            .answers
            .into_iter()
            .filter(|(_, answer)| answer.cluster == self.cluster && answer.node.stage == Stage::Primary)
            .filter_map(|(address, answer)| {
                Some(Found {
                    address,
                    boot: answer.boot,
                    id: answer.node.id,
                    slot: answer.node.slot,
                    cluster: answer.node.cluster()?,
                })
            })
            .collect();
        if nodes.is_empty() {
            return Err(Error::NoNode(asked.join(", ")));
        }
        nodes.sort_by_key(|node| std::cmp::Reverse(node.slot));
        Ok(nodes)
    }
}
