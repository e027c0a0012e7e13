//! The comments on one photo, in two levels. A new comment is shown immediately; if sending fails, it stays with a
//! retry button.

use std::time::Duration;

use contracts::Code;
use cynic::{MutationBuilder, QueryBuilder};
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{self, ApiError};
use crate::components::error_card::error_message;
use crate::components::notices::Notices;
use crate::session::{Session, session};
use ui::graphql::{ById, ByIdFields, Byline, DateTime, Id, PageInfo, schema};
use ui::language::{filled, text};

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "Comment")]
pub(crate) struct CommentText {
    pub(crate) id: Id,
    pub(crate) body: String,
    pub(crate) deleted: bool,
    pub(crate) created_at: DateTime,
    pub(crate) edited_at: Option<DateTime>,
    pub(crate) author: Option<Byline>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "Comment")]
struct CommentWithReplies {
    #[cynic(spread)]
    comment: CommentText,
    #[arguments(first: 10)]
    replies: Option<ReplyPage>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "CommentConnection")]
struct ReplyPage {
    nodes: Vec<Option<CommentText>>,
    page_info: PageInfo,
}

/// Top-level comments with the first of their replies.
#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "CommentConnection")]
pub(crate) struct CommentPage {
    edges: Vec<CommentEdge>,
    page_info: PageInfo,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
struct CommentEdge {
    cursor: String,
    node: Option<CommentWithReplies>,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct MoreCommentsVariables {
    pub(crate) id: Id,
    pub(crate) after: Option<String>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "MoreCommentsVariables")]
pub(crate) struct MoreComments {
    #[arguments(id: $id)]
    photo: Option<CommentedPhoto>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo", variables = "MoreCommentsVariables")]
struct CommentedPhoto {
    #[arguments(first: 10, after: $after)]
    comments: Option<CommentPage>,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct MoreRepliesVariables {
    pub(crate) id: Id,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// Loads a comment by the cursor of the previous one, with more of its replies.
#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "MoreRepliesVariables")]
pub(crate) struct MoreReplies {
    #[arguments(id: $id)]
    photo: Option<RepliedPhoto>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo", variables = "MoreRepliesVariables")]
struct RepliedPhoto {
    #[arguments(first: 3, after: $before)]
    comments: Option<RepliedComments>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "CommentConnection", variables = "MoreRepliesVariables")]
struct RepliedComments {
    nodes: Vec<Option<RepliedComment>>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Comment", variables = "MoreRepliesVariables")]
struct RepliedComment {
    id: Id,
    #[arguments(first: 20, after: $after)]
    replies: Option<ReplyPage>,
}

#[derive(cynic::QueryVariables, Clone)]
pub(crate) struct AddCommentVariables {
    pub(crate) photo_id: Id,
    pub(crate) body: String,
    pub(crate) reply_to_id: Option<Id>,
    pub(crate) key: Id,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "AddCommentVariables")]
pub(crate) struct AddComment {
    #[arguments(input: { photoId: $photo_id, body: $body, replyToId: $reply_to_id, idempotencyKey: $key })]
    add_comment: CommentText,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct EditCommentVariables {
    pub(crate) id: Id,
    pub(crate) body: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "EditCommentVariables")]
pub(crate) struct EditComment {
    #[arguments(id: $id, body: $body)]
    edit_comment: CommentText,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "ById")]
pub(crate) struct DeleteComment {
    #[expect(dead_code, reason = "a selection needs a field")]
    #[arguments(id: $id)]
    delete_comment: Id,
}

/// How long a deletion can be undone.
const UNDO_TIMEOUT: Duration = Duration::from_secs(6);

/// A shown comment, also before it is stored.
#[derive(Clone)]
pub(crate) struct CommentItem {
    /// Stays the same when the comment gets its id.
    pub(crate) key: Id,
    pub(crate) comment: ArcRwSignal<CommentText>,
    pub(crate) send_state: ArcRwSignal<SendState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    Posted,
    Sending,
    Failed(ApiError),
    /// Shown as deleted, and not yet sent to the server.
    Deleting,
    Deleted,
}

impl CommentItem {
    fn from_comment(comment: CommentText) -> Self {
        Self {
            key: comment.id.clone(),
            comment: ArcRwSignal::new(comment),
            send_state: ArcRwSignal::new(SendState::Posted),
        }
    }

