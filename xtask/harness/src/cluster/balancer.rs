//! A virtual address that forwards connections to several processes in turn, like a Swarm VIP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Timeout of a connection attempt, after which the next process is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Starts a balancer at `address`, which runs until it is aborted.
pub(super) async fn start(address: &str, replicas: Vec<String>) -> Result<AbortHandle> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}"))?;
    let replicas = Arc::new(replicas);
    let turn = Arc::new(AtomicUsize::new(0));
    let accepting = tokio::spawn(async move {
        // Connections end with the listener.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            if let Ok((client, _)) = listener.accept().await {
                let first = turn.fetch_add(1, Ordering::Relaxed);
                connections.spawn(pass_on(client, Arc::clone(&replicas), first));
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(accepting.abort_handle())
}

async fn pass_on(mut client: TcpStream, replicas: Arc<Vec<String>>, first: usize) {
    for step in 0..replicas.len() {
        let replica = &replicas[(first + step) % replicas.len()];
        if let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(replica)).await {
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
