//! The content of one node.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row as _};
use uuid::Uuid;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Photo {
    pub(super) title: String,
    pub(super) key: Uuid,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) up: i64,
    pub(super) down: i64,
    pub(super) deleted: bool,
    /// Whether the vote service has received the publication of the photo.
    listed: bool,
}

/// All user data in the schemas of all services.
#[derive(Debug, Default)]
pub(super) struct NodeContent {
    pub(super) accounts: BTreeMap<String, Uuid>,
    pub(super) profiles: BTreeSet<Uuid>,
    pub(super) photos: BTreeMap<Uuid, Photo>,
    deleted_photos: BTreeSet<Uuid>,
    pub(super) scores: BTreeMap<Uuid, Score>,
    /// By photo and account.
    pub(super) votes: BTreeMap<(Uuid, Uuid), i8>,
    /// Keys of votes that occur more than once.
    pub(super) duplicate_votes: Vec<(Uuid, Uuid)>,
    known_to_comment: BTreeSet<Uuid>,
    deleted_in_comment: BTreeSet<Uuid>,
    /// Comments that are not deleted, by text.
    pub(super) comments: BTreeMap<String, Vec<Uuid>>,
    comment_counts: BTreeMap<Uuid, i64>,
    pub(super) counters: BTreeMap<u32, i64>,
}

impl NodeContent {
    pub(super) async fn read(connection: &mut MySqlConnection) -> Result<Self> {
        let mut found = Self::default();
        for row in rows(connection, "SELECT email_folded, id FROM authentication.account").await? {
            found.accounts.insert(row.try_get(0)?, row.try_get(1)?);
        }
        found.profiles = ids(connection, "SELECT id FROM profile.profile").await?;
        for row in rows(connection, "SELECT id, title, file_key FROM photo.photo").await? {
            let photo = Photo {
                title: row.try_get(1)?,
                key: row.try_get(2)?,
            };
            found.photos.insert(row.try_get(0)?, photo);
        }
        found.deleted_photos = ids(connection, "SELECT id FROM photo.deleted_photo").await?;
        found.read_votes(connection).await?;
        found.known_to_comment = ids(connection, "SELECT id FROM comment.known_photo").await?;
        found.deleted_in_comment = ids(connection, "SELECT id FROM comment.deleted_photo").await?;
        let comments = "SELECT id, photo_id, body FROM comment.comment WHERE deleted_at IS NULL";
        for row in rows(connection, comments).await? {
            found
                .comments
                .entry(row.try_get(2)?)
                .or_default()
                .push(row.try_get(0)?);
            *found.comment_counts.entry(row.try_get(1)?).or_default() += 1;
        }
        for row in rows(connection, "SELECT id, value FROM fault_audit.counter").await? {
            found.counters.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(found)
    }

    async fn read_votes(&mut self, connection: &mut MySqlConnection) -> Result<()> {
        let scores = "SELECT s.photo_id, CAST(s.up + COALESCE(SUM(d.up), 0) AS SIGNED),
                             CAST(s.down + COALESCE(SUM(d.down), 0) AS SIGNED),
                             s.deleted_at IS NOT NULL, s.author_id IS NOT NULL AND s.published_at IS NOT NULL
                      FROM vote.photo_score s LEFT JOIN vote.vote_delta d ON d.photo_id = s.photo_id
                      GROUP BY s.photo_id";
        for row in rows(connection, scores).await? {
            let score = Score {
                up: row.try_get(1)?,
                down: row.try_get(2)?,
                deleted: row.try_get(3)?,
                listed: row.try_get(4)?,
            };
            self.scores.insert(row.try_get(0)?, score);
        }
        for row in rows(connection, "SELECT photo_id, user_id, value FROM vote.vote").await? {
            let key = (row.try_get(0)?, row.try_get(1)?);
            if self.votes.insert(key, row.try_get(2)?).is_some() {
                self.duplicate_votes.push(key);
            }
        }
        Ok(())
    }

    pub(super) fn is_deleted_everywhere(&self, photo: Uuid) -> bool {
        self.deleted_photos.contains(&photo)
            && self.deleted_in_comment.contains(&photo)
            && self.scores.get(&photo).is_some_and(|score| score.deleted)
    }

    pub(super) fn is_published_everywhere(&self, photo: Uuid) -> bool {
        self.known_to_comment.contains(&photo)
            && !self.deleted_photos.contains(&photo)
            && !self.deleted_in_comment.contains(&photo)
            && self
                .scores
                .get(&photo)
                .is_some_and(|score| score.listed && !score.deleted)
    }

    pub(super) fn comments_on(&self, photo: Uuid) -> i64 {
        self.comment_counts.get(&photo).copied().unwrap_or_default()
    }

    /// The first difference between two nodes.
    pub(super) fn differs_from(&self, other: &Self) -> Option<&'static str> {
        [
            ("accounts", self.accounts == other.accounts),
            ("profiles", self.profiles == other.profiles),
            ("photos", self.photos == other.photos),
            ("deleted photos", self.deleted_photos == other.deleted_photos),
            ("tallies", self.scores == other.scores),
            ("votes", self.votes == other.votes),
            ("comments", self.comments == other.comments),
            ("counters", self.counters == other.counters),
        ]
        .into_iter()
        .find(|(_, is_equal)| !is_equal)
        .map(|(name, _)| name)
    }
}

async fn rows(connection: &mut MySqlConnection, query: &'static str) -> Result<Vec<MySqlRow>> {
    Ok(sqlx::query(query).fetch_all(connection).await?)
}

async fn ids(connection: &mut MySqlConnection, query: &'static str) -> Result<BTreeSet<Uuid>> {
    let rows = rows(connection, query).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
