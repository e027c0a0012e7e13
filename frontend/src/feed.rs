//! The loaded part of a timeline. It outlives its view, so that going back restores it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use contracts::Code;
use futures::future::LocalBoxFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::ApiError;
use crate::components::tile::PhotoTile;
use crate::first_page;
use crate::navigation::NavigationKind;
use crate::session::{Session, session};
use crate::votes::{VoteClock, VoteStates};
use ui::PAGE_SIZE;
use ui::graphql::{Id, PageInfo, schema};
use ui::route::Timeline;

/// The API's maximum of photos per request.
const MAX_PHOTOS_PER_REQUEST: i32 = 100;
/// Photos in the first viewport of a phone.
const INITIAL_TILES: usize = 6;
/// How often unavailable votes are requested again.
pub(crate) const VOTES_RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Pages that are loaded by scrolling before a button is shown.
const AUTO_LOADED_PAGES: u32 = 3;

/// Fetches a page of a timeline.
pub(crate) type Fetch = fn(Timeline, PageRequest) -> LocalBoxFuture<'static, Result<PhotoPage, ApiError>>;

/// The requested number of photos, and the cursor before them.
pub(crate) struct PageRequest {
    pub(crate) first: i32,
    pub(crate) after: Option<String>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "PhotoConnection")]
pub(crate) struct PhotoPage {
    /// Removed photos are null.
    pub(crate) nodes: Vec<Option<PhotoTile>>,
    pub(crate) page_info: PageInfo,
}

#[derive(Clone)]
pub(crate) struct Feed {
    timeline: Timeline,
    fetch: Fetch,
    photos: ArcRwSignal<Vec<PhotoTile>>,
    status: ArcRwSignal<FeedStatus>,
    cursor: ArcRwSignal<Option<String>>,
    pages: ArcRwSignal<u32>,
    vote_states: VoteStates,
    // Stored, because a timer has no context to look it up in.
    session: Session,
    /// The number of sign-ins and sign-outs when the votes were loaded.
    session_changes: ArcRwSignal<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FeedStatus {
    /// There is more to load.
    Ready,
    Loading,
    Failed(ApiError),
    AtEnd,
}

impl Feed {
    fn new(timeline: Timeline, fetch: Fetch, vote_states: VoteStates, session: Session) -> Self {
        Self {
            timeline,
            fetch,
            photos: ArcRwSignal::new(Vec::new()),
            status: ArcRwSignal::new(FeedStatus::Ready),
            cursor: ArcRwSignal::new(None),
            pages: ArcRwSignal::new(0),
            vote_states,
            session,
            session_changes: ArcRwSignal::new(session.changes()),
        }
    }

    pub(crate) fn photos(&self) -> &ArcRwSignal<Vec<PhotoTile>> {
        &self.photos
    }

    pub(crate) fn status(&self) -> &ArcRwSignal<FeedStatus> {
        &self.status
    }

    /// Whether the next page is loaded by scrolling.
    pub(crate) fn loads_by_scrolling(&self) -> bool {
        self.status.get() == FeedStatus::Ready && !self.pages.get().is_multiple_of(AUTO_LOADED_PAGES)
    }

    /// Loads the next page, unless one is pending or the end is reached.
    pub(crate) fn load_more(&self) {
        if matches!(
            self.status.get_untracked(),
            FeedStatus::Loading | FeedStatus::AtEnd
        ) {
            return;
        }
        self.status.set(FeedStatus::Loading);
        let feed = self.clone();
        spawn_local(async move {
            let asked_at = feed.vote_states.clock();
            let after = feed.cursor.get_untracked();
            let continues = after.is_some();
            match (feed.fetch)(
                feed.timeline.clone(),
                PageRequest {
                    first: PAGE_SIZE,
                    after,
                },
            )
            .await
            {
                Ok(page) => feed.append(page, asked_at),
                // Cursors expire after an hour. Loading starts over, and known photos are skipped.
                Err(error) if continues && error.code == Code::InvalidInput => {
                    feed.cursor.set(None);
                    feed.status.set(FeedStatus::Ready);
                    feed.load_more();
                }
                Err(error) => feed.status.set(FeedStatus::Failed(error)),
            }
        });
    }

    /// Reloads the votes of the loaded photos after sign-in or sign-out.
    pub(crate) fn reload_votes(&self) {
        let known = i32::try_from(self.photos.with_untracked(Vec::len)).unwrap_or(MAX_PHOTOS_PER_REQUEST);
        if known == 0 {
            return;
        }
        self.session_changes.set(self.session.changes());
        let feed = self.clone();
        spawn_local(async move {
            let asked_at = feed.vote_states.clock();
            let first = PageRequest {
                // The first page may not be shown completely yet.
                first: known.clamp(PAGE_SIZE, MAX_PHOTOS_PER_REQUEST),
                after: None,
            };
            // Without a response the votes stay unchanged. Votes are absolute values, so voting still works.
            if let Ok(page) = (feed.fetch)(feed.timeline.clone(), first).await {
                page.nodes
                    .iter()
                    .flatten()
                    .for_each(|photo| feed.receive(photo, asked_at));
            }
            feed.retry_missing_votes();
        });
    }

