use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::server::{is_without_galera, server_url};

/// The message that is lost together with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The statement: the database does not receive it.
    Statement,
    /// The response: the database has executed the statement.
    Response,
}

/// Galera's variable that services set, and an unknown name of the same length.
const SYNC_WAIT: (&[u8], &[u8]) = (b"wsrep_sync_wait", b"absent_variable");

/// A proxy of the test server that can lose messages. Ends with the runtime of the test.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: Mutex<Option<Plan>>,
    lost: AtomicUsize,
    opened: AtomicUsize,
    frozen: AtomicBool,
    without_galera: bool,
}

#[derive(Debug)]
struct Plan {
    loss: Loss,
    statement: String,
    skipped: usize,
}

impl Proxy {
    /// Starts a proxy on a free port of an address of this machine.
    pub async fn new(ip: &str) -> Self {
        Self::start(ip, is_without_galera()).await
    }

    /// Starts a proxy that imitates a server without Galera: it replaces the names of Galera's variables by unknown
    /// ones.
    pub async fn without_galera() -> Self {
        Self::start("127.0.0.1", true).await
    }

    async fn start(ip: &str, without_galera: bool) -> Self {
        let server: Url = server_url().parse().expect("a valid URL");
        let server = format!(
            "{}:{}",
            server.host_str().expect("a URL with a host"),
            server.port().unwrap_or(3306)
        );
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(State {
            without_galera,
            ..State::default()
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepting.opened.fetch_add(1, Ordering::Relaxed);
                let (server, state) = (server.clone(), Arc::clone(&accepting));
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        // Ends with an error if either side closes the connection.
                        let _ = forward(client, server, &state).await;
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Returns the address that the proxy listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards `skipped` statements that contain `statement`, and loses the next one or its response, once.
    pub fn lose(&self, loss: Loss, statement: &str, skipped: usize) {
        self.state.lost.store(0, Ordering::Relaxed);
        *self.state.plan.lock().expect("no test panics here") = Some(Plan {
            loss,
            statement: statement.to_owned(),
            skipped,
        });
    }

    /// Whether a message was lost since [`Proxy::lose`].
    pub fn has_lost(&self) -> bool {
        self.state.lost.load(Ordering::Relaxed) > 0
    }

    /// Returns the number of opened connections.
    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::Relaxed)
    }

    /// Stops or resumes forwarding on all connections, like a paused server.
    pub fn freeze(&self, frozen: bool) {
        self.state.frozen.store(frozen, Ordering::Relaxed);
    }
}

impl State {
    /// Replaces the names of Galera's variables, if configured.
    fn rename(&self, sent: &mut [u8]) {
        let (name, unknown) = SYNC_WAIT;
        let mut at = 0;
        while self.without_galera
            && let Some(found) = sent[at..].windows(name.len()).position(|window| window == name)
        {
            at += found;
            sent[at..at + name.len()].copy_from_slice(unknown);
        }
    }

    /// Returns the loss that these bytes of a client trigger.
    fn loss(&self, sent: &[u8]) -> Option<Loss> {
        let mut plan = self.plan.lock().expect("no test panics here");
        let waiting = plan.as_mut()?;
        let wanted = waiting.statement.as_bytes();
        if !sent.windows(wanted.len()).any(|window| window == wanted) {
            return None;
        }
        if waiting.skipped > 0 {
            waiting.skipped -= 1;
            return None;
        }
        let loss = waiting.loss;
        *plan = None;
        self.lost.fetch_add(1, Ordering::Relaxed);
        Some(loss)
    }

    async fn wait_while_frozen(&self) {
        while self.frozen.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, state: &State) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut sent, mut answered) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
    loop {
        tokio::select! {
            length = client.read(&mut sent) => {
                let bytes = &mut sent[..length?];
                state.rename(bytes);
                if bytes.is_empty() {
                    return Ok(());
                }
                state.wait_while_frozen().await;
                match state.loss(bytes) {
                    None => server.write_all(bytes).await?,
                    Some(Loss::Statement) => return Ok(()),
                    Some(Loss::Response) => {
                        server.write_all(bytes).await?;
                        // Received after the database has executed the statement.
                        return server.read(&mut answered).await.map(drop);
                    }
                }
            }
            length = server.read(&mut answered) => {
                let bytes = &answered[..length?];
                if bytes.is_empty() {
                    return Ok(());
                }
                state.wait_while_frozen().await;
                client.write_all(bytes).await?;
            }
        }
    }
}
