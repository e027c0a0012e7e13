//! A timeline as far as it has been read. It outlives its view, so that going back finds it as it was left.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{ApiError, Code};
use crate::components::tile::PhotoTile;
use crate::first_page;
use crate::graphql::{Id, PageInfo, schema};
use crate::navigation::Arrival;
use crate::route::Timeline;
use crate::session::{Session, session};
use crate::votes::{Asked, Ballots};

/// Photos asked for at once.
pub(crate) const PAGE_SIZE: i32 = 24;
/// The most that one request may ask for.
const MOST_AT_ONCE: i32 = 100;
/// The photos that a phone shows before it is scrolled.
const IN_VIEW: usize = 6;
/// When votes that could not be had are asked for again.
pub(crate) const VOTES_RETRY: Duration = Duration::from_secs(10);
/// Pages that come by scrolling alone; then a button lets the reader decide, and reach what is below.
const PAGES_BY_SCROLLING: u32 = 3;

/// How a page of a timeline is fetched.
pub(crate) type Fetch = fn(Timeline, First) -> LocalBoxFuture<'static, Result<PhotoPage, ApiError>>;

/// The first so many, after a cursor.
pub(crate) struct First {
    pub(crate) first: i32,
    pub(crate) after: Option<String>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "PhotoConnection")]
pub(crate) struct PhotoPage {
    /// A place whose photo was removed meanwhile is empty.
    pub(crate) nodes: Vec<Option<PhotoTile>>,
    pub(crate) page_info: PageInfo,
}

#[derive(Clone)]
pub(crate) struct Feed {
    timeline: Timeline,
    fetch: Fetch,
    photos: ArcRwSignal<Vec<PhotoTile>>,
    status: ArcRwSignal<Status>,
    cursor: ArcRwSignal<Option<String>>,
    pages: ArcRwSignal<u32>,
    ballots: Ballots,
    // Kept, because a timer has no context to look it up in.
    session: Session,
    /// The sign-ins and sign-outs that its votes know of.
    session_changes: ArcRwSignal<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is more to load.
    Ready,
    Loading,
    Failed(ApiError),
    AtEnd,
}

impl Feed {
    fn new(timeline: Timeline, fetch: Fetch, ballots: Ballots, session: Session) -> Self {
        Self {
            timeline,
            fetch,
            photos: ArcRwSignal::new(Vec::new()),
            status: ArcRwSignal::new(Status::Ready),
            cursor: ArcRwSignal::new(None),
            pages: ArcRwSignal::new(0),
            ballots,
            session,
            session_changes: ArcRwSignal::new(session.changes()),
        }
    }

    pub(crate) fn photos(&self) -> &ArcRwSignal<Vec<PhotoTile>> {
        &self.photos
    }

    pub(crate) fn status(&self) -> &ArcRwSignal<Status> {
        &self.status
    }

    /// Whether the next page comes when the reader nears the end.
    pub(crate) fn loads_by_scrolling(&self) -> bool {
        self.status.get() == Status::Ready && !self.pages.get().is_multiple_of(PAGES_BY_SCROLLING)
    }

    /// Loads the next page unless one is on its way or there is none.
    pub(crate) fn load_more(&self) {
        if matches!(self.status.get_untracked(), Status::Loading | Status::AtEnd) {
            return;
        }
        self.status.set(Status::Loading);
        let feed = self.clone();
        spawn_local(async move {
            let asked = feed.ballots.asking();
            let after = feed.cursor.get_untracked();
            let continues = after.is_some();
            match (feed.fetch)(
                feed.timeline.clone(),
                First {
                    first: PAGE_SIZE,
                    after,
                },
            )
            .await
            {
                Ok(page) => feed.append(page, asked),
                // The place in the timeline is kept for an hour. Starting over finds it again: what is here stays, and
                // what comes twice is left out.
                Err(error) if continues && error.code == Code::InvalidInput => {
                    feed.cursor.set(None);
                    feed.status.set(Status::Ready);
                    feed.load_more();
                }
                Err(error) => feed.status.set(Status::Failed(error)),
            }
        });
    }

