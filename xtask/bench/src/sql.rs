//! The same page as bare statements: what the services ask MariaDB for it, and nothing around it.

use anyhow::{Result, ensure};
use chrono::{DateTime, Duration, Utc};
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{ConnectOptions, MySqlConnection, Row};
use uuid::Uuid;

use crate::load::Client;

const LATEST: &str = "SELECT id, author_id, file_key, title, alt_text, width, height, placeholder, published_at, hot_day \
     FROM photo.photo WHERE (published_at < ? OR (published_at = ? AND id < ?)) \
     AND NOT EXISTS (SELECT 1 FROM photo.departed_account d WHERE d.user_id = photo.author_id) \
     ORDER BY published_at DESC, id DESC LIMIT 25";
const AUTHORS: &str = "SELECT id, username, display_name, bio, joined_at FROM profile.profile WHERE id IN ";
const TALLIES: &str = "SELECT p.photo_id, p.listed, CAST(p.up + COALESCE(SUM(d.up), 0) AS SIGNED), \
     CAST(p.down + COALESCE(SUM(d.down), 0) AS SIGNED) FROM vote.photo_score p \
     LEFT JOIN vote.vote_delta d ON d.photo_id = p.photo_id WHERE p.photo_id IN ";
const COUNTS: &str =
    "SELECT photo_id, COUNT(*) FROM comment.comment WHERE deleted_at IS NULL AND photo_id IN ";

/// How many ids a page's lists have: the photos of one page.
const PAGE: usize = 24;

/// One connection that asks the statements of a page, one after the other as the data demands.
pub(crate) struct Statements {
    connection: MySqlConnection,
    authors: String,
    tallies: String,
    counts: String,
    tomorrow: DateTime<Utc>,
}

impl Statements {
    pub(crate) async fn connect(server: &str) -> Result<Self> {
        let options: MySqlConnectOptions = server.parse()?;
        let connection = options.disable_statement_logging().connect().await?;
        let marks = format!("({})", vec!["?"; PAGE].join(", "));
        Ok(Self {
            connection,
            authors: format!("{AUTHORS}{marks}"),
            tallies: format!("{TALLIES}{marks} GROUP BY p.photo_id"),
            counts: format!("{COUNTS}{marks} GROUP BY photo_id"),
            // Every photo is older, and a TIMESTAMP, as which it is sent, can hold it.
            tomorrow: Utc::now() + Duration::days(1),
        })
    }

    async fn by_ids(
        connection: &mut MySqlConnection,
        statement: &str,
        ids: &[Uuid],
    ) -> Result<Vec<MySqlRow>> {
        // Every list has the same length, as the services pad theirs, so that it is prepared once.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
        for id in ids {
            query = query.bind(id);
        }
        Ok(query.fetch_all(connection).await?)
    }
}

impl Client for Statements {
    async fn once(&mut self) -> Result<()> {
        let photos = sqlx::query(LATEST)
            .bind(self.tomorrow)
            .bind(self.tomorrow)
            .bind(Uuid::max())
            .fetch_all(&mut self.connection)
            .await?;
        ensure!(photos.len() > PAGE, "the page has {} photos", photos.len());
        let ids: Vec<Uuid> = photos[..PAGE].iter().map(|row| row.get(0)).collect();
        let authors: Vec<Uuid> = photos[..PAGE].iter().map(|row| row.get(1)).collect();
        let authors = Self::by_ids(&mut self.connection, &self.authors, &authors).await?;
        ensure!(!authors.is_empty(), "the authors have no profiles");
        let tallies = Self::by_ids(&mut self.connection, &self.tallies, &ids).await?;
        ensure!(tallies.len() == PAGE, "{} photos have a tally", tallies.len());
        Self::by_ids(&mut self.connection, &self.counts, &ids).await?;
        Ok(())
    }
}
