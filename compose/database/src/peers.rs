//! Finding the other agents, and asking them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use chassis::config::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decision::{Node, Objection, Proposal};
use crate::memory::{Memory, NodeId, Slot};
use crate::seal::{self, FOR, NONCE, SEAL};

/// An agent that is there answers within this.
const DEADLINE: Duration = Duration::from_secs(2);

/// A request that any process may answer.
pub const ANYBODY: &str = "any";

/// What an agent tells of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The name of its cluster.
    pub cluster: String,
    /// Its process.
    pub boot: u64,
    /// Its node.
    pub node: Node,
}

/// A node that asks to be let in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Its volume.
    pub id: NodeId,
    /// Its slot.
    pub slot: Slot,
}

/// A node that has left in order, and what it knew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Farewell {
    /// Its memory when its database had stopped.
    pub memory: Memory,
}

/// An agent did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nothing came back.
    #[error("{0} does not answer")]
    Silent(SocketAddr, #[source] reqwest::Error),
    /// What came back was not sealed with our secret, or our seal was not taken.
    #[error("{0} does not share this node's cluster secret: it is ignored")]
    Stranger(SocketAddr),
    /// It refuses.
    #[error("{0} refuses: {1}")]
    Refused(SocketAddr, String),
    /// It speaks another version.
    #[error("{0} answers something that this version does not understand")]
    Unreadable(SocketAddr, #[source] serde_json::Error),
}

/// Everyone who was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Who answered, and where.
    pub answers: BTreeMap<SocketAddr, Answer>,
    /// Addresses and names that gave nothing.
    pub silent: BTreeSet<String>,
}

/// Speaks to other agents.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    secret: Secret,
    names: Vec<String>,
    port: u16,
    /// What was complained about already.
    told: Mutex<HashSet<String>>,
}

impl Client {
    /// A client that finds agents under `names`, on `port` where a name has none.
    pub fn new(names: Vec<String>, port: u16, secret: Secret) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?,
            secret,
            names,
            port,
            told: Mutex::default(),
        })
    }

    /// Asks everyone, this agent itself too.
    pub async fn ask_all(&self) -> Found {
        let mut found = Found::default();
        let addresses = self.addresses(&mut found.silent).await;
        let asked = addresses.into_iter().map(|address| async move {
            let answer = self.call::<_, Answer>(address, "/peer/ask", ANYBODY, &()).await;
            (address, answer)
        });
        for (address, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(answer) => {
                    self.speaks_again(address);
                    found.answers.insert(address, answer);
                }
                Err(error) => {
                    if !matches!(error, PeerError::Silent(..)) {
                        self.tell_once(&address.to_string(), &error.to_string());
                    }
                    found.silent.insert(address.to_string());
                }
            }
        }
        found
    }

    /// Asks the agent at `address`, process `boot`, to agree.
    pub async fn propose(
        &self,
        address: SocketAddr,
        boot: u64,
        proposal: &Proposal,
    ) -> Result<Result<(), Objection>, PeerError> {
        self.call(address, "/peer/promise", &boot.to_string(), proposal)
            .await
    }

    /// Asks a member to take note of a node that is about to join.
    pub async fn register(
        &self,
        address: SocketAddr,
        boot: u64,
        registration: Registration,
    ) -> Result<Memory, PeerError> {
        self.call(address, "/peer/register", &boot.to_string(), &registration)
            .await
    }

    /// Says that this node has left in order.
    pub async fn say_farewell(
        &self,
        address: SocketAddr,
        boot: u64,
        farewell: &Farewell,
    ) -> Result<(), PeerError> {
        self.call(address, "/peer/farewell", &boot.to_string(), farewell)
            .await
    }

    async fn addresses(&self, silent: &mut BTreeSet<String>) -> BTreeSet<SocketAddr> {
        let mut addresses = BTreeSet::new();
        for name in &self.names {
            let found = if name.contains(':') {
                tokio::net::lookup_host(name.as_str()).await.map(Vec::from_iter)
            } else {
                tokio::net::lookup_host((name.as_str(), self.port))
                    .await
                    .map(Vec::from_iter)
            };
            match found {
                Ok(found) if !found.is_empty() => {
                    self.told.lock().expect("no panic while locked").remove(name);
                    addresses.extend(found);
                }
                Ok(_) => {
                    silent.insert(name.clone());
                }
                Err(error) => {
                    self.tell_once(name, &format!("the name {name} gives no address: {error}"));
                    silent.insert(name.clone());
                }
            }
        }
        addresses
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        address: SocketAddr,
        path: &str,
        whom: &str,
        question: &Q,
    ) -> Result<A, PeerError> {
        let silent = |error| PeerError::Silent(address, error);
        let body = serde_json::to_vec(question).map_err(|error| PeerError::Unreadable(address, error))?;
        let nonce = format!("{:032x}", rand::random::<u128>());
        let sealed = seal::seal(
            &self.secret,
            &[
                b"question",
                path.as_bytes(),
                nonce.as_bytes(),
                whom.as_bytes(),
                &body,
            ],
        );
        let response = self
            .http
            .post(format!("http://{address}{path}"))
            .header(NONCE, &nonce)
            .header(FOR, whom)
            .header(SEAL, sealed)
            .body(body)
            .send()
            .await
            .map_err(silent)?;
        let status = response.status();
        let sealed = response
            .headers()
            .get(SEAL)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = response.bytes().await.map_err(silent)?;
        let parts: [&[u8]; 5] = [
            b"answer",
            path.as_bytes(),
            nonce.as_bytes(),
            status.as_str().as_bytes(),
            &body,
        ];
        if !seal::is_genuine(&self.secret, &parts, &sealed) {
            return Err(PeerError::Stranger(address));
        }
        if !status.is_success() {
            let reason = String::from_utf8_lossy(&body).into_owned();
            return Err(PeerError::Refused(address, reason));
        }
        serde_json::from_slice(&body).map_err(|error| PeerError::Unreadable(address, error))
    }

    fn tell_once(&self, about: &str, what: &str) {
        if self
            .told
            .lock()
            .expect("no panic while locked")
            .insert(about.to_owned())
        {
            tracing::warn!("{what}");
        }
    }

    fn speaks_again(&self, address: SocketAddr) {
        self.told
            .lock()
            .expect("no panic while locked")
            .remove(&address.to_string());
    }
}