    fn id(&self) -> Id {
        self.comment.with_untracked(|comment| comment.id.clone())
    }
}

/// A top-level comment and its replies.
#[derive(Clone)]
pub(crate) struct Thread {
    pub(crate) head: CommentItem,
    pub(crate) replies: ArcRwSignal<Vec<CommentItem>>,
    more: ArcRwSignal<Option<ReplyCursor>>,
}

/// The position of the next page of replies.
#[derive(Clone)]
struct ReplyCursor {
    before: Option<String>,
    after: Option<String>,
}

impl Thread {
    pub(crate) fn has_more_replies(&self) -> bool {
        self.more.with(Option::is_some)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Conversation {
    photo: StoredValue<Id>,
    /// The author of the photo, who may delete all comments on it.
    photo_author: StoredValue<Option<Id>>,
    threads: RwSignal<Vec<Thread>>,
    cursor: RwSignal<Option<String>>,
    has_more: RwSignal<bool>,
    count: RwSignal<i32>,
    session: Session,
    notices: Notices,
}

impl Conversation {
    pub(crate) fn new(photo: Id, photo_author: Option<Id>, count: i32, page: CommentPage) -> Self {
        let conversation = Self {
            photo: StoredValue::new(photo),
            photo_author: StoredValue::new(photo_author),
            threads: RwSignal::new(Vec::new()),
            cursor: RwSignal::new(None),
            has_more: RwSignal::new(false),
            count: RwSignal::new(count),
            session: session(),
            notices: expect_context(),
        };
        conversation.append(page);
        conversation
    }

    pub(crate) fn photo(self) -> Id {
        self.photo.get_value()
    }

    pub(crate) fn threads(self) -> Vec<Thread> {
        self.threads.get()
    }

    pub(crate) fn count(self) -> i32 {
        self.count.get()
    }

    pub(crate) fn has_more(self) -> bool {
        self.has_more.get()
    }

    pub(crate) fn may_edit(self, comment: &CommentText) -> bool {
        !comment.deleted
            && comment
                .author
                .as_ref()
                .is_some_and(|author| self.session.is(&author.id))
    }

    pub(crate) fn may_delete(self, comment: &CommentText) -> bool {
        let is_photo_author = self.photo_author.with_value(|photo_author| {
            photo_author
                .as_ref()
                .is_some_and(|photo_author| self.session.is(photo_author))
        });
        self.may_edit(comment) || (!comment.deleted && is_photo_author)
    }

    pub(crate) async fn load_more(self) -> Result<(), ApiError> {
        let variables = MoreCommentsVariables {
            id: self.photo(),
            after: self.cursor.get_untracked(),
        };
        let answer = api::run(MoreComments::build(variables)).await?;
        let page = answer
            .photo
            .and_then(|photo| photo.comments)
            .ok_or(Code::Unavailable)?;
        self.append(page);
        Ok(())
    }

    pub(crate) async fn load_more_replies(self, thread: Thread) -> Result<(), ApiError> {
        let Some(ReplyCursor { before, after }) = thread.more.get_untracked() else {
            return Ok(());
        };
        let variables = MoreRepliesVariables {
            id: self.photo(),
            before: before.clone(),
            after,
        };
        let comments = api::run(MoreReplies::build(variables))
            .await?
            .photo
            .and_then(|photo| photo.comments);
        let head = thread.head.id();
        let found = comments
            .into_iter()
            .flat_map(|comments| comments.nodes)
            .flatten()
            .find(|comment| comment.id == head);
        let page = found.and_then(|comment| comment.replies).ok_or(Code::NotFound)?;
        thread.replies.update(|replies| {
            let unknown = page
                .nodes
                .into_iter()
                .flatten()
                .filter(|reply| replies.iter().all(|known| known.id() != reply.id));
            let unknown: Vec<_> = unknown.map(CommentItem::from_comment).collect();
            replies.extend(unknown);
        });
        let PageInfo {
            has_next_page,
            end_cursor,
        } = page.page_info;
        thread.more.set(has_next_page.then_some(ReplyCursor {
            before,
            after: end_cursor,
        }));
        Ok(())
    }

    fn append(self, page: CommentPage) {
        let mut before = self.cursor.get_untracked();
        let mut threads = Vec::new();
        for CommentEdge { cursor, node } in page.edges {
            if let Some(CommentWithReplies { comment, replies }) = node {
                let more = replies.as_ref().filter(|replies| replies.page_info.has_next_page);
                let more = more.map(|replies| ReplyCursor {
                    before: before.clone(),
                    after: replies.page_info.end_cursor.clone(),
                });
                let replies = replies
                    .into_iter()
                    .flat_map(|replies| replies.nodes)
                    .flatten()
                    .map(CommentItem::from_comment)
                    .collect();
                threads.push(Thread {
                    head: CommentItem::from_comment(comment),
                    replies: ArcRwSignal::new(replies),
                    more: ArcRwSignal::new(more),
                });
            }
            before = Some(cursor);
        }
        self.threads.update(|known| {
            threads.retain(|thread| known.iter().all(|other| other.head.id() != thread.head.id()));
            known.extend(threads);
        });
        self.cursor.set(page.page_info.end_cursor);
        self.has_more.set(page.page_info.has_next_page);
    }

    /// Shows the comment at once and sends it.
    pub(crate) fn post(self, body: String, reply_to: Option<Thread>) {
        let Some(viewer) = self.session.viewer_now() else {
            return;
        };
        let author = viewer.user.map(|me| Byline {
            id: me.id,
            username: me.username,
            display_name: me.display_name,
        });
        let key = Id::new(random_uuid());
        let now = DateTime(js_sys::Date::new_0().to_iso_string().into());
        let comment = CommentText {
            id: key.clone(),
            body,
            deleted: false,
            created_at: now,
            edited_at: None,
            author,
        };
        let item = CommentItem {
            send_state: ArcRwSignal::new(SendState::Sending),
            ..CommentItem::from_comment(comment)
        };
        match &reply_to {
            Some(thread) => thread.replies.update(|replies| replies.push(item.clone())),
            None => self.threads.update(|threads| {
                let thread = Thread {
                    head: item.clone(),
                    replies: ArcRwSignal::new(Vec::new()),
                    more: ArcRwSignal::new(None),
                };
                threads.insert(0, thread);
            }),
        }
        self.send(item, reply_to.map(|thread| thread.head.id()));
    }

    /// Sends a comment, for the first time or again. The idempotency key prevents duplicates.
    pub(crate) fn send(self, item: CommentItem, reply_to: Option<Id>) {
        item.send_state.set(SendState::Sending);
        let body = item.comment.with_untracked(|comment| comment.body.clone());
        let variables = AddCommentVariables {
            photo_id: self.photo(),
            body,
            reply_to_id: reply_to,
            key: item.key.clone(),
        };
        spawn_local(async move {
            match api::run(AddComment::build(variables)).await {
                Ok(AddComment { add_comment }) => {
                    item.comment.set(add_comment);
                    item.send_state.set(SendState::Posted);
                    self.count.try_update(|count| *count += 1);
                    self.notices.announce(text!(comment.posted).get());
                }
                Err(error) => {
                    self.notices
                        .announce(filled!(comment.failed, why = error_message(&error).get()));
                    item.send_state.set(SendState::Failed(error));
                }
            }
        });
    }

    pub(crate) async fn edit(self, item: CommentItem, body: String) -> Result<(), ApiError> {
        let variables = EditCommentVariables { id: item.id(), body };
        let EditComment { edit_comment } = api::run(EditComment::build(variables)).await?;
        item.comment.set(edit_comment);
        Ok(())
    }

    /// Deletes a comment after [`UNDO_TIMEOUT`], unless the deletion is undone.
    pub(crate) fn delete(self, item: CommentItem) {
        item.send_state.set(SendState::Deleting);
        self.count.update(|count| *count -= 1);
        self.notices.announce(text!(comment.deleted).get());
        let finish = move || {
            // Skipped if undone or already sent.
            if item.send_state.get_untracked() == SendState::Deleting {
                item.send_state.set(SendState::Deleted);
                self.send_deletion(item.clone());
            }
        };
        // Leaving the page sends the deletion.
        let leaving = window_event_listener(ev::pagehide, {
            let finish = finish.clone();
            move |_| finish()
        });
        set_timeout(
            move || {
                finish();
                leaving.remove();
            },
            UNDO_TIMEOUT,
        );
    }

    pub(crate) fn undo_deletion(self, item: &CommentItem) {
        item.send_state.set(SendState::Posted);
        self.count.update(|count| *count += 1);
    }

    fn send_deletion(self, item: CommentItem) {
        spawn_local(async move {
            match api::run(DeleteComment::build(ById { id: item.id() })).await {
                // The photo may have been closed meanwhile.
                Ok(_) if self.threads.is_disposed() => {}
                Ok(_) => self.remove_item(&item),
                Err(error) => {
                    item.send_state.set(SendState::Posted);
                    self.count.try_update(|count| *count += 1);
                    let text = filled!(comment.not_deleted, why = error_message(&error).get());
                    self.notices
                        .offer_retry(text, move || self.send_deletion(item.clone()));
                }
            }
        });
    }

    /// Removes a comment from the list. With replies, a tombstone remains.
    pub(crate) fn remove_item(self, item: &CommentItem) {
        let gone = |other: &CommentItem| other.key == item.key;
        let has_replies = |thread: &Thread| thread.replies.with_untracked(|replies| !replies.is_empty());
        self.threads.update(|threads| {
            threads.retain(|thread| !gone(&thread.head) || has_replies(thread));
            for thread in threads {
                thread
                    .replies
                    .update(|replies| replies.retain(|reply| !gone(reply)));
                if gone(&thread.head) {
                    thread.head.comment.update(|comment| {
                        comment.deleted = true;
                        comment.author = None;
                        comment.body.clear();
                    });
                }
            }
        });
    }
}

/// A version 4 UUID. `crypto.randomUUID` would make one, but on secure origins only.
fn random_uuid() -> String {
    let mut bytes = api::random_bits().to_be_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
