//! Files on their way to the site. The queue belongs to the app and not to a page: one may look around meanwhile.

use cynic::MutationBuilder;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use web_sys::{File, FileList, Url};

use crate::api::{self, ApiError, Code, UploadError, Uploaded};
use crate::graphql::{Id, schema};
use crate::language::{Text, text};
use crate::navigation::Navigation;
use crate::route::Route;

/// The types that the file picker offers; the photo service decides by the bytes. With this list iOS converts HEIC to
/// JPEG.
pub(crate) const MEDIA_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];
/// 25 MiB.
const MAX_FILE_SIZE: f64 = 25.0 * 1024.0 * 1024.0;
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
pub(crate) struct Item {
    pub(crate) key: u32,
    pub(crate) name: String,
    /// An address of the file in this browser, to show it before it is anywhere else.
    pub(crate) preview: String,
    /// The title derived from the file name.
    pub(crate) suggestion: String,
    pub(crate) title: RwSignal<String>,
    pub(crate) alt: RwSignal<String>,
    pub(crate) state: RwSignal<State>,
    file: SendWrapper<File>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting,
    /// The percentage that has been sent.
    Uploading(u8),
    /// All is sent; the site makes its sizes and throws the metadata away.
    Processing,
    Ready(Id),
    /// `field` in the error is the one to mend.
    Unpublished(Id, ApiError),
    Publishing(Id),
    Published(Id),
    Failed(Failure),
}

/// Why a file was not taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// Whether the same file may be taken another time.
    pub(crate) may_pass: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reason {
    Known(Text),
    /// It is of this format, which is not taken.
    Foreign(String),
    /// A message from the server.
    Other(String),
}

impl Failure {
    fn for_good(reason: Reason) -> Self {
        Self {
            reason,
            may_pass: false,
        }
    }
}

impl State {
    /// Whether leaving now would lose something.
    pub(crate) fn is_unfinished(&self) -> bool {
        !matches!(self, Self::Published(_) | Self::Failed(_))
    }

    fn is_sending(&self) -> bool {
        matches!(self, Self::Uploading(_) | Self::Processing)
    }

