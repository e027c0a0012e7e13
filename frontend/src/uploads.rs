//! The upload queue. It belongs to the app, so that uploads continue on other pages.

use contracts::limits::MAX_UPLOAD_BYTES;
use cynic::MutationBuilder;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use web_sys::{File, FileList, Url};

use crate::api::{self, ApiError, ErrorCode, UploadError, Uploaded};
use crate::navigation::Navigation;
use ui::graphql::{Id, schema};
use ui::language::{Text, text};
use ui::route::Route;

/// The types that the file picker offers; the photo service decides by the bytes. With this list iOS converts HEIC to
/// JPEG.
pub(crate) const MEDIA_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];
const MAX_CONCURRENT_UPLOADS: usize = 3;

#[derive(cynic::QueryVariables)]
pub(crate) struct PublishPhotoVariables {
    pub(crate) upload_id: Id,
    pub(crate) title: String,
    pub(crate) alt_text: Option<String>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "PublishPhotoVariables")]
pub(crate) struct PublishPhoto {
    #[arguments(input: { uploadId: $upload_id, title: $title, altText: $alt_text })]
    publish_photo: Published,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo")]
struct Published {
    id: Id,
}

#[derive(Clone)]
pub(crate) struct UploadItem {
    pub(crate) key: u32,
    pub(crate) name: String,
    /// An object URL of the file.
    pub(crate) preview: String,
    /// The title derived from the file name.
    pub(crate) suggestion: String,
    pub(crate) title: RwSignal<String>,
    pub(crate) alt: RwSignal<String>,
    pub(crate) state: RwSignal<UploadState>,
    file: SendWrapper<File>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum UploadState {
    Waiting,
    /// The percentage that has been sent.
    Uploading(u8),
    /// The file is sent, and the server processes it.
    Processing,
    Ready(Id),
    /// Not published; `field` of the error is the invalid field.
    Unpublished(Id, ApiError),
    Publishing(Id),
    Published(Id),
    Failed(UploadFailure),
}

/// Why a file was rejected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UploadFailure {
    pub(crate) reason: FailureReason,
    /// Whether a retry may succeed.
    pub(crate) can_retry: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FailureReason {
    Known(Text),
    /// The format is not supported.
    UnsupportedFormat(String),
    /// A message from the server.
    Other(String),
}

impl UploadFailure {
    fn permanent(reason: FailureReason) -> Self {
        Self {
            reason,
            can_retry: false,
        }
    }
}

impl UploadState {
    /// Whether leaving the page would lose the upload.
    pub(crate) fn is_unfinished(&self) -> bool {
        !matches!(self, Self::Published(_) | Self::Failed(_))
    }

    fn is_sending(&self) -> bool {
        matches!(self, Self::Uploading(_) | Self::Processing)
    }

