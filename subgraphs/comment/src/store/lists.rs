//! Pages and lengths of many lists with one statement.

use std::collections::HashMap;

use chassis::UserId;
use chassis::database::{Pool, push_ids};
use sqlx::mysql::MySqlRow;
use sqlx::{FromRow as _, MySql, QueryBuilder, Row as _};
use uuid::Uuid;

use crate::domain::{Comment, CommentId, List, ListKind, ListPage, PhotoId};

const COMMENT_COLUMNS: &str =
    "c.id, c.photo_id, c.reply_to, c.author_id, c.body, c.created_at, c.edited_at, c.deleted_at";
/// Tombstones are only shown if they have replies. Not `EXISTS`, for which the server would collect the replies of all
/// comments first, instead of looking into an index for each tombstone.
const VISIBLE: &str =
    "(c.deleted_at IS NULL OR (SELECT r.id FROM comment r WHERE r.reply_to = c.id LIMIT 1) IS NOT NULL)";

/// Returns comments and tombstones by id.
pub async fn comments_by_ids(
    pool: &Pool,
    ids: &[CommentId],
) -> Result<HashMap<CommentId, Comment>, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("SELECT {COMMENT_COLUMNS} FROM comment c WHERE c.id IN "));
    push_ids(&mut query, ids.iter().copied());
    let comments: Vec<Comment> = query.build_query_as().fetch_all(pool).await?;
    Ok(comments
        .into_iter()
        .map(|comment| (comment.id, comment))
        .collect())
}

/// Returns the rows of pages, in the order of their lists.
///
/// A `UNION ALL` with one branch per page: each uses an index and reads only its rows. A window function would read
/// every comment of each list.
pub async fn pages(pool: &Pool, pages: &[ListPage]) -> Result<HashMap<ListPage, Vec<Comment>>, sqlx::Error> {
    let mut pages = pages.to_vec();
    // Grouped by kind, so that the same mixture gives the same statement for the cache.
    pages.sort_by_key(|page| page.list.kind() as u8);
    let mut query = QueryBuilder::new("");
    for (branch, page) in pages.iter().enumerate() {
        push_branch(&mut query, branch, page);
    }
    if let Some(last) = pages.last() {
        for branch in pages.len()..padded(pages.len()) {
            push_branch(&mut query, branch, &padding_page(last.list.kind()));
        }
    }
    let mut found: HashMap<ListPage, Vec<Comment>> = HashMap::new();
    for row in query.build().fetch_all(pool).await? {
        let (page, comment) = branch_row(&pages, &row)?;
        found.entry(page).or_default().push(comment);
    }
    // The order of a union is not guaranteed.
    for (page, comments) in &mut found {
        comments.sort_unstable_by_key(|comment| comment.id);
        if page.list.kind() != ListKind::Comment {
            comments.reverse();
        }
    }
    Ok(found)
}

fn branch_row(pages: &[ListPage], row: &MySqlRow) -> Result<(ListPage, Comment), sqlx::Error> {
    let branch: i64 = row.try_get("branch")?;
    let page = usize::try_from(branch)
        .ok()
        .and_then(|branch| pages.get(branch))
        .ok_or(sqlx::Error::RowNotFound)?;
    Ok((*page, Comment::from_row(row)?))
}

fn push_branch(query: &mut QueryBuilder<MySql>, branch: usize, page: &ListPage) {
    query.push(if branch == 0 { "(" } else { " UNION ALL (" });
    query.push(format!(
        "SELECT {branch} AS branch, {COMMENT_COLUMNS} FROM comment c WHERE "
    ));
    let newest = page.after.map_or(Uuid::max(), Uuid::from);
    match page.list {
        List::OfPhoto(photo) => {
            query.push("c.photo_id = ").push_bind(photo.0);
            query.push(format!(" AND c.reply_to IS NULL AND {VISIBLE} AND c.id < "));
            query.push_bind(newest).push(" ORDER BY c.id DESC");
        }
        List::OfComment(comment) => {
            let oldest = page.after.map_or(Uuid::nil(), Uuid::from);
            query.push("c.reply_to = ").push_bind(comment.0);
            query
                .push(" AND c.id > ")
                .push_bind(oldest)
                .push(" ORDER BY c.id");
        }
        List::OfUser(user) => {
            query.push("c.author_id = ").push_bind(user.0);
            query
                .push(" AND c.id < ")
                .push_bind(newest)
                .push(" ORDER BY c.id DESC");
        }
    }
    query.push(" LIMIT ").push_bind(page.rows).push(")");
}

/// Only a few lengths, for hits in the statement cache.
fn padded(branches: usize) -> usize {
    match branches {
        0..=1 => branches,
        2..=8 => 8,
        9..=24 => 24,
        more => more.next_multiple_of(50),
    }
}

/// An empty page: no user has the nil id.
fn padding_page(kind: ListKind) -> ListPage {
    let list = match kind {
        ListKind::Photo => List::OfPhoto(PhotoId(Uuid::nil())),
        ListKind::Comment => List::OfComment(CommentId(Uuid::nil())),
        ListKind::User => List::OfUser(UserId(Uuid::nil())),
    };
    ListPage {
        list,
        rows: 1,
        after: None,
    }
}

/// Returns the numbers of comments and replies that are not deleted. Photos without comments are missing.
pub async fn comment_counts(pool: &Pool, photos: &[PhotoId]) -> Result<HashMap<PhotoId, i64>, sqlx::Error> {
    let mut query =
        QueryBuilder::new("SELECT photo_id, COUNT(*) FROM comment WHERE deleted_at IS NULL AND photo_id IN ");
    push_ids(&mut query, photos.iter().copied());
    query.push(" GROUP BY photo_id");
    let counts: Vec<(PhotoId, i64)> = query.build_query_as().fetch_all(pool).await?;
    Ok(counts.into_iter().collect())
}

/// Returns the lengths of lists, including visible tombstones. Empty lists are missing.
pub async fn totals(pool: &Pool, lists: &[List]) -> Result<HashMap<List, i64>, sqlx::Error> {
    let (mut photos, mut comments, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        match *list {
            List::OfPhoto(photo) => photos.push(photo.0),
            List::OfComment(comment) => comments.push(comment.0),
            List::OfUser(user) => users.push(user.0),
        }
    }
    let mut totals = HashMap::new();
    let of_photos = format!("c.reply_to IS NULL AND {VISIBLE} AND c.photo_id");
    for (column, filter, ids, list) in [
        (
            "c.photo_id",
            of_photos.as_str(),
            photos,
            (|id| List::OfPhoto(PhotoId(id))) as fn(Uuid) -> List,
        ),
        ("c.reply_to", "c.reply_to", comments, |id| {
            List::OfComment(CommentId(id))
        }),
        ("c.author_id", "c.author_id", users, |id| List::OfUser(UserId(id))),
    ] {
        if ids.is_empty() {
            continue;
        }
        let mut query = QueryBuilder::new(format!(
            "SELECT {column}, COUNT(*) FROM comment c WHERE {filter} IN "
        ));
        push_ids(&mut query, ids);
        query.push(format!(" GROUP BY {column}"));
        let counts: Vec<(Uuid, i64)> = query.build_query_as().fetch_all(pool).await?;
        totals.extend(counts.into_iter().map(|(id, count)| (list(id), count)));
    }
    Ok(totals)
}