    /// Reloads the votes after a delay if some are missing.
    fn retry_missing_votes(&self) {
        let is_missing = |photo: &PhotoTile| self.vote_states.find(&photo.id).is_none();
        if self
            .photos
            .with_untracked(|photos| photos.iter().take(100).any(is_missing))
        {
            let feed = self.clone();
            set_timeout(move || feed.reload_votes(), VOTES_RETRY_INTERVAL);
        }
    }

    /// Removes a deleted photo.
    pub(crate) fn remove(&self, photo: &Id) {
        self.photos
            .update(|photos| photos.retain(|known| known.id != *photo));
    }

    fn append(&self, page: PhotoPage, asked_at: VoteClock) {
        let PhotoPage { nodes, page_info } = page;
        nodes
            .iter()
            .flatten()
            .for_each(|photo| self.receive(photo, asked_at));
        let known: HashSet<Id> = self
            .photos
            .with_untracked(|photos| photos.iter().map(|photo| photo.id.clone()).collect());
        let new: VecDeque<_> = nodes
            .into_iter()
            .flatten()
            .filter(|photo| !known.contains(&photo.id))
            .collect();
        self.cursor.set(page_info.end_cursor);
        self.pages.update(|pages| *pages += 1);
        let then = if page_info.has_next_page {
            FeedStatus::Ready
        } else {
            FeedStatus::AtEnd
        };
        // After scrolling, all tiles must be added at once to keep the position.
        let initial = if is_scrolled() {
            new.len()
        } else {
            first_page::tiles_in_view().max(INITIAL_TILES)
        };
        self.show(new, initial, then);
    }

    /// Adds the `initial` first photos at once, and the others one per task, so that input is not delayed.
    fn show(&self, mut new: VecDeque<PhotoTile>, initial: usize, then: FeedStatus) {
        let initial = initial.min(new.len());
        self.photos.update(|photos| photos.extend(new.drain(..initial)));
        if new.is_empty() {
            first_page::release_height();
            self.status.set(then);
            self.retry_missing_votes();
            return;
        }
        let feed = self.clone();
        set_timeout(move || feed.show(new, 1, then), Duration::ZERO);
    }

    fn receive(&self, photo: &PhotoTile, asked_at: VoteClock) {
        self.vote_states
            .receive(&photo.id, photo.votes, photo.viewer_vote, asked_at);
    }
}

/// The timelines read so far.
#[derive(Clone, Copy)]
pub(crate) struct Feeds {
    by_timeline: StoredValue<HashMap<Timeline, Feed>>,
    opened: Trigger,
}

impl Feeds {
    pub(crate) fn provide() {
        provide_context(Self {
            by_timeline: StoredValue::new(HashMap::new()),
            opened: Trigger::new(),
        });
    }

    /// Returns the stored feed on back and forward; a link starts a new one.
    pub(crate) fn open(self, timeline: Timeline, kind: NavigationKind, fetch: Fetch) -> Feed {
        let kept = self.by_timeline.with_value(|feeds| feeds.get(&timeline).cloned());
        if let (NavigationKind::History, Some(feed)) = (kind, kept) {
            if feed.session_changes.get_untracked() != feed.session.changes() {
                feed.reload_votes();
            }
            return feed;
        }
        let feed = Feed::new(timeline.clone(), fetch, expect_context(), session());
        self.by_timeline.update_value(|feeds| {
            feeds.insert(timeline, feed.clone());
        });
        self.opened.notify();
        feed.load_more();
        feed
    }

    /// Discards all feeds, for example after the account was deleted.
    pub(crate) fn clear(self) {
        self.by_timeline.update_value(HashMap::clear);
    }

    /// The loaded part of a timeline. Tracks newly opened feeds.
    pub(crate) fn find(self, timeline: &Timeline) -> Option<Feed> {
        self.opened.track();
        self.by_timeline.with_value(|feeds| feeds.get(timeline).cloned())
    }

    /// Applies a new title and description.
    pub(crate) fn update_description(self, photo: &Id, title: &str, alt_text: Option<&str>) {
        self.by_timeline.with_value(|feeds| {
            for feed in feeds.values() {
                feed.photos.update(|photos| {
                    for tile in photos.iter_mut().filter(|tile| tile.id == *photo) {
                        title.clone_into(&mut tile.title);
                        tile.alt_text = alt_text.map(str::to_owned);
                    }
                });
            }
        });
    }

    /// Removes a deleted photo from all feeds.
    pub(crate) fn remove(self, photo: &Id) {
        self.by_timeline
            .with_value(|feeds| feeds.values().for_each(|feed| feed.remove(photo)));
    }
}

fn is_scrolled() -> bool {
    window().scroll_y().is_ok_and(|top| top > 0.0)
}
