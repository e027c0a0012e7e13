//! The agent's life: recover, decide, run MariaDB, and again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chassis::config::Secret;
use nix::sys::signal::Signal;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{Account, Config};
use crate::decision::{Around, Data, Decision, Node, Plan, Proposal, Stage, decide};
use crate::mariadb::{self, Mode, ServerError, Volume};
use crate::memory::{Memory, NodeId, Record, RecordError, Slot, Start};
use crate::peers::{Answer, Client, Farewell, Found, Registration};
use crate::state::Shared;
use crate::{http, seal, sql};

/// How often a node that waits asks the others, and one that runs asks its MariaDB.
const TICK: Duration = Duration::from_millis(400);
/// A sentence that did not change is said again.
const REPEAT: Duration = Duration::from_secs(60);
/// An operator's flag speaks of the situation in which it was set.
const FLAG_AGE: Duration = Duration::from_mins(15);
/// MariaDB writes its pages out when it stops.
const STOP: Duration = Duration::from_mins(5);
/// One that is being copied to has nothing to write out.
const STOP_COPY: Duration = Duration::from_secs(10);
/// A node that leaves before this one has left the membership by then, even if it writes pages for longer.
const TURN: Duration = Duration::from_secs(10);
/// The others hear what this node knew, if they answer at once.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often MariaDB may end by itself, one after the other, without having been in step for a minute in between.
const TRIES: u32 = 10;

/// The agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// MariaDB cannot be run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The memory cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The port is taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// It ends again and again.
    #[error(
        "MariaDB ended {TRIES} times in a row, the last time with {0}; its last lines above say why. The agent gives up"
    )]
    EndsAgainAndAgain(String),
}

/// How a run of MariaDB ended.
enum Ended {
    /// The agent is to stop.
    Asked,
    /// It had no majority, and others wait to start again with it.
    Withdrawn,
    /// By itself.
    Died(ExitStatus),
}

/// Secrets, read.
#[derive(Debug)]
pub struct Secrets {
    /// What the agents share.
    pub cluster: Secret,
    /// What copies log in with.
    pub copy_password: Secret,
    /// The services' own.
    pub accounts: Vec<Account>,
}

/// Runs until `stop`, or until nothing helps.
pub async fn run(config: Config, secrets: Secrets, stop: CancellationToken) -> Result<(), AgentError> {
    mariadb::check_installation()?;
    let volume = Volume::open(&config.volume)?;
    let record = Record::load_or_create(&volume.record())?;
    let password = seal::derived_password(&secrets.cluster, "the agent's account");
    let pool = sql::pool(&volume.socket(), &password);
    let client = Client::new(
        config.peers.clone(),
        config.listen.port(),
        secrets.cluster.clone(),
    )?;
    let listen = config.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| AgentError::Listen(listen, error))?;
    tracing::info!(slot = config.slot, id = %record.id, %listen, "the agent is up");
    let shared = Arc::new(Shared::new(
        config,
        secrets.cluster.clone(),
        volume,
        pool,
        client,
        record,
    ));
    let routes = http::routes(Arc::clone(&shared));
    // It answers until the process ends: while MariaDB stops, the others hear so.
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let agent = Agent {
        shared,
        secrets,
        password,
        stop,
    };
    agent.live().await
}

struct Agent {
    shared: Arc<Shared>,
    secrets: Secrets,
    /// The agent's own, at MariaDB.
    password: Secret,
    stop: CancellationToken,
}

/// What was agreed with the others.
struct Course {
    mode: Mode,
    stage: Stage,
    data: Data,
}

