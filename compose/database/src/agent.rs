//! The agent's main loop: recover the position, decide how to start, run MariaDB, repeat.

mod start;
mod space;
mod supervision;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::config::Secret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cluster_record::{RecordError, RecordFile};
use crate::config::{Config, ServiceAccount};
use crate::decision::Stage;
use crate::mariadb::{self, Mode, ServerError, Volume};
use crate::peers::PeerClient;
use crate::state::Shared;
use crate::{http, signature, sql};

/// The pause between two polls: of the peers while waiting, of MariaDB while it runs.
const POLL_PAUSE: Duration = Duration::from_millis(400);
/// How often an unchanged status message is logged again.
const STATUS_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of unexpected ends of MariaDB in a row, without a minute in sync in between.
const MAX_RESTARTS: u32 = 10;

/// Why the agent exits with an error.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// MariaDB cannot be run.
    #[error(transparent)]
    ServerConfig(#[from] ServerError),
    /// The cluster record cannot be read or written.
    #[error(transparent)]
    RecordFile(#[from] RecordError),
    /// The port is taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The HTTP client cannot be created.
    #[error("cannot make an HTTP client: {0}")]
    PeerClient(#[from] reqwest::Error),
    /// MariaDB ends again and again.
    #[error(
        "MariaDB ended {MAX_RESTARTS} times in a row, the last time with {0}. See its last log lines above. The agent exits"
    )]
    EndsAgainAndAgain(String),
}

/// How a run of MariaDB ended.
enum MariaDbExit {
    /// The agent was asked to stop.
    Asked,
    /// MariaDB was stopped to be started in another mode.
    Withdrawn,
    /// The volume is full.
    Full,
    /// It ended unexpectedly.
    Died(ExitStatus),
}

/// The secrets, read from flags or files.
#[derive(Debug)]
pub struct Secrets {
    /// The secret that the agents share.
    pub cluster: Secret,
    /// The password of the user that copies nodes.
    pub copy_password: Secret,
    /// The accounts of the services.
    pub accounts: Vec<ServiceAccount>,
}

/// Runs the agent until `stop` is cancelled or an error occurs.
pub async fn run(config: Config, secrets: Secrets, stop: CancellationToken) -> Result<(), AgentError> {
    mariadb::check_installation()?;
    let volume = Volume::open(&config.volume)?;
    let _held = tokio::select! {
        held = volume.hold() => held?,
        () = stop.cancelled() => return Ok(()),
    };
    let record = RecordFile::load_or_create(&volume.record())?;
    let password = signature::derived_password(&secrets.cluster, "the agent's account");
    let pool = sql::pool(&volume.socket(), &password);
    let client = PeerClient::new(
        config.peers.clone(),
        config.listen.port(),
        secrets.cluster.clone(),
    )?;
    let listen = config.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| AgentError::Listen(listen, error))?;
    tracing::info!(slot = config.slot, id = %record.id, %listen, "the agent is running");
    let shared = Arc::new(Shared::new(
        config,
        secrets.cluster.clone(),
        volume,
        pool,
        client,
        record,
    ));
    let routes = http::routes(Arc::clone(&shared));
    // Serves until the process ends, so that peers can see that MariaDB is stopping.
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
    /// The password of the agent's MariaDB account.
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
            self.shared.set_status_message("recovering the position");
            // The address is configured once the peers are known.
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
                MariaDbExit::Asked => return Ok(()),
                MariaDbExit::Withdrawn => failures = 0,
                MariaDbExit::Full => {
                    // A copy that does not fit fills the volume again at each attempt.
                    failures += 1;
                    self.pause(failures).await;
                }
                MariaDbExit::Died(status) => {
                    failures = if started.elapsed() > Duration::from_secs(60) {
                        1
                    } else {
                        failures + 1
                    };
                    self.say(
                        &format!("MariaDB ended unexpectedly ({status}), {failures} times in a row"),
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

    /// Waits, longer after each failure.
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

    /// Logs a status message when it changes, and every [`STATUS_LOG_INTERVAL`].
    fn say(&self, message: &str, is_warning: bool) {
        if !self.shared.set_status_message(message) {
            return;
        }
        if is_warning {
            tracing::warn!("{message}");
        } else {
            tracing::info!("{message}");
        }
    }
}
