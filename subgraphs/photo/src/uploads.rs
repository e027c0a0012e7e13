//! `POST /media/uploads`: receives a picture, and responds when all of its files are stored.
//!
//! The bytes are written to an unnamed temporary file, and only they determine the format. Decoding needs memory and
//! time, so it happens in a separate process ([`crate::imaging_worker`]). Received pictures wait for a worker
//! in order. Receiving has a separate limit and a minimum rate, so that slow clients do not delay others.

use std::collections::HashMap;
use std::fs::File;
use std::io;
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
use chassis::deleted_accounts;
use chassis::telemetry::measure::{Metric, describe};
use chassis::tokens::TokenVerifier;
use chassis::viewer::{Caller, NoViewer};
use chassis::{Classify as _, Code, UserId, transaction};
use contracts::limits::{MAX_UPLOAD_BYTES, UPLOAD_TIMEOUT, UploadPace};
use futures::StreamExt as _;
use imaging::{PictureError, Processed};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subgraph::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use crate::State;
use crate::domain::{FileKey, PhotoId, Upload};
use crate::error::Error;
use crate::formats::{self, Foreign, HEAD_BYTES, Sniffed};
use crate::imaging_worker::{self, WorkerError};
use crate::store::uploads::{self as store, Digest};

/// The maximum number of uploads that are received at once.
const MAX_RECEIVING: usize = 128;
/// The maximum number of received uploads that are processed or wait for a worker.
const MAX_PROCESSING: usize = 32;
/// The maximum number of uploads of one account, of both kinds. The app sends three at once.
const MAX_UPLOADS_PER_ACCOUNT: usize = 6;
/// How long the rest of a refused upload is read, so that the client reads the response.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// In seconds.
const UPLOAD_RETRY_SECONDS: &str = "5";

const METRICS: [Metric; 5] = [
    Metric::Counter("proofsheet_uploads_total", "Stored uploads."),
    Metric::Counter(
        "proofsheet_uploads_refused_total",
        "Refused uploads, by status of the response.",
    ),
    Metric::Gauge(
        "proofsheet_uploads_in_progress",
        "Uploads that are received or processed now.",
    ),
    Metric::Histogram(
        "proofsheet_upload_processing_seconds",
        "Duration of decoding, encoding and storing an upload.",
    ),
    Metric::Gauge(
        "proofsheet_photos_beyond_repair",
        "Photos with missing files that cannot be restored.",
    ),
];

pub fn routes(state: State, verifier: TokenVerifier) -> Router {
    describe(&METRICS);
    describe(&imaging_worker::METRICS);
    let endpoint = Endpoint {
        state,
        verifier,
        slots: UploadSlots {
            receiving: Arc::new(Semaphore::new(MAX_RECEIVING)),
            processing: Arc::new(Semaphore::new(MAX_PROCESSING)),
            per_account: Arc::default(),
        },
    };
    Router::new()
        .route("/media/uploads", post(upload))
        // Bytes are counted while they are received.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(endpoint))
}

struct Endpoint {
    state: State,
    verifier: TokenVerifier,
    slots: UploadSlots,
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("The file is empty.")]
    Empty,
    #[error("This file is not a picture that can be uploaded. Upload JPEG, PNG or WebP.")]
    NotAPicture,
    #[error("The format of this file is {}. Only JPEG, PNG and WebP can be uploaded. {}", .0.name, .0.advice.text())]
    Foreign(Foreign),
    #[error("Send the bytes of the picture as the body of the request, not a form.")]
    Form,
    #[error("This file is too large: the limit is {} MiB.", MAX_UPLOAD_BYTES / 1024 / 1024)]
    TooManyBytes,
    #[error("The upload was cut off. Try again.")]
    CutOff,
    #[error("The connection is too slow for this upload. Try again on a faster one.")]
    TooSlowlySent,
    #[error(transparent)]
    Picture(PictureError),
    #[error("This picture takes too long to process. Save it again as a JPEG, then upload that.")]
    TooSlow,
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

impl From<WorkerError> for Refusal {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Picture(error) => Self::Picture(error),
            WorkerError::TooSlow => Self::TooSlow,
            WorkerError::Failed(error) => Self::Failed(error),
        }
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotAPicture | Self::Foreign(_) | Self::Form => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyBytes => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlowlySent => StatusCode::REQUEST_TIMEOUT,
            Self::Empty | Self::CutOff | Self::Picture(_) | Self::TooSlow => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(error) => match error.code() {
                Code::Unauthenticated => StatusCode::UNAUTHORIZED,
                Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// Returns the reason that determines the app's text, if the code is not specific enough.
    fn reason(&self) -> Option<Value> {
        let reason = match self {
            Self::Picture(error) => return serde_json::to_value(error).ok(),
            Self::Empty => "empty",
            Self::NotAPicture | Self::Form => "not_a_picture",
            Self::Foreign(_) => "foreign_format",
            Self::TooManyBytes => "too_many_bytes",
            Self::CutOff => "cut_off",
            Self::TooSlowlySent => "too_slowly_sent",
            Self::TooSlow => "too_slow",
            Self::Busy | Self::Failed(_) => return None,
        };
        Some(reason.into())
    }

    fn format(&self) -> Option<&'static str> {
        match self {
            Self::Foreign(foreign) => Some(foreign.name),
            _ => None,
        }
    }
}

