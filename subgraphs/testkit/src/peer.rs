//! Another service, as far as a test makes it up.

use axum::Router;
use chassis::config::Secret;
use chassis::internal::{InternalClient, guarded};
use tokio::net::TcpListener;

use crate::INTERNAL_SECRET;

/// Answers on a loopback port what another service would answer. The client has the secret that it asks for.
pub async fn peer(routes: Router) -> InternalClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let routes = guarded(routes, Secret::new(INTERNAL_SECRET));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    client(port)
}

/// The client of a service that is not there: nothing listens on the port that it asks.
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
