//! Finding the other agents, and asking them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chassis::config::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decision::{Node, Objection, Proposal};
use crate::memory::{Memory, NodeId, Slot};
use crate::seal::{self, FOR, NONCE, SEAL};

/// An agent that is there answers within this.
const DEADLINE: Duration = Duration::from_secs(2);

/// A name server that is there answers within this.
const LOOKUP: Duration = Duration::from_secs(3);

/// A request that any process may answer.
pub const ANYBODY: &str = "any";

/// The response of an agent about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The name of its cluster.
    pub cluster: String,
    /// Its process.
    pub boot: u64,
    /// Whether its volume is nearly full.
    pub lacks_space: bool,
    /// Whether it is its turn to leave the others.
    #[serde(default)]
    pub leaves: bool,
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
    /// The response was not signed with this node's secret, or the peer refused this node's signature.
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
    /// The peers that answered, by address.
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
    /// The last addresses of each name.
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
    /// The peers that answered the last request. Swarm takes an address out of its name when it tells the node to stop,
    /// and nodes that stop must see each other.
    heard: Mutex<BTreeSet<SocketAddr>>,
    /// Warnings that have been logged already.
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
            known: Mutex::default(),
            heard: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// Asks everyone, this agent itself too.
    pub async fn ask_all(&self) -> Found {
        let mut found = Found::default();
        let named = self.addresses(&mut found.silent).await;
        let asked: BTreeSet<_> = named.union(&self.heard()).copied().collect();
        let asked = asked.into_iter().map(|address| async move {
            let answer = self.call::<_, Answer>(address, "/peer/ask", ANYBODY, &()).await;
            (address, answer)
        });
        for (address, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(answer) => {
                    self.speaks_again(address);
                    self.heard().insert(address);
                    found.answers.insert(address, answer);
                }
                Err(error) => {
                    self.heard().remove(&address);
                    // An address without a name is gone and not expected.
                    if !named.contains(&address) {
                        continue;
                    }
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
            match self.look_up(name).await {
                Ok(found) => {
                    self.told.lock().expect("no panic while locked").remove(name);
                    addresses.extend(&found);
                    let mut known = self.known.lock().expect("no panic while locked");
                    known.insert(name.clone(), found);
                }
                Err(reason) => {
                    // Earlier addresses can still be asked, but other nodes may exist.
                    silent.insert(name.clone());
                    let known = self.known.lock().expect("no panic while locked");
                    let before = known.get(name).map_or(&[][..], Vec::as_slice);
                    addresses.extend(before);
                    self.tell_once(
                        name,
                        &format!(
                            "the name {name} gives no address: {reason}. Going on with the {} that it gave last, and \
                             asking again; is the name server up?",
                            before.len()
                        ),
                    );
                }
            }
        }
        addresses
    }

    async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        let lookup = async {
            Ok::<Vec<_>, io::Error>(if name.contains(':') {
                tokio::net::lookup_host(name).await?.collect()
            } else {
                tokio::net::lookup_host((name, self.port)).await?.collect()
            })
        };
        match tokio::time::timeout(LOOKUP, lookup).await {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Ok(Ok(_)) => Err("there is none".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {LOOKUP:?}")),
        }
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        address: SocketAddr,
        path: &str,
        whom: &str,
        question: &Q,
    ) -> Result<A, PeerError> {
        let unreadable = |error| PeerError::Unreadable(address, error);
        let body = serde_json::to_vec(question).map_err(unreadable)?;
        let answer = self.exchange(address, path, whom, body, DEADLINE).await?;
        serde_json::from_slice(&answer).map_err(unreadable)
    }

    /// The secret that all share.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// A sealed question to process `whom`, and the number that its answer is sealed with.
    pub(crate) fn question(
        &self,
        address: SocketAddr,
        path: &str,
        whom: &str,
        body: Vec<u8>,
    ) -> (reqwest::RequestBuilder, String) {
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
        let question = self
            .http
            .post(format!("http://{address}{path}"))
            .header(NONCE, &nonce)
            .header(FOR, whom)
            .header(SEAL, sealed)
            .body(body);
        (question, nonce)
    }

    /// Asks, and gives what a genuine answer holds.
    pub(crate) async fn exchange(
        &self,
        address: SocketAddr,
        path: &str,
        whom: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, PeerError> {
        let silent = |error| PeerError::Silent(address, error);
        let (question, nonce) = self.question(address, path, whom, body);
        let response = question.timeout(within).send().await.map_err(silent)?;
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
        Ok(body.into())
    }

    /// Says something about an address or a name, and not again until that is well.
    pub(crate) fn tell_once(&self, about: &str, what: &str) {
        if self
            .told
            .lock()
            .expect("no panic while locked")
            .insert(about.to_owned())
        {
            tracing::warn!("{what}");
        }
    }

    fn heard(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        self.heard.lock().expect("no panic while locked")
    }

    fn speaks_again(&self, address: SocketAddr) {
        self.told
            .lock()
            .expect("no panic while locked")
            .remove(&address.to_string());
    }
}
