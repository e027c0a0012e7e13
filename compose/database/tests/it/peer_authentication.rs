//! Responses and requests of peers without the secret are rejected.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use chassis::config::Secret;
use database_agent::cluster_record::NodeId;
use database_agent::decision::{Node, Stage, VolumeState};
use database_agent::peers::{PeerClient, PeerStatus};
use database_agent::signature::{self, NONCE_HEADER, SIGNATURE_HEADER};
use uuid::Uuid;

const PATH: &str = "/peer/ask";

fn secret() -> Secret {
    Secret::new("the secret of the cluster")
}

/// A forged status, which claims that the node runs and has the newest data.
fn forged_status() -> Vec<u8> {
    let answer = PeerStatus {
        cluster: "proofsheet".to_owned(),
        boot: 1,
        lacks_space: false,
        leaves: false,
        node: Node {
            id: NodeId(7),
            slot: 2,
            data: VolumeState::At {
                cluster: Some(Uuid::from_u128(1)),
                seqno: i64::MAX,
            },
            memory: None,
            stage: Stage::Primary,
        },
    };
    serde_json::to_vec(&answer).unwrap()
}

/// Signs a response to the request with this nonce.
fn sign_answer(secret: &Secret, nonce: &[u8], body: &[u8]) -> String {
    signature::sign(secret, &[b"answer", PATH.as_bytes(), nonce, b"200", body])
}

/// An agent that responds to every request; `sign` creates the signature from the nonce and the body.
async fn peer(sign: impl Fn(&[u8], &[u8]) -> Option<String> + Clone + Send + Sync + 'static) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |headers: HeaderMap| {
        let sign = sign.clone();
        async move {
            let nonce = headers[NONCE_HEADER].as_bytes().to_vec();
            let body = forged_status();
            let mut response = HeaderMap::new();
            if let Some(signature) = sign(&nonce, &body) {
                response.insert(SIGNATURE_HEADER, signature.parse().unwrap());
            }
            (response, Bytes::from(body)).into_response()
        }
    };
    let routes = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Returns the number of responses that a node accepts, and of addresses that it considers unreachable.
async fn accepted_answers(address: SocketAddr) -> (usize, usize) {
    let client = PeerClient::new(vec![address.to_string()], 1, secret()).unwrap();
    let found = client.poll_all().await;
    (found.answers.len(), found.silent.len())
}

#[tokio::test]
async fn a_peer_without_the_secret_is_ignored() {
    let knows = peer(|nonce, body| Some(sign_answer(&secret(), nonce, body))).await;
    assert_eq!(
        accepted_answers(knows).await,
        (1, 0),
        "the test's own signature is right"
    );

    let bare = peer(|_, _| None).await;
    assert_eq!(
        accepted_answers(bare).await,
        (0, 1),
        "an answer without a signature"
    );

    let guesses = peer(|nonce, body| {
        let wrong = Secret::new("what a stranger guesses");
        Some(sign_answer(&wrong, nonce, body))
    })
    .await;
    assert_eq!(
        accepted_answers(guesses).await,
        (0, 1),
        "an answer under another secret"
    );

    let replays = peer(|_, body| Some(sign_answer(&secret(), &[b'0'; 32], body))).await;
    assert_eq!(
        accepted_answers(replays).await,
        (0, 1),
        "an answer to an earlier question"
    );

    let alters = peer(|nonce, _| Some(sign_answer(&secret(), nonce, b"what was really said"))).await;
    assert_eq!(
        accepted_answers(alters).await,
        (0, 1),
        "an answer that was changed on its way"
    );
}

#[tokio::test]
async fn requests_cannot_be_replayed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let ears = Arc::clone(&heard);
    let routes = Router::new().fallback(move |request: Request| {
        let ears = Arc::clone(&ears);
        async move {
            let signature = request.headers()[SIGNATURE_HEADER].to_str().unwrap().to_owned();
            ears.lock().unwrap().push(signature);
            let body = to_bytes(request.into_body(), 1024).await.unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("secret"));
        }
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    accepted_answers(address).await;
    accepted_answers(address).await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2);
    assert_ne!(heard[0], heard[1], "two requests have the same signature");
}