    /// Asks again for the votes of what is here, for a viewer who has just signed in or out.
    pub(crate) fn recount(&self) {
        let known = i32::try_from(self.photos.with_untracked(Vec::len)).unwrap_or(MOST_AT_ONCE);
        if known == 0 {
            return;
        }
        self.session_changes.set(self.session.changes());
        let feed = self.clone();
        spawn_local(async move {
            let asked = feed.ballots.asking();
            let first = First {
                // Some of the first page may not be shown yet.
                first: known.clamp(PAGE_SIZE, MOST_AT_ONCE),
                after: None,
            };
            // Without an answer the votes stay as they are; a press still sends an absolute value.
            if let Ok(page) = (feed.fetch)(feed.timeline.clone(), first).await {
                page.nodes
                    .iter()
                    .flatten()
                    .for_each(|photo| feed.receive(photo, asked));
            }
            feed.recount_while_votes_are_missing();
        });
    }

    /// The vote service was away for some of the photos: asks again after a while.
    fn recount_while_votes_are_missing(&self) {
        let is_missing = |photo: &PhotoTile| self.ballots.find(&photo.id).is_none();
        if self
            .photos
            .with_untracked(|photos| photos.iter().take(100).any(is_missing))
        {
            let feed = self.clone();
            set_timeout(move || feed.recount(), VOTES_RETRY);
        }
    }

    /// A photo is gone.
    pub(crate) fn forget(&self, photo: &Id) {
        self.photos
            .update(|photos| photos.retain(|known| known.id != *photo));
    }

    fn append(&self, page: PhotoPage, asked: Asked) {
        let PhotoPage { nodes, page_info } = page;
        nodes
            .iter()
            .flatten()
            .for_each(|photo| self.receive(photo, asked));
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
            Status::Ready
        } else {
            Status::AtEnd
        };
        // If the visitor has scrolled already, all tiles of the rendered page must exist at once.
        let at_once = if scrolled() {
            new.len()
        } else {
            first_page::tiles_in_view().max(IN_VIEW)
        };
        self.show(new, at_once, then);
    }

    /// Shows so many at once, and the others one after another: a whole page at once would delay input.
    fn show(&self, mut new: VecDeque<PhotoTile>, at_once: usize, then: Status) {
        let at_once = at_once.min(new.len());
        self.photos.update(|photos| photos.extend(new.drain(..at_once)));
        if new.is_empty() {
            first_page::is_drawn();
            self.status.set(then);
            self.recount_while_votes_are_missing();
            return;
        }
        let feed = self.clone();
        set_timeout(move || feed.show(new, 1, then), Duration::ZERO);
    }

    fn receive(&self, photo: &PhotoTile, asked: Asked) {
        self.ballots
            .receive(&photo.id, photo.votes, photo.viewer_vote, asked);
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

    /// Back and forward find the timeline as it was; a link starts it anew.
    pub(crate) fn open(self, timeline: Timeline, arrival: Arrival, fetch: Fetch) -> Feed {
        let kept = self.by_timeline.with_value(|feeds| feeds.get(&timeline).cloned());
        if let (Arrival::History, Some(feed)) = (arrival, kept) {
            if feed.session_changes.get_untracked() != feed.session.changes() {
                feed.recount();
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

    /// The loaded data may name users or photos that are gone.
    pub(crate) fn clear(self) {
        self.by_timeline.update_value(HashMap::clear);
    }

    /// The timeline as far as it has been read; what reads it is told when one is opened.
    pub(crate) fn find(self, timeline: &Timeline) -> Option<Feed> {
        self.opened.track();
        self.by_timeline.with_value(|feeds| feeds.get(timeline).cloned())
    }

    /// A photo has a new title or description.
    pub(crate) fn describe(self, photo: &Id, title: &str, alt_text: Option<&str>) {
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

    /// A photo is gone from all of them.
    pub(crate) fn forget(self, photo: &Id) {
        self.by_timeline
            .with_value(|feeds| feeds.values().for_each(|feed| feed.forget(photo)));
    }
}

fn scrolled() -> bool {
    window().scroll_y().is_ok_and(|top| top > 0.0)
}
