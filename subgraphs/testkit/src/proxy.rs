use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::server::{is_without_galera, server_url};

/// The message that is lost, together with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The statement: the database never hears of it.
    Statement,
    /// Its answer: the database has done what was asked.
    Answer,
}

/// Galera's variable that the services set, and a name of the same length that no server knows.
const SYNC_WAIT: (&[u8], &[u8]) = (b"wsrep_sync_wait", b"absent_variable");

/// A way to the test server on which things go missing when a test says so. It lasts as long as the test's runtime.
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
    pass: usize,
}

impl Proxy {
    /// A proxy at a free port of an address of this machine.
    pub async fn new(ip: &str) -> Self {
        Self::start(ip, is_without_galera()).await
    }

    /// The same, on which the server is one that was built without Galera: it answers that it does not know the
    /// variables, because their names are changed on the way.
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
                        // It ends with an error where either side is gone, which is what this is for.
                        let _ = carry(client, server, &state).await;
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets `pass` statements that contain `statement` through, and loses the next one, or its answer. Once.
    pub fn lose(&self, loss: Loss, statement: &str, pass: usize) {
        self.state.lost.store(0, Ordering::Relaxed);
        *self.state.plan.lock().expect("no test panics here") = Some(Plan {
            loss,
            statement: statement.to_owned(),
            pass,
        });
    }

    /// Whether something went missing since [`Proxy::lose`].
    pub fn has_lost(&self) -> bool {
        self.state.lost.load(Ordering::Relaxed) > 0
    }

    /// How many connections were opened.
    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::Relaxed)
    }

    /// Says nothing any more, on no connection, like a server that was stopped.
    pub fn freeze(&self, frozen: bool) {
        self.state.frozen.store(frozen, Ordering::Relaxed);
    }
}

impl State {
    /// Changes the names of Galera's variables where the server shall not know them.
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

    /// The loss that these bytes of a client trigger.
    fn loss(&self, sent: &[u8]) -> Option<Loss> {
        let mut plan = self.plan.lock().expect("no test panics here");
        let waiting = plan.as_mut()?;
        let wanted = waiting.statement.as_bytes();
        if !sent.windows(wanted.len()).any(|window| window == wanted) {
            return None;
        }
        if waiting.pass > 0 {
            waiting.pass -= 1;
            return None;
        }
        let loss = waiting.loss;
        *plan = None;
        self.lost.fetch_add(1, Ordering::Relaxed);
        Some(loss)
    }

    async fn thawed(&self) {
        while self.frozen.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, state: &State) -> std::io::Result<()> {
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
                state.thawed().await;
                match state.loss(bytes) {
                    None => server.write_all(bytes).await?,
                    Some(Loss::Statement) => return Ok(()),
                    Some(Loss::Answer) => {
                        server.write_all(bytes).await?;
                        // It comes when the database has done it.
                        return server.read(&mut answered).await.map(drop);
                    }
                }
            }
            length = server.read(&mut answered) => {
                let bytes = &answered[..length?];
                if bytes.is_empty() {
                    return Ok(());
                }
                state.thawed().await;
                client.write_all(bytes).await?;
            }
        }
    }
}
