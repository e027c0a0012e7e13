//! Finds a node to copy.

use std::net::SocketAddr;

use database_agent::cluster_record::NodeId;
use database_agent::decision::Stage;
use database_agent::peers::PeerClient;
use uuid::Uuid;

use crate::config::SourceConfig;
use crate::error::Error;

/// A node that is part of the running cluster.
#[derive(Clone, Debug)]
pub struct SourceNode {
    /// The address of the agent.
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
    /// The client for the agents.
    pub client: PeerClient,
    cluster: String,
}

impl Source {
    /// Creates the client; sends no requests.
    pub fn new(config: &SourceConfig) -> Result<Self, Error> {
        let client = PeerClient::new(config.peers.clone(), config.agent_port, config.secret.read()?)
            .map_err(|error| Error::Client(error.to_string()))?;
        Ok(Self {
            client,
            cluster: config.cluster.clone(),
        })
    }

    /// Returns the nodes that can be copied, highest slot first, because slot 1 remains when a cluster is scaled down.
    pub async fn nodes(&self) -> Result<Vec<SourceNode>, Error> {
        let found = self.client.poll_all().await;
        let asked = found.answers.keys().map(ToString::to_string);
        let asked: Vec<_> = asked.chain(found.silent.iter().cloned()).collect();
        let mut nodes: Vec<_> = found
            .answers
            .into_iter()
            .filter(|(_, answer)| answer.cluster == self.cluster && answer.node.stage == Stage::Primary)
            .filter_map(|(address, answer)| {
                Some(SourceNode {
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