    /// The upload that could be published now.
    fn publishable(&self) -> Option<&Id> {
        match self {
            Self::Ready(upload) | Self::Unpublished(upload, _) => Some(upload),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Uploads {
    items: RwSignal<Vec<Item>>,
    next: StoredValue<u32>,
    /// Signals of items live as long as the app does.
    owner: StoredValue<Owner>,
    /// Whether files are held over the window.
    is_hovered: RwSignal<bool>,
    /// Files that wait for the upload page, whose code is loaded separately.
    dropped: RwSignal<Vec<SendWrapper<File>>>,
}

impl Uploads {
    /// Takes files that are dropped anywhere in the window, or pasted outside of a text.
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
                .any(|item| item.state.with_untracked(State::is_unfinished))
            {
                event.prevent_default();
            }
        });
        let take = move |files: Option<FileList>| {
            let files = listed(files);
            let has_files = !files.is_empty();
            if has_files {
                uploads
                    .dropped
                    .update(|dropped| dropped.extend(files.into_iter().map(SendWrapper::new)));
                if navigation.here().route != Route::Upload {
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

    /// Adds what was dropped so far, and what will be while the page is open.
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

    /// The files that are not published yet, and can be.
    pub(crate) fn unfinished(self) -> usize {
        self.items
            .get()
            .iter()
            .filter(|item| item.state.with(State::is_unfinished))
            .count()
    }

    pub(crate) fn items(self) -> Vec<Item> {
        self.items.get()
    }

    pub(crate) fn add(self, files: Vec<File>) {
        for file in files {
            let key = self.next.get_value();
            self.next.set_value(key + 1);
            let item = self.owner.get_value().with(|| Item {
                key,
                name: file.name(),
                preview: Url::create_object_url_with_blob(&file).unwrap_or_default(),
                suggestion: title_from(&file.name()),
                title: RwSignal::new(String::new()),
                alt: RwSignal::new(String::new()),
                state: RwSignal::new(refusal(&file).map_or(State::Waiting, State::Failed)),
                file: SendWrapper::new(file),
            });
            self.items.update(|items| items.push(item));
        }
        self.start_waiting();
    }

    /// Takes a file out of the list; what of it was sent stays private and disappears by itself.
    pub(crate) fn remove(self, item: &Item) {
        let _ = Url::revoke_object_url(&item.preview);
        self.items
            .update(|items| items.retain(|other| other.key != item.key));
        self.start_waiting();
    }

    pub(crate) fn retry(self, item: &Item) {
        item.state
            .set(refusal(&item.file).map_or(State::Waiting, State::Failed));
        self.start_waiting();
    }

    /// Publishes a file that has a title.
    pub(crate) fn publish(item: &Item) {
        let Some(upload) = item.state.with_untracked(|state| state.publishable().cloned()) else {
            return;
        };
        if !has_title(item) {
            let error = ApiError {
                field: Some("title".to_owned()),
                ..ApiError::from(Code::Missing)
            };
            item.state.set(State::Unpublished(upload, error));
            return;
        }
        item.state.set(State::Publishing(upload.clone()));
        let state = item.state;
        let alt = item.alt.get_untracked().trim().to_owned();
        let variables = PublishPhotoVariables {
            upload_id: upload.clone(),
            title: item.title.get_untracked().trim().to_owned(),
            alt_text: (!alt.is_empty()).then_some(alt),
        };
        spawn_local(async move {
            state.set(match api::run(PublishPhoto::build(variables)).await {
                Ok(PublishPhoto { publish_photo }) => State::Published(publish_photo.id),
                Err(error) => State::Unpublished(upload, error),
            });
        });
    }

    /// Publishes all that are ready; none while one of them has no title, which is told then.
    pub(crate) fn publish_all(self) {
        let ready = |item: &Item| item.state.with_untracked(|state| state.publishable().is_some());
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
            .filter(|item| item.state.with_untracked(State::is_sending))
            .count();
        let waiting = items
            .into_iter()
            .filter(|item| item.state.with_untracked(|state| *state == State::Waiting));
        for item in waiting.take(MAX_CONCURRENT_UPLOADS.saturating_sub(sending)) {
            self.send(&item);
        }
    }

    fn send(self, item: &Item) {
        let Item { state, file, .. } = item.clone();
        state.set(State::Uploading(0));
        let on_progress = move |percent: u8| {
            state.set(if percent < 100 {
                State::Uploading(percent)
            } else {
                State::Processing
            });
        };
        spawn_local(async move {
            state.set(match api::upload(&file, on_progress).await {
                Ok(Uploaded { upload_id }) => State::Ready(Id::new(upload_id)),
                Err(error) => State::Failed(failure_of(error)),
            });
            self.start_waiting();
        });
    }
}

fn has_title(item: &Item) -> bool {
    item.title.with_untracked(|title| !title.trim().is_empty())
}

pub(crate) fn listed(list: Option<FileList>) -> Vec<File> {
    list.map(|list| (0..list.length()).filter_map(|at| list.item(at)).collect())
        .unwrap_or_default()
}

/// The reasons to refuse a file before it is sent.
fn refusal(file: &File) -> Option<Failure> {
    if file.size() > MAX_FILE_SIZE {
        Some(Failure::for_good(Reason::Known(text!(upload.larger))))
    } else if file.size() < 1.0 {
        Some(Failure::for_good(Reason::Known(text!(upload.empty))))
    } else {
        None
    }
}

fn failure_of(error: UploadError) -> Failure {
    let UploadError {
        status,
        reason,
        format,
        message,
    } = error;
    if let Some(format) = format {
        return Failure::for_good(Reason::Foreign(format));
    }
    let may_pass = !matches!(status, 413 | 415 | 422);
    let reason = Reason::Known(match (reason.as_deref(), status) {
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
        (Some("cut_off"), _) | (_, 0 | 408) => text!(upload.broke),
        (_, 401) => text!(error.unauthenticated),
        (_, 413) => text!(upload.too_large),
        (_, 429 | 503) => text!(upload.busy),
        (_, 415 | 422) if message.is_some() => {
            return Failure::for_good(Reason::Other(message.unwrap_or_default()));
        }
        (_, 415) => text!(upload.no_picture),
        (_, 422) => text!(upload.damaged),
        _ => text!(error.internal),
    });
    Failure { reason, may_pass }
}

/// A file's name is a start; a camera's numbering is not.
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