impl Agent {
    async fn live(&self) -> Result<(), AgentError> {
        let mut failures = 0;
        loop {
            self.shared.set_stage(Stage::Recovering);
            self.shared.says("recovering the position");
            // The configuration names an address only once the others are known.
            self.configure(None)?;
            let joining = self.shared.memory().is_some_and(|memory| memory.joining);
            let recovered = tokio::select! {
                recovered = mariadb::recover(&self.shared.volume, joining) => recovered,
                () = self.stop.cancelled() => return Ok(()),
            };
            let data = match recovered {
                Ok(data) => data,
                Err(error) => {
                    failures += 1;
                    self.say(&format!("the position cannot be recovered: {error}"), true);
                    if failures >= TRIES {
                        return Err(error.into());
                    }
                    self.pause(failures).await;
                    if self.stop.is_cancelled() {
                        return Ok(());
                    }
                    continue;
                }
            };
            tracing::info!(?data, "recovered");
            self.shared.set_data(data);
            let Some(course) = self.decide().await? else {
                return Ok(());
            };
            let started = Instant::now();
            match self.supervise(course).await? {
                Ended::Asked => return Ok(()),
                Ended::Withdrawn => failures = 0,
                Ended::Died(status) => {
                    failures = if started.elapsed() > Duration::from_secs(60) {
                        1
                    } else {
                        failures + 1
                    };
                    self.say(
                        &format!("MariaDB ended by itself ({status}), for the {failures}. time in a row"),
                        true,
                    );
                    if failures >= TRIES {
                        return Err(AgentError::EndsAgainAndAgain(status.to_string()));
                    }
                    self.pause(failures).await;
                }
            }
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Longer after each failure.
    async fn pause(&self, failures: u32) {
        let pause = Duration::from_millis(250) * 2_u32.pow(failures.min(6));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn configure(&self, address: Option<IpAddr>) -> Result<(), ServerError> {
        let shared = &self.shared;
        let id = shared.node().id;
        mariadb::configure(
            &shared.volume,
            &shared.config,
            id,
            address,
            &self.secrets.copy_password,
        )
    }

    /// Says something once, and again when it changes.
    fn say(&self, sentence: &str, loud: bool) {
        if !self.shared.says(sentence) {
            return;
        }
        if loud {
            tracing::warn!("{sentence}");
        } else {
            tracing::info!("{sentence}");
        }
    }

    /// Asks and decides until there is something to do, or the agent is to stop.
    async fn decide(&self) -> Result<Option<Course>, AgentError> {
        let began = Instant::now();
        let mut said = Instant::now();
        self.shared.forget_promise();
        self.shared.set_stage(Stage::Deciding { ballot: None });
        loop {
            // Names and peers may take their time; SIGTERM does not wait for them. Whatever was written down before
            // holds whether or not MariaDB starts.
            let attempted = tokio::select! {
                attempted = self.attempt(began) => attempted?,
                () = self.stop.cancelled() => return Ok(None),
            };
            if attempted.is_some() {
                return Ok(attempted);
            }
            self.shared.set_stage(Stage::Deciding { ballot: None });
            if said.elapsed() > REPEAT {
                said = Instant::now();
                let report = self.shared.report();
                tracing::warn!("still {}", report["says"].as_str().unwrap_or_default());
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.stop.cancelled() => return Ok(None),
            }
        }
    }

    async fn attempt(&self, began: Instant) -> Result<Option<Course>, AgentError> {
        let asked = Instant::now();
        let found = self.shared.client.ask_all().await;
        let peers = Peers::of(&found, &self.shared);
        for (_, answer) in peers.answers.values() {
            self.shared.release(asked, answer);
        }
        let own = self.shared.node();
        let nodes: Vec<Node> = peers
            .answers
            .values()
            .map(|(_, answer)| answer.node.clone())
            .collect();
        let around = Around {
            silent: found.silent.len(),
            founders: self.shared.config.nodes,
            forced: self.is_forced(),
            waited: began.elapsed().as_secs() >= self.shared.config.patience,
        };
        let decision = decide(&own, &nodes, around);
        let Some(address) = self.shared.config.address.or(peers.own) else {
            self.say(
                "waiting to be found: none of the peers' addresses is this node (set DATABASE_ADDRESS, or add it to DATABASE_PEERS)",
                true,
            );
            return Ok(None);
        };
        match decision {
            Decision::Wait(waiting) => {
                self.say(&waiting.to_string(), false);
                Ok(None)
            }
            Decision::Refuse(refusal) => {
                self.say(&format!("refusing to start: {refusal}"), true);
                Ok(None)
            }
            Decision::Join { members } => self.join(&own, &members, &peers, address).await,
            Decision::Bootstrap(plan) => self.bootstrap(&own, plan, &peers, address).await,
        }
    }

    /// An operator's flag, if it is fresh.
    fn is_forced(&self) -> bool {
        let flag = self.shared.volume.force_flag();
        let Ok(set) = flag.metadata().and_then(|metadata| metadata.modified()) else {
            return false;
        };
        let age = SystemTime::now().duration_since(set).unwrap_or_default();
        if age > FLAG_AGE {
            tracing::warn!(
                "force-bootstrap was set more than 15 minutes ago and is dropped: set it again if it is still meant"
            );
            let _ = std::fs::remove_file(flag);
            return false;
        }
        true
    }

    fn drop_flag(&self) {
        let _ = std::fs::remove_file(self.shared.volume.force_flag());
    }

    /// Makes sure that every member of the running cluster knows that this node comes.
    async fn join(
        &self,
        own: &Node,
        members: &BTreeMap<NodeId, Slot>,
        peers: &Peers,
        address: IpAddr,
    ) -> Result<Option<Course>, AgentError> {
        let shared = &self.shared;
        let registration = Registration {
            id: own.id,
            slot: own.slot,
        };
        let mut memories = Vec::new();
        let mut addresses = Vec::new();
        for id in members.keys() {
            let Some((at, answer)) = peers.answers.get(id) else {
                return Ok(None);
            };
            match shared.client.register(*at, answer.boot, registration).await {
                Ok(memory) => memories.push(memory),
                Err(error) => {
                    self.say(
                        &format!("the running cluster does not let this node in yet: {error}"),
                        false,
                    );
                    return Ok(None);
                }
            }
            if answer.node.stage == Stage::Primary {
                addresses.push(at.ip());
            }
        }
        let Some(memory) = Memory::of_joiner(own.id, &memories) else {
            return Ok(None);
        };
        // The membership moved on meanwhile: somebody in it may not know of this node yet.
        if memory
            .members
            .keys()
            .any(|id| *id != own.id && !members.contains_key(id))
        {
            return Ok(None);
        }
        shared.remember(|current| *current = Some(memory))?;
        shared.forget_promise();
        self.drop_flag();
        if own.data == Data::Incomplete {
            shared.volume.clear_data()?;
        }
        self.configure(Some(address))?;
        self.say("joining the running cluster", false);
        Ok(Some(Course {
            mode: Mode::Join(addresses),
            stage: Stage::Joining,
            data: own.data,
        }))
    }

    /// Asks everyone who takes part to agree, and starts the cluster if they do.
    async fn bootstrap(
        &self,
        own: &Node,
        plan: Plan,
        peers: &Peers,
        address: IpAddr,
    ) -> Result<Option<Course>, AgentError> {
        let shared = &self.shared;
        let ballot: u64 = rand::random();
        if !shared.begin_ballot(ballot, plan.forced) {
            self.say("waiting for the node that this one has agreed to", false);
            return Ok(None);
        }
        let (cluster, seqno) = match own.data {
            Data::At { cluster, seqno } => (cluster, seqno),
            Data::Empty | Data::Incomplete => (None, -1),
        };
        let proposal = Proposal {
            by: own.id,
            boot: shared.boot,
            ballot,
            slot: own.slot,
            cluster: own.cluster(),
            seqno,
            newest: plan.newest.as_ref().map(|memory| memory.view),
            participants: plan.participants.keys().copied().collect(),
            forced: plan.forced,
        };
        for id in plan.participants.keys().filter(|id| **id != own.id) {
            let Some((at, answer)) = peers.answers.get(id) else {
                return Ok(None);
            };
            let agreed = match shared.client.propose(*at, answer.boot, &proposal).await {
                Ok(agreed) => agreed.map_err(|objection| objection.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = agreed {
                self.say(
                    &format!(
                        "slot {} does not agree to a start yet: {reason}",
                        answer.node.slot
                    ),
                    false,
                );
                return Ok(None);
            }
        }
        shared.set_stage(Stage::Bootstrapping { ballot });
        if own.data == Data::Empty {
            self.say("founding a new cluster", true);
        } else if plan.forced {
            self.say(
                "starting the cluster from here WITHOUT the missing nodes, because force-bootstrap was set",
                true,
            );
        } else {
            self.say(
                "starting the cluster: all agreed that the newest data is here",
                false,
            );
        }
        let start = Start {
            id: Uuid::from_u128(rand::random()),
            cluster,
            seqno,
            forced: plan.forced,
            participants: plan.participants,
        };
        let memory = Memory::of_bootstrapper(plan.newest.as_ref(), &start);
        shared.remember(|current| *current = Some(memory))?;
        self.drop_flag();
        self.configure(Some(address))?;
        // After the memory: a founder that dies here founds again, but data without a memory would be a stranger's.
        let data = if own.data == Data::Empty {
            mariadb::install(&shared.volume).await?;
            Data::At {
                cluster: None,
                seqno: -1,
            }
        } else {
            own.data
        };
        Ok(Some(Course {
            mode: Mode::Bootstrap,
            stage: Stage::Bootstrapping { ballot },
            data,
        }))
    }

    /// Runs MariaDB until it ends.
    async fn supervise(&self, course: Course) -> Result<Ended, AgentError> {
        let shared = &self.shared;
        shared.set_stage(course.stage);
        let mut child = mariadb::spawn(&shared.volume, &course.mode, course.data)?;
        let group = child.id();
        let mut watch = Watch::new(matches!(course.mode, Mode::Bootstrap));
        let ended = loop {
            tokio::select! {
                status = child.wait() => match status {
                    Ok(status) => break Ended::Died(status),
                    Err(source) => return Err(ServerError::Io { path: "mariadbd".into(), source }.into()),
                },
                () = self.stop.cancelled() => {
                    let member = shared.stage() == Stage::Primary;
                    let _ = tokio::time::timeout(TURN, self.wait_for_turn()).await;
                    if member {
                        // Those who stay go on without this node: it has to know who they are, up to the last moment.
                        // Who was cut off and came back since the last look did not register.
                        let _ = shared.look_at_membership().await;
                    }
                    self.end(&mut child).await;
                    let _ = tokio::time::timeout(FAREWELL, self.say_farewell()).await;
                    tracing::info!("MariaDB has stopped in order");
                    break Ended::Asked;
                }
                withdraw = self.observe(&mut watch) => if withdraw {
                    self.say("no majority comes back by itself; stopping MariaDB to start the cluster together with the others", true);
                    self.end(&mut child).await;
                    break Ended::Withdrawn;
                },
            }
        };
        mariadb::end_helpers(group);
        Ok(ended)
    }

    /// Nodes that leave at the very same time look to the others like nodes that were cut off, and leave them without
    /// a majority. So they leave one after the other, the highest slot first.
    async fn wait_for_turn(&self) {
        let shared = &self.shared;
        shared.set_stage(Stage::Stopping);
        // A node that was told to stop a moment later than this one is seen by the second look.
        let mut free = 0;
        while free < 2 {
            let found = shared.client.ask_all().await;
            let before_us = found.answers.values().any(|answer| {
                answer.node.slot > shared.config.slot
                    && answer.cluster == shared.config.cluster
                    && answer.node.stage == Stage::Stopping
            });
            free = if before_us { 0 } else { free + 1 };
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// Stops MariaDB in order: it writes everything out, and the others do not count it any more.
    async fn end(&self, child: &mut Child) {
        // A copy that is not finished is worth nothing, and MariaDB does not stop before it is.
        let joining = self.shared.memory().is_some_and(|memory| memory.joining);
        let limit = if joining { STOP_COPY } else { STOP };
        self.shared.set_stage(Stage::Stopping);
        mariadb::signal(child, Signal::SIGTERM);
        if tokio::time::timeout(limit, child.wait()).await.is_err() {
            tracing::warn!(
                "MariaDB did not stop within {limit:?} and is killed; it recovers at its next start"
            );
            mariadb::signal(child, Signal::SIGKILL);
            let _ = child.wait().await;
        }
    }

    /// Tells the members who go on what this node knew.
    async fn say_farewell(&self) {
        let Some(memory) = self.shared.memory() else {
            return;
        };
        let farewell = Farewell { memory };
        let found = self.shared.client.ask_all().await;
        for (at, answer) in found.answers {
            if answer.boot != self.shared.boot {
                let _ = self.shared.client.say_farewell(at, answer.boot, &farewell).await;
            }
        }
    }

    /// Looks at MariaDB once a tick. Whether it should be stopped, to start the cluster anew.
    async fn observe(&self, watch: &mut Watch) -> bool {
        tokio::time::sleep(TICK).await;
        let shared = &self.shared;
        let asked = tokio::time::timeout(Duration::from_secs(3), sql::status(&shared.sql)).await;
        let status = match asked {
            Ok(Ok(status)) => status,
            Ok(Err(sqlx::Error::Database(error))) if error.message().contains("Access denied") => {
                // A database that was just made, or a secret that was changed.
                let account = sql::agent_account(&self.password);
                if let Err(error) = mariadb::administer(&shared.volume, &account).await {
                    tracing::debug!(%error, "the agent has no account yet");
                }
                return false;
            }
            _ => return false,
        };
        let is = |name: &str, value: &str| status.get(name).is_some_and(|is| is == value);
        let primary = is("cluster_status", "Primary");
        let in_step = is("local_state", "4") || is("local_state", "2");
        if primary
            && let (Some(Ok(cluster)), Some(Ok(seqno))) = (
                status.get("local_state_uuid").map(|text| text.parse()),
                status.get("last_committed").map(|text| text.parse()),
            )
        {
            let cluster = Some(cluster);
            shared.set_data(Data::At { cluster, seqno });
        }
        let comment = status.get("local_state_comment").cloned().unwrap_or_default();
        shared.set_status(status);
        if primary && in_step {
            self.in_step(watch, &comment).await;
            false
        } else if primary {
            watch.alone_since = None;
            shared.set_stage(Stage::Joining);
            self.say("catching up with the cluster", false);
            false
        } else {
            self.without_majority(watch).await
        }
    }

    async fn in_step(&self, watch: &mut Watch, comment: &str) {
        let shared = &self.shared;
        watch.alone_since = None;
        if let Err(error) = shared.look_at_membership().await {
            if watch.remembers {
                tracing::warn!("the membership cannot be remembered: {error}");
            }
            watch.remembers = false;
            return;
        }
        watch.remembers = true;
        shared.set_stage(Stage::Primary);
        self.say(&format!("running: {comment}"), false);
        if !watch.accounts_made {
            match self.make_accounts(watch.bootstrapped).await {
                Ok(()) => watch.accounts_made = true,
                Err(error) => {
                    tracing::warn!(%error, "the accounts of the services could not be made; trying again");
                }
            }
        }
    }

    async fn make_accounts(&self, always: bool) -> Result<(), sqlx::Error> {
        let Secrets {
            accounts,
            copy_password,
            ..
        } = &self.secrets;
        let pool = &self.shared.sql;
        if always || sql::accounts_missing(pool, accounts).await? {
            sql::make_accounts(pool, accounts, copy_password).await?;
        }
        Ok(())
    }

    /// Whether a node without a majority had better stop: Galera goes on by itself when enough of the last members are
    /// still running and meet again, and never otherwise.
    async fn without_majority(&self, watch: &mut Watch) -> bool {
        let shared = &self.shared;
        let since = *watch.alone_since.get_or_insert_with(Instant::now);
        if matches!(shared.stage(), Stage::Primary | Stage::NonPrimary) {
            shared.set_stage(Stage::NonPrimary);
            self.say(
                "no majority: reads and writes are refused until enough nodes are back",
                true,
            );
        }
        let alone = since.elapsed();
        if self.is_forced() {
            return true;
        }
        if alone < Duration::from_secs(2) {
            return false;
        }
        let Some(memory) = shared.memory() else {
            return false;
        };
        let found = shared.client.ask_all().await;
        let members: Vec<&Node> = found
            .answers
            .values()
            .map(|answer| &answer.node)
            .filter(|node| memory.members.contains_key(&node.id))
            .collect();
        let count = |wanted: fn(Stage) -> bool| members.iter().filter(|node| wanted(node.stage)).count();
        let running = count(|stage| matches!(stage, Stage::Primary | Stage::NonPrimary));
        let stopped = count(|stage| matches!(stage, Stage::Deciding { .. }));
        let cluster_goes_on = found
            .answers
            .values()
            .any(|answer| answer.node.stage == Stage::Primary);
        if cluster_goes_on {
            // It should have been taken back by now.
            return alone > Duration::from_secs(20);
        }
        let hopeless = running * 2 <= memory.members.len();
        (stopped > 0 && hopeless)
            || (members.len() == memory.members.len() && alone > Duration::from_secs(30))
    }
}

/// What is known of a running MariaDB.
struct Watch {
    bootstrapped: bool,
    accounts_made: bool,
    remembers: bool,
    alone_since: Option<Instant>,
}

impl Watch {
    fn new(bootstrapped: bool) -> Self {
        Self {
            bootstrapped,
            accounts_made: false,
            remembers: true,
            alone_since: None,
        }
    }
}

/// The others, each once, and where this node was found itself.
struct Peers {
    answers: BTreeMap<NodeId, (SocketAddr, Answer)>,
    own: Option<IpAddr>,
}

impl Peers {
    fn of(found: &Found, shared: &Shared) -> Self {
        let mut peers = Self {
            answers: BTreeMap::new(),
            own: None,
        };
        for (at, answer) in &found.answers {
            if answer.boot == shared.boot {
                peers.own.get_or_insert(at.ip());
            } else if answer.cluster == shared.config.cluster {
                peers.answers.insert(answer.node.id, (*at, answer.clone()));
            }
        }
        peers
    }
}