/// The body of an error response.
#[derive(Debug, Serialize)]
struct ErrorBody {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Value>,
    /// The name of the refused format.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let (reason, format) = (self.reason(), self.format());
        let (code, message) = match self {
            Self::Failed(error) => {
                let failure = Failure::from(error);
                failure.log();
                (failure.code(), failure.message())
            }
            Self::Busy => (Code::Unavailable, self.to_string()),
            _ => (Code::InvalidInput, self.to_string()),
        };
        let body = ErrorBody {
            code: code.as_str(),
            message,
            reason,
            format,
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(
                header::RETRY_AFTER,
                header::HeaderValue::from_static(UPLOAD_RETRY_SECONDS),
            );
        }
        response
    }
}

/// The response to an upload.
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

async fn upload(Shared(endpoint): Shared<Arc<Endpoint>>, headers: HeaderMap, body: Body) -> Response {
    let mut body = body.into_data_stream();
    match accept(&endpoint, &headers, &mut body).await {
        Ok(upload) => (StatusCode::CREATED, Json(Accepted::from(upload))).into_response(),
        Err(refusal) => {
            metrics::counter!("proofsheet_uploads_refused_total", "status" => refusal.status().as_str().to_owned())
                .increment(1);
            // Clients often do not read the response if the connection is closed while they send.
            if !matches!(refusal, Refusal::TooSlowlySent) {
                let _ = tokio::time::timeout(DISCARD_TIMEOUT, drain(&mut body)).await;
            }
            refusal.into_response()
        }
    }
}

async fn drain(body: &mut BodyDataStream) {
    let mut left = MAX_UPLOAD_BYTES;
    while let Some(Ok(chunk)) = body.next().await {
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            return;
        }
    }
}

async fn accept(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Upload, Refusal> {
    let Endpoint {
        state,
        verifier,
        slots,
    } = endpoint;
    let viewer = match verifier.caller(headers).await {
        Caller::Viewer(viewer) => viewer,
        Caller::Anonymous => return Err(NoViewer::SignedOut.into()),
        Caller::SessionEnded => return Err(NoViewer::SessionEnded.into()),
        Caller::Unverified => return Err(NoViewer::Unverified.into()),
    };
    deleted_accounts::require_active_account(&state.pool, &viewer)
        .await
        .map_err(Error::from)?;
    if text(headers, &header::CONTENT_TYPE).is_some_and(is_form_data) {
        return Err(Refusal::Form);
    }
    let announced = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_UPLOAD_BYTES) {
        return Err(Refusal::TooManyBytes);
    }
    let mut slot = slots.acquire(viewer.id).ok_or(Refusal::Busy)?;

    let receiving = tokio::time::timeout(UPLOAD_TIMEOUT, receive(body));
    let Received { file, digest } = receiving.await.unwrap_or(Err(Refusal::TooSlowlySent))?;
    if let Some(upload) = renew(state, viewer.id, &digest).await? {
        return Ok(upload);
    }
    slot.permit = permit(&slots.processing).ok_or(Refusal::Busy)?;
    let share = state.imaging.share().await;
    let started = Instant::now();
    // If the client disconnects, this is dropped, and the worker ends.
    let processed = share.process(&file).await?;
    // In a separate task, so that files and row are both stored or neither.
    let storing = store_processed(StoreJob {
        state: state.clone(),
        owner: viewer.id,
        digest,
        processed,
        slot,
    });
    let upload = tokio::spawn(storing.in_current_span())
        .await
        .map_err(Error::from)??;
    metrics::histogram!("proofsheet_upload_processing_seconds").record(started.elapsed());
    Ok(upload)
}

