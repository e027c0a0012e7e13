//! The agent's life: recover, decide, run MariaDB, and again.

mod deciding;
mod space;
mod watching;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::config::Secret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Account, Config};
use crate::decision::Stage;
use crate::mariadb::{self, Mode, ServerError, Volume};
use crate::memory::{Record, RecordError};
use crate::peers::Client;
use crate::state::Shared;
use crate::{http, seal, sql};

/// How often a node that waits asks the others, and one that runs asks its MariaDB.
const TICK: Duration = Duration::from_millis(400);
/// A sentence that did not change is said again.
const REPEAT: Duration = Duration::from_secs(60);
/// How often MariaDB may end by itself, one after the other, without having been in step for a minute in between.
const MAX_RESTARTS: u32 = 10;

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
        "MariaDB ended {MAX_RESTARTS} times in a row, the last time with {0}; its last lines above say why. The agent gives up"
    )]
    EndsAgainAndAgain(String),
}

/// How a run of MariaDB ended.
enum Ended {
    /// The agent is to stop.
    Asked,
    /// It was of no use as it ran; started anew, it may be.
    Withdrawn,
    /// The volume is full.
    Full,
    /// By itself.
    Died(ExitStatus),
}

/// Secrets, read.
#[derive(Debug)]
pub struct Secrets {
    /// The secret that the agents share.
    pub cluster: Secret,
    /// The password of the user that copies nodes.
    pub copy_password: Secret,
    /// The services' own.
    pub accounts: Vec<Account>,
}

/// Runs until `stop`, or until nothing helps.
pub async fn run(config: Config, secrets: Secrets, stop: CancellationToken) -> Result<(), AgentError> {
    mariadb::check_installation()?;
    let volume = Volume::open(&config.volume)?;
    let _held = tokio::select! {
        held = volume.hold() => held?,
        () = stop.cancelled() => return Ok(()),
    };
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

impl Agent {
    async fn live(&self) -> Result<(), AgentError> {
        let mut failures = 0;
        loop {
            self.shared.set_stage(Stage::Recovering);
            if !self.wait_for_space().await? {
                return Ok(());
            }
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
                    if failures >= MAX_RESTARTS {
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
                Ended::Full => {
                    // A copy that does not fit fills the volume each time.
                    failures += 1;
                    self.pause(failures).await;
                }
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
                    if failures >= MAX_RESTARTS {
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

    fn configure(&self, start: Option<(IpAddr, &Mode)>) -> Result<(), ServerError> {
        let shared = &self.shared;
        let id = shared.node().id;
        let epoch = shared.memory().unwrap_or_default().view.epoch;
        mariadb::configure(
            &shared.volume,
            &shared.config,
            id,
            start,
            epoch,
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
}
