//! Fakes of other services.

use axum::Router;
use chassis::config::Secret;
use chassis::internal::{InternalClient, with_secret};
use tokio::net::TcpListener;

use crate::INTERNAL_SECRET;

/// Serves `routes` on a loopback port, and returns a client with the secret.
pub async fn peer(routes: Router) -> InternalClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let routes = with_secret(routes, Secret::new(INTERNAL_SECRET));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    client(port)
}

/// Returns a client of a service that is down: nothing listens on its port.
pub fn absent_peer() -> InternalClient {
    client(9)
}

fn client(port: u16) -> InternalClient {
    let url = format!("http://127.0.0.1:{port}");
    InternalClient::new(
        reqwest::Client::new(),
        url.parse().expect("a valid URL"),
        Secret::new(INTERNAL_SECRET),
    )
}