fn is_form_data(media_type: &str) -> bool {
    media_type
        .trim_start()
        .get(.."multipart/".len())
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Limits the uploads in progress.
struct UploadSlots {
    receiving: Arc<Semaphore>,
    processing: Arc<Semaphore>,
    per_account: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// An upload in progress. Released when dropped.
struct UploadSlot {
    /// To receive it, then to process it.
    permit: OwnedSemaphorePermit,
    account: UserId,
    per_account: Arc<Mutex<HashMap<UserId, usize>>>,
}

fn permit(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_owned().ok()
}

impl UploadSlots {
    fn acquire(&self, account: UserId) -> Option<UploadSlot> {
        let permit = permit(&self.receiving)?;
        let mut per_account = self.per_account.lock().unwrap_or_else(PoisonError::into_inner);
        let uploads = per_account.entry(account).or_default();
        if *uploads == MAX_UPLOADS_PER_ACCOUNT {
            return None;
        }
        *uploads += 1;
        metrics::gauge!("proofsheet_uploads_in_progress").increment(1.0);
        Some(UploadSlot {
            permit,
            account,
            per_account: Arc::clone(&self.per_account),
        })
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        metrics::gauge!("proofsheet_uploads_in_progress").decrement(1.0);
        let mut per_account = self.per_account.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(uploads) = per_account.get_mut(&self.account) {
            *uploads -= 1;
            if *uploads == 0 {
                per_account.remove(&self.account);
            }
        }
    }
}

/// A received file that begins like a picture.
struct Received {
    file: File,
    digest: Digest,
}

async fn receive(body: &mut BodyDataStream) -> Result<Received, Refusal> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(Error::from)?
        .map_err(Error::from)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut hash = Sha256::new();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut length = 0;
    let mut pace = UploadPace::new(Instant::now());
    while let Some(chunk) = tokio::time::timeout_at(pace.deadline().into(), body.next())
        .await
        .map_err(|_| Refusal::TooSlowlySent)?
    {
        let chunk = chunk.map_err(|_| Refusal::CutOff)?;
        pace.receive(chunk.len(), Instant::now());
        length += chunk.len() as u64;
        if length > MAX_UPLOAD_BYTES {
            return Err(Refusal::TooManyBytes);
        }
        if head.len() < HEAD_BYTES {
            head.extend(chunk.iter().take(HEAD_BYTES - head.len()));
            // Stop receiving if the format is refused.
            if head.len() == HEAD_BYTES {
                require_picture(&head)?;
            }
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(write_failed)?;
    }
    require_picture(&head)?;
    file.flush().await.map_err(write_failed)?;
    Ok(Received {
        file: file.into_std().await,
        digest: hash.finalize().into(),
    })
}

fn write_failed(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull => Refusal::Busy,
        _ => Refusal::Failed(error.into()),
    }
}

fn require_picture(head: &[u8]) -> Result<(), Refusal> {
    if head.is_empty() {
        return Err(Refusal::Empty);
    }
    match formats::sniff(head) {
        Sniffed::Picture(_) => Ok(()),
        Sniffed::Foreign(foreign) => Err(Refusal::Foreign(foreign)),
        Sniffed::Damaged => Err(Refusal::Picture(PictureError::Unreadable)),
        Sniffed::Unknown => Err(Refusal::NotAPicture),
    }
}

async fn renew(state: &State, owner: UserId, digest: &Digest) -> Result<Option<Upload>, Error> {
    let now = state.clock.now();
    transaction!(state.pool, Error, |tx, _| Ok(store::renew(
        tx, owner, digest, now
    )
    .await?))
}

/// A processed picture to be stored.
struct StoreJob {
    state: State,
    owner: UserId,
    digest: Digest,
    processed: Processed,
    slot: UploadSlot,
}

async fn store_processed(job: StoreJob) -> Result<Upload, Error> {
    let StoreJob {
        state,
        owner,
        digest,
        processed,
        slot,
    } = job;
    let now = state.clock.now();
    let upload = Upload {
        id: PhotoId::new(now),
        owner_id: owner,
        file_key: FileKey::random(),
        width: processed.size.width,
        height: processed.size.height,
        placeholder: processed.placeholder,
    };
    // The files are written first: a row without files would show a broken photo, and files without a row are deleted.
    if let Err(error) = state.files.write(upload.file_key, processed.files).await {
        discard(&state, upload.file_key).await;
        return Err(error);
    }
    // If this fails, the row may exist, because the response to the commit may be lost. So the files are kept.
    let kept = insert(&state, &upload, &digest).await?;
    if kept.id != upload.id {
        discard(&state, upload.file_key).await;
    }
    drop(slot);
    metrics::counter!("proofsheet_uploads_total").increment(1);
    Ok(kept)
}

/// Deletes files without a row. If this fails, reconciliation deletes them.
async fn discard(state: &State, key: FileKey) {
    if let Err(error) = state.files.remove(key).await {
        tracing::warn!(%key, error = chassis::error::chain(&error), "could not delete the files of an upload that was not stored");
    }
}

/// Inserts the upload, or returns the concurrently inserted upload of the same bytes by this user.
async fn insert(state: &State, upload: &Upload, digest: &Digest) -> Result<Upload, Error> {
    let now = state.clock.now();
    let mut attempts = 0;
    loop {
        let outcome = transaction!(state.pool, Error, |tx, _| {
            if let Some(earlier) = store::renew(tx, upload.owner_id, digest, now).await? {
                return Ok(earlier);
            }
            store::insert(tx, upload, digest, now).await?;
            Ok(upload.clone())
        });
        match outcome {
            // The other upload was committed between the read and the insert; the next read finds it.
            Err(error) if error.database().is_some_and(is_duplicate) && attempts < 3 => attempts += 1,
            outcome => return outcome,
        }
    }
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
