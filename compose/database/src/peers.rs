//! Finds the other agents by DNS, and sends them requests.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chassis::config::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cluster_record::{ClusterRecord, NodeId, Slot};
use crate::decision::{Node, Objection, Proposal};
use crate::signature::{self, NONCE_HEADER, RECIPIENT_HEADER, SIGNATURE_HEADER};

/// Timeout of a request to an agent.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of a DNS lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// The recipient of a request that any process may handle.
pub const ANY_PROCESS: &str = "any";

/// The status of an agent, as it responds to other agents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The name of its cluster.
    pub cluster: String,
    /// Its process.
    pub boot: u64,
    /// Whether its volume is nearly full.
    pub lacks_space: bool,
    /// Whether the node is leaving the cluster.
    #[serde(default)]
    pub leaves: bool,
    /// Its node.
    pub node: Node,
}

/// A request to join.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Its volume.
    pub id: NodeId,
    /// Its slot.
    pub slot: Slot,
}

/// A notice that a node has left in order, with its record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaveNotice {
    /// Its record after its database has stopped.
    pub memory: ClusterRecord,
}

/// Why a request to an agent failed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The agent did not respond.
    #[error("{0} does not answer")]
    Silent(SocketAddr, #[source] reqwest::Error),
    /// The response was not signed with this node's secret, or the peer refused this node's signature.
    #[error("{0} does not share this node's cluster secret: it is ignored")]
    Stranger(SocketAddr),
    /// The agent refused the request.
    #[error("{0} refuses: {1}")]
    Refused(SocketAddr, String),
    /// The response is malformed.
    #[error("{0} responds with something that this version does not understand")]
    Unreadable(SocketAddr, #[source] serde_json::Error),
}

/// The results of polling all peers.
#[derive(Debug, Default)]
pub struct PeerSurvey {
    /// The peers that answered, by address.
    pub answers: BTreeMap<SocketAddr, PeerStatus>,
    /// Addresses and names without a response.
    pub silent: BTreeSet<String>,
}

/// A client for other agents.
#[derive(Debug)]
pub struct PeerClient {
    http: reqwest::Client,
    secret: Secret,
    names: Vec<String>,
    port: u16,
    /// The last addresses of each name.
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
    /// The peers that answered the last request. Swarm removes the address of a stopping task from DNS, and stopping
    /// nodes must see each other.
    responsive: Mutex<BTreeSet<SocketAddr>>,
    /// Warnings that have been logged already.
    warned: Mutex<HashSet<String>>,
}

impl PeerClient {
    /// Creates a client for the agents under `names`, with `port` as default port.
    pub fn new(names: Vec<String>, port: u16, secret: Secret) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(PEER_TIMEOUT)
                .build()?,
            secret,
            names,
            port,
            known: Mutex::default(),
            responsive: Mutex::default(),
            warned: Mutex::default(),
        })
    }

    /// Polls all agents, including this one.
    pub async fn poll_all(&self) -> PeerSurvey {
        let mut found = PeerSurvey::default();
        let named = self.addresses(&mut found.silent).await;
        let polled: BTreeSet<_> = named.union(&self.responsive()).copied().collect();
        let polled = polled.into_iter().map(|address| async move {
            let answer = self
                .call::<_, PeerStatus>(address, "/peer/ask", ANY_PROCESS, &())
                .await;
            (address, answer)
        });
        for (address, answer) in futures::future::join_all(polled).await {
            match answer {
                Ok(answer) => {
                    self.clear_warning(address);
                    self.responsive().insert(address);
                    found.answers.insert(address, answer);
                }
                Err(error) => {
                    self.responsive().remove(&address);
                    // An address without a name is not expected to respond.
                    if !named.contains(&address) {
                        continue;
                    }
                    if !matches!(error, PeerError::Silent(..)) {
                        self.warn_once(&address.to_string(), &error.to_string());
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

    /// Registers this node with a member.
    pub async fn register(
        &self,
        address: SocketAddr,
        boot: u64,
        registration: Registration,
    ) -> Result<ClusterRecord, PeerError> {
        self.call(address, "/peer/register", &boot.to_string(), &registration)
            .await
    }

    /// Sends a leave notice.
    pub async fn send_leave_notice(
        &self,
        address: SocketAddr,
        boot: u64,
        notice: &LeaveNotice,
    ) -> Result<(), PeerError> {
        self.call(address, "/peer/farewell", &boot.to_string(), notice)
            .await
    }

    async fn addresses(&self, silent: &mut BTreeSet<String>) -> BTreeSet<SocketAddr> {
        let mut addresses = BTreeSet::new();
        for name in &self.names {
            match self.look_up(name).await {
                Ok(found) => {
                    self.warned.lock().expect("no panic while locked").remove(name);
                    addresses.extend(&found);
                    let mut known = self.known.lock().expect("no panic while locked");
                    known.insert(name.clone(), found);
                }
                Err(reason) => {
                    // Earlier addresses are still polled, but unknown nodes may exist.
                    silent.insert(name.clone());
                    let known = self.known.lock().expect("no panic while locked");
                    let before = known.get(name).map_or(&[][..], Vec::as_slice);
                    addresses.extend(before);
                    self.warn_once(
                        name,
                        &format!(
                            "{name} cannot be resolved: {reason}. Using its last {} addresses, and trying again. Check the \
                             name server",
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
        match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Ok(Ok(_)) => Err("no addresses".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {LOOKUP_TIMEOUT:?}")),
        }
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        address: SocketAddr,
        path: &str,
        recipient: &str,
        request: &Q,
    ) -> Result<A, PeerError> {
        let unreadable = |error| PeerError::Unreadable(address, error);
        let body = serde_json::to_vec(request).map_err(unreadable)?;
        let answer = self
            .exchange(address, path, recipient, body, PEER_TIMEOUT)
            .await?;
        serde_json::from_slice(&answer).map_err(unreadable)
    }

    /// Returns the secret that all agents share.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// A signed request to process `recipient`, and its nonce.
    pub(crate) fn signed_request(
        &self,
        address: SocketAddr,
        path: &str,
        recipient: &str,
        body: Vec<u8>,
    ) -> (reqwest::RequestBuilder, String) {
        let nonce = format!("{:032x}", rand::random::<u128>());
        let signature = signature::sign(
            &self.secret,
            &[
                b"question",
                path.as_bytes(),
                nonce.as_bytes(),
                recipient.as_bytes(),
                &body,
            ],
        );
        let request = self
            .http
            .post(format!("http://{address}{path}"))
            .header(NONCE_HEADER, &nonce)
            .header(RECIPIENT_HEADER, recipient)
            .header(SIGNATURE_HEADER, signature)
            .body(body);
        (request, nonce)
    }

    /// Sends a request, and returns the verified response.
    pub(crate) async fn exchange(
        &self,
        address: SocketAddr,
        path: &str,
        recipient: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, PeerError> {
        let silent = |error| PeerError::Silent(address, error);
        let (request, nonce) = self.signed_request(address, path, recipient, body);
        let response = request.timeout(within).send().await.map_err(silent)?;
        let status = response.status();
        let signature = response
            .headers()
            .get(SIGNATURE_HEADER)
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
        if !signature::verify(&self.secret, &parts, &signature) {
            return Err(PeerError::Stranger(address));
        }
        if !status.is_success() {
            let reason = String::from_utf8_lossy(&body).into_owned();
            return Err(PeerError::Refused(address, reason));
        }
        Ok(body.into())
    }

    /// Logs a warning about an address or a name once, until [`Self::clear_warning`].
    pub(crate) fn warn_once(&self, subject: &str, warning: &str) {
        if self
            .warned
            .lock()
            .expect("no panic while locked")
            .insert(subject.to_owned())
        {
            tracing::warn!("{warning}");
        }
    }

    fn responsive(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        self.responsive.lock().expect("no panic while locked")
    }

    fn clear_warning(&self, address: SocketAddr) {
        self.warned
            .lock()
            .expect("no panic while locked")
            .remove(&address.to_string());
    }
}
