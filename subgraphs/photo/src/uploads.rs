//! `POST /media/uploads`: takes the bytes of a picture and answers once all of its files are stored.
//!
//! The bytes go to a file without a name that ends with the request. Decoding is what costs memory and time, so two
//! pictures at the most are worked on at once, the others wait, and whoever comes when too many wait is sent away.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::departed;
use chassis::telemetry::measure::{Metric, describe};
use chassis::tokens::TokenVerifier;
use chassis::viewer::{Caller, NoViewer};
use chassis::{Classify as _, Code, Failure, UserId, transaction};
use darkroom::{Kind, PictureError};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use crate::State;
use crate::domain::{FileKey, PhotoId, Upload};
use crate::error::Error;
use crate::store::uploads::{self as store, Digest};

/// The most bytes of a picture.
pub const MAX_BYTES: u64 = 25 * 1024 * 1024;

/// How many pictures are decoded and encoded at once.
const WORKING: usize = 2;
/// How many uploads are taken in at once, those that wait for their turn included.
const TAKEN: usize = 32;
/// How many of these one person may have.
const TAKEN_OF_ONE: usize = 8;
/// A sender that is silent for longer than this has gone.
const IDLE: Duration = Duration::from_secs(30);
/// The longest that sending one picture may take.
const SENDING: Duration = Duration::from_secs(600);
/// How long the rest of a refused upload is read, so that its sender gets to see the answer.
const DRAINING: Duration = Duration::from_secs(10);
/// When to come back after having been sent away.
const COME_BACK: &str = "5";

const METRICS: [Metric; 6] = [
    Metric::Counter("proofsheet_uploads_total", "Uploads that were kept."),
    Metric::Counter(
        "proofsheet_uploads_refused_total",
        "Uploads that were refused, by the status of the answer.",
    ),
    Metric::Gauge(
        "proofsheet_uploads_in_progress",
        "Uploads that are taken in now; 32 are taken at once.",
    ),
    Metric::Gauge(
        "proofsheet_uploads_waiting",
        "Uploads that have arrived and wait for their turn to be decoded.",
    ),
    Metric::Histogram(
        "proofsheet_upload_processing_seconds",
        "From an upload's turn to its stored sizes.",
    ),
    Metric::Gauge(
        "proofsheet_photos_beyond_repair",
        "Photos whose files are missing and cannot be made again.",
    ),
];

/// The route.
pub fn routes(state: State, verifier: TokenVerifier) -> Router {
    describe(&METRICS);
    let desk = Desk {
        state,
        verifier,
        places: Places {
            all: Arc::new(Semaphore::new(TAKEN)),
            persons: Arc::default(),
        },
        working: Arc::new(Semaphore::new(WORKING)),
    };
    Router::new()
        .route("/media/uploads", post(upload))
        // Bytes are counted as they come.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(desk))
}

struct Desk {
    state: State,
    verifier: TokenVerifier,
    places: Places,
    working: Arc<Semaphore>,
}

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("Only JPEG, PNG and WebP pictures can be uploaded.")]
    NotAPicture,
    #[error("This file is not of the type that its name or its sender says.")]
    OtherType,
    #[error("This file is too large: a picture may have up to {} MiB.", MAX_BYTES / 1024 / 1024)]
    TooManyBytes,
    #[error("The upload was cut off.")]
    CutOff,
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error("Too many pictures are being uploaded right now. Please try again in a moment.")]
    Busy,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<NoViewer> for Refusal {
    fn from(error: NoViewer) -> Self {
        Self::Failed(error.into())
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotAPicture | Self::OtherType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyBytes => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CutOff | Self::Picture(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(error) => match error.code() {
                Code::Unauthenticated => StatusCode::UNAUTHORIZED,
                Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let (code, message) = match self {
            Self::Failed(error) => {
                let failure = Failure::from(error);
                failure.log();
                (failure.code(), failure.message())
            }
            Self::Busy => (Code::Unavailable, self.to_string()),
            _ => (Code::InvalidInput, self.to_string()),
        };
        let mut response =
            (status, Json(json!({ "code": code.as_str(), "message": message }))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static(COME_BACK));
        }
        response
    }
}

/// The answer to an upload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    upload_id: PhotoId,
    width: u16,
    height: u16,
    placeholder: String,
}