    /// The upload id, if the file can be published.
    fn publishable(&self) -> Option<&Id> {
        match self {
            Self::Ready(upload) | Self::Unpublished(upload, _) => Some(upload),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Uploads {
    items: RwSignal<Vec<UploadItem>>,
    next: StoredValue<u32>,
    /// Owner of the items' signals, which live as long as the app.
    owner: StoredValue<Owner>,
    /// Whether files are dragged over the window.
    is_hovered: RwSignal<bool>,
    /// Files that wait for the upload page, whose code is loaded separately.
    dropped: RwSignal<Vec<SendWrapper<File>>>,
}

impl Uploads {
    /// Accepts files that are dropped or pasted anywhere.
    pub(crate) fn provide(navigation: Navigation) {
        let uploads = Self {
            is_hovered: RwSignal::new(false),
            dropped: RwSignal::new(Vec::new()),
            items: RwSignal::new(Vec::new()),
            next: StoredValue::new(0),
            owner: StoredValue::new(Owner::current().expect("called while the app mounts")),
        };
        let _ = window_event_listener(ev::beforeunload, move |event| {
            let items = uploads.items.get_untracked();
            if items
                .iter()
                .any(|item| item.state.with_untracked(UploadState::is_unfinished))
            {
                event.prevent_default();
            }
        });
        let take = move |files: Option<FileList>| {
            let files = files_in(files);
            let has_files = !files.is_empty();
            if has_files {
                uploads
                    .dropped
                    .update(|dropped| dropped.extend(files.into_iter().map(SendWrapper::new)));
                if navigation.current().route != Route::Upload {
                    navigation.go(Route::Upload);
                }
            }
            has_files
        };
        let _ = window_event_listener(ev::dragover, move |event| {
            let types = event.data_transfer().map(|data| data.types());
            if types.is_some_and(|types| types.includes(&"Files".into(), 0)) {
                event.prevent_default();
                uploads.is_hovered.set(true);
            }
        });
        let _ = window_event_listener(ev::dragleave, move |event| {
            if event.related_target().is_none() {
                uploads.is_hovered.set(false);
            }
        });
        let _ = window_event_listener(ev::drop, move |event| {
            uploads.is_hovered.set(false);
            if take(event.data_transfer().and_then(|data| data.files())) {
                event.prevent_default();
            }
        });
        let _ = window_event_listener(ev::paste, move |event| {
            if take(event.clipboard_data().and_then(|data| data.files())) {
                event.prevent_default();
            }
        });
        provide_context(uploads);
    }

    /// Adds dropped files, now and while the page is open.
    pub(crate) fn take_dropped(self) {
        Effect::new(move || {
            if self.dropped.with(|dropped| !dropped.is_empty()) {
                let files = self.dropped.try_update(std::mem::take).unwrap_or_default();
                self.add(files.into_iter().map(SendWrapper::take).collect());
            }
        });
    }

    pub(crate) fn is_hovered(self) -> bool {
        self.is_hovered.get()
    }

    /// Number of unpublished files that can be published.
    pub(crate) fn unfinished(self) -> usize {
        self.items
            .get()
            .iter()
            .filter(|item| item.state.with(UploadState::is_unfinished))
            .count()
    }

    pub(crate) fn items(self) -> Vec<UploadItem> {
        self.items.get()
    }

    pub(crate) fn add(self, files: Vec<File>) {
        for file in files {
            let key = self.next.get_value();
            self.next.set_value(key + 1);
            let item = self.owner.get_value().with(|| UploadItem {
                key,
                name: file.name(),
                preview: Url::create_object_url_with_blob(&file).unwrap_or_default(),
                suggestion: title_from(&file.name()),
                title: RwSignal::new(String::new()),
                alt: RwSignal::new(String::new()),
                state: RwSignal::new(check_file(&file).map_or(UploadState::Waiting, UploadState::Failed)),
                file: SendWrapper::new(file),
            });
            self.items.update(|items| items.push(item));
        }
        self.start_waiting();
    }

    /// Removes a file from the list. The server deletes unpublished uploads later.
    pub(crate) fn remove(self, item: &UploadItem) {
        let _ = Url::revoke_object_url(&item.preview);
        self.items
            .update(|items| items.retain(|other| other.key != item.key));
        self.start_waiting();
    }

    pub(crate) fn retry(self, item: &UploadItem) {
        item.state
            .set(check_file(&item.file).map_or(UploadState::Waiting, UploadState::Failed));
        self.start_waiting();
    }

    /// Publishes a file that has a title.
    pub(crate) fn publish(item: &UploadItem) {
        let Some(upload) = item.state.with_untracked(|state| state.publishable().cloned()) else {
            return;
        };
        if !has_title(item) {
            let error = ApiError {
                field: Some("title".to_owned()),
                ..ApiError::from(ErrorCode::Missing)
            };
            item.state.set(UploadState::Unpublished(upload, error));
            return;
        }
        item.state.set(UploadState::Publishing(upload.clone()));
        let state = item.state;
        let alt = item.alt.get_untracked().trim().to_owned();
        let variables = PublishPhotoVariables {
            upload_id: upload.clone(),
            title: item.title.get_untracked().trim().to_owned(),
            alt_text: (!alt.is_empty()).then_some(alt),
        };
        spawn_local(async move {
            state.set(match api::run(PublishPhoto::build(variables)).await {
                Ok(PublishPhoto { publish_photo }) => UploadState::Published(publish_photo.id),
                Err(error) => UploadState::Unpublished(upload, error),
            });
        });
    }

    /// Publishes all files that are ready. If some have no title, only shows their errors.
    pub(crate) fn publish_all(self) {
        let ready = |item: &UploadItem| item.state.with_untracked(|state| state.publishable().is_some());
        let (titled, untitled): (Vec<_>, Vec<_>) = self
            .items
            .get_untracked()
            .into_iter()
            .filter(ready)
            .partition(has_title);
        let publish = if untitled.is_empty() { titled } else { untitled };
        publish.iter().for_each(Self::publish);
    }

    pub(crate) fn publishable(self) -> usize {
        self.items
            .get()
            .iter()
            .filter(|item| item.state.with(|state| state.publishable().is_some()))
            .count()
    }

    fn start_waiting(self) {
        let items = self.items.get_untracked();
        let sending = items
            .iter()
            .filter(|item| item.state.with_untracked(UploadState::is_sending))
            .count();
        let waiting = items
            .into_iter()
            .filter(|item| item.state.with_untracked(|state| *state == UploadState::Waiting));
        for item in waiting.take(MAX_CONCURRENT_UPLOADS.saturating_sub(sending)) {
            self.send(&item);
        }
    }

    fn send(self, item: &UploadItem) {
        let UploadItem { state, file, .. } = item.clone();
        state.set(UploadState::Uploading(0));
        let on_progress = move |percent: u8| {
            state.set(if percent < 100 {
                UploadState::Uploading(percent)
            } else {
                UploadState::Processing
            });
        };
        spawn_local(async move {
            state.set(match api::upload(&file, on_progress).await {
                Ok(Uploaded { upload_id }) => UploadState::Ready(Id::new(upload_id)),
                Err(error) => UploadState::Failed(failure_from(error)),
            });
            self.start_waiting();
        });
    }
}

fn has_title(item: &UploadItem) -> bool {
    item.title.with_untracked(|title| !title.trim().is_empty())
}

pub(crate) fn files_in(list: Option<FileList>) -> Vec<File> {
    list.map(|list| (0..list.length()).filter_map(|at| list.item(at)).collect())
        .unwrap_or_default()
}

/// Checks a file before upload.
fn check_file(file: &File) -> Option<UploadFailure> {
    #[expect(clippy::cast_precision_loss, reason = "JavaScript counts bytes in floats")]
    let limit = MAX_UPLOAD_BYTES as f64;
    if file.size() > limit {
        Some(UploadFailure::permanent(FailureReason::Known(text!(
            upload.larger
        ))))
    } else if file.size() < 1.0 {
        Some(UploadFailure::permanent(FailureReason::Known(text!(
            upload.empty
        ))))
    } else {
        None
    }
}

fn failure_from(error: UploadError) -> UploadFailure {
    let UploadError {
        status,
        reason,
        format,
        message,
    } = error;
    if let Some(format) = format {
        return UploadFailure::permanent(FailureReason::UnsupportedFormat(format));
    }
    let can_retry = !matches!(status, 413 | 415 | 422);
    let reason = FailureReason::Known(match (reason.as_deref(), status) {
        (Some("empty"), _) => text!(upload.empty),
        (Some("not_a_picture"), _) => text!(upload.no_picture),
        (Some("unreadable"), _) => text!(upload.damaged),
        (Some("truncated"), _) => text!(upload.incomplete),
        (Some("too_large"), _) => text!(upload.too_many_pixels),
        (Some("too_much_memory"), _) => text!(upload.too_much_memory),
        (Some("too_slow"), _) => text!(upload.too_slow),
        (Some("arithmetic_jpeg"), _) => text!(upload.arithmetic_jpeg),
        (Some("twelve_bit_jpeg"), _) => text!(upload.twelve_bit_jpeg),
        (Some("lossless_jpeg"), _) => text!(upload.lossless_jpeg),
        (Some("cut_off"), _) | (_, 0) => text!(upload.broke),
        (_, 408) => text!(upload.too_slowly_sent),
        (_, 401) => text!(error.unauthenticated),
        (_, 413) => text!(upload.too_large),
        (_, 429 | 503) => text!(upload.busy),
        (_, 415 | 422) if message.is_some() => {
            return UploadFailure::permanent(FailureReason::Other(message.unwrap_or_default()));
        }
        (_, 415) => text!(upload.no_picture),
        (_, 422) => text!(upload.damaged),
        _ => text!(error.internal),
    });
    UploadFailure { reason, can_retry }
}

/// Suggests a title from a file name; empty for camera numbering.
fn title_from(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let words = stem.replace(['_', '-', '.'], " ");
    let letters = words.chars().filter(|letter| letter.is_alphabetic()).count();
    let is_numbering = words.chars().any(|letter| letter.is_ascii_digit()) && letters <= 5;
    if is_numbering {
        String::new()
    } else {
        words
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(120)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::title_from;

    #[test]
    fn a_name_becomes_a_title_and_a_number_does_not() {
        assert_eq!(title_from("harbour_at-dusk.jpg"), "harbour at dusk");
        assert_eq!(title_from("IMG_4711.JPG"), "");
        assert_eq!(title_from("DSC00042.jpeg"), "");
        assert_eq!(title_from("Ελλάδα.webp"), "Ελλάδα");
        assert_eq!(title_from(&"x".repeat(300)).len(), 120);
    }
}