impl From<Upload> for Accepted {
    fn from(upload: Upload) -> Self {
        Self {
            upload_id: upload.id,
            width: upload.width,
            height: upload.height,
            placeholder: STANDARD.encode(upload.placeholder),
        }
    }
}

async fn upload(Shared(desk): Shared<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    let mut body = body.into_data_stream();
    match take_in(&desk, &headers, &mut body).await {
        Ok(upload) => (StatusCode::CREATED, Json(Accepted::from(upload))).into_response(),
        Err(refusal) => {
            metrics::counter!("proofsheet_uploads_refused_total", "status" => refusal.status().as_str().to_owned())
                .increment(1);
            // A sender that is cut off while it sends often does not read the answer.
            let _ = tokio::time::timeout(DRAINING, drain(&mut body)).await;
            refusal.into_response()
        }
    }
}

async fn drain(body: &mut BodyDataStream) {
    let mut left = MAX_BYTES;
    while let Some(Ok(chunk)) = body.next().await {
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            return;
        }
    }
}

async fn take_in(desk: &Desk, headers: &HeaderMap, body: &mut BodyDataStream) -> Result<Upload, Refusal> {
    let viewer = match desk.verifier.caller(headers).await {
        Caller::Viewer(viewer) => viewer,
        Caller::Anonymous => return Err(NoViewer::SignedOut.into()),
        Caller::SessionEnded => return Err(NoViewer::SessionEnded.into()),
        Caller::Unverified => return Err(NoViewer::Unverified.into()),
    };
    departed::require_present(&desk.state.pool, &viewer)
        .await
        .map_err(Error::from)?;
    let kind = text(headers, &header::CONTENT_TYPE)
        .and_then(Kind::of_media_type)
        .ok_or(Refusal::NotAPicture)?;
    let announced = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BYTES) {
        return Err(Refusal::TooManyBytes);
    }
    let place = desk.places.take(viewer.id).ok_or(Refusal::Busy)?;

    let receiving = tokio::time::timeout(SENDING, receive(kind, body));
    let received = receiving.await.unwrap_or(Err(Refusal::CutOff))?;
    if let Some(upload) = renew(&desk.state, viewer.id, &received.digest).await? {
        return Ok(upload);
    }
    // On a task of its own: who loses the connection now, and sends the same bytes again, finds them done.
    let work = develop_and_store(Job {
        state: desk.state.clone(),
        working: Arc::clone(&desk.working),
        owner: viewer.id,
        received,
        place,
    });
    tokio::spawn(work.in_current_span()).await.map_err(Error::from)?
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The uploads that are taken in now.
struct Places {
    all: Arc<Semaphore>,
    persons: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// The place of one upload among those that are taken in. Free again when dropped.
struct Place {
    _of_all: OwnedSemaphorePermit,
    person: UserId,
    persons: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Places {
    fn take(&self, person: UserId) -> Option<Place> {
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut persons = self.persons.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = persons.entry(person).or_default();
        if *taken == TAKEN_OF_ONE {
            return None;
        }
        *taken += 1;
        metrics::gauge!("proofsheet_uploads_in_progress").increment(1.0);
        Some(Place {
            _of_all: of_all,
            person,
            persons: Arc::clone(&self.persons),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("proofsheet_uploads_in_progress").decrement(1.0);
        let mut persons = self.persons.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = persons.get_mut(&self.person) {
            *taken -= 1;
            if *taken == 0 {
                persons.remove(&self.person);
            }
        }
    }
}

/// The bytes of an upload, whole and of the type that was announced.
struct Received {
    kind: Kind,
    file: File,
    digest: Digest,
}

/// How many first bytes tell what a file is.
const HEAD: usize = 12;

async fn receive(kind: Kind, body: &mut BodyDataStream) -> Result<Received, Refusal> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(Error::from)?
        .map_err(Error::from)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut hash = Sha256::new();
    let mut head = Vec::with_capacity(HEAD);
    let mut length = 0;
    while let Some(chunk) = tokio::time::timeout(IDLE, body.next())
        .await
        .map_err(|_| Refusal::CutOff)?
    {
        let chunk = chunk.map_err(|_| Refusal::CutOff)?;
        length += chunk.len() as u64;
        if length > MAX_BYTES {
            return Err(Refusal::TooManyBytes);
        }
        if head.len() < HEAD {
            head.extend(chunk.iter().take(HEAD - head.len()));
            // Sending the rest of what is refused anyway is of no use to anybody.
            if head.len() == HEAD {
                require_kind(kind, &head)?;
            }
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(Error::from)?;
    }
    require_kind(kind, &head)?;
    file.flush().await.map_err(Error::from)?;
    Ok(Received {
        kind,
        file: file.into_std().await,
        digest: hash.finalize().into(),
    })
}

fn require_kind(announced: Kind, head: &[u8]) -> Result<(), Refusal> {
    match Kind::sniff(head) {
        Some(kind) if kind == announced => Ok(()),
        Some(_) => Err(Refusal::OtherType),
        None => Err(Refusal::NotAPicture),
    }
}

async fn renew(state: &State, owner: UserId, digest: &Digest) -> Result<Option<Upload>, Error> {
    let now = state.clock.now();
    transaction!(state.pool, Error, |tx, _| Ok(store::renew(
        tx, owner, digest, now
    )
    .await?))
}

/// What is left to do once the bytes are here.
struct Job {
    state: State,
    working: Arc<Semaphore>,
    owner: UserId,
    received: Received,
    place: Place,
}

async fn develop_and_store(job: Job) -> Result<Upload, Refusal> {
    let Job {
        state,
        working,
        owner,
        received,
        place,
    } = job;
    let Received {
        kind,
        mut file,
        digest,
    } = received;
    // The semaphore is never closed.
    let waiting = metrics::gauge!("proofsheet_uploads_waiting");
    waiting.increment(1.0);
    let turn = working.acquire_owned().await.map_err(|_| Refusal::Busy);
    waiting.decrement(1.0);
    let turn = turn?;
    let started = Instant::now();
    let developing = tokio::task::spawn_blocking(move || {
        // Held by the thread itself: it goes on even where nobody waits for it any more.
        let _turn = turn;
        let mut bytes = Vec::new();
        file.rewind()
            .and_then(|()| file.read_to_end(&mut bytes))
            .map_err(Error::from)?;
        Ok::<_, Refusal>(darkroom::develop(kind, &bytes)?)
    });
    let developed = match developing.await {
        Ok(developed) => developed?,
        Err(error) if error.is_panic() => {
            tracing::error!(
                digest = hex(&digest),
                "a decoder panicked; the picture was refused"
            );
            return Err(PictureError::Unreadable.into());
        }
        Err(error) => return Err(Error::from(error).into()),
    };

    let now = state.clock.now();
    let upload = Upload {
        id: PhotoId::new(now),
        owner_id: owner,
        file_key: FileKey::random(),
        width: developed.size.width,
        height: developed.size.height,
        placeholder: developed.placeholder,
    };
    // The files first: a row without its files would be a hole on somebody's page, files without a row are swept.
    if let Err(error) = state.files.write(upload.file_key, developed.files).await {
        discard(&state, upload.file_key).await;
        return Err(error.into());
    }
    // Where this fails the row may be there all the same, because the answer to its commit was lost. So the files stay.
    let kept = insert(&state, &upload, &digest).await?;
    if kept.id != upload.id {
        discard(&state, upload.file_key).await;
    }
    drop(place);
    metrics::counter!("proofsheet_uploads_total").increment(1);
    metrics::histogram!("proofsheet_upload_processing_seconds").record(started.elapsed());
    Ok(kept)
}

/// Removes files that no row tells of. The reconciler does it where this fails.
async fn discard(state: &State, key: FileKey) {
    if let Err(error) = state.files.remove(key).await {
        tracing::warn!(%key, error = chassis::error::chain(&error), "files of an upload that was not kept are still there");
    }
}

/// Adds the upload, or answers the one that this person has made of the same bytes meanwhile.
async fn insert(state: &State, upload: &Upload, digest: &Digest) -> Result<Upload, Error> {
    let now = state.clock.now();
    let mut tries = 0;
    loop {
        let outcome = transaction!(state.pool, Error, |tx, _| {
            if let Some(earlier) = store::renew(tx, upload.owner_id, digest, now).await? {
                return Ok(earlier);
            }
            store::insert(tx, upload, digest, now).await?;
            Ok(upload.clone())
        });
        match outcome {
            // The other one was committed between our look and our insert; the next look finds it.
            Err(error) if error.database().is_some_and(is_duplicate) && tries < 3 => tries += 1,
            outcome => return outcome,
        }
    }
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
