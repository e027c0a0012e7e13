//! Rows for the benchmark, as the services would have written them, put in by SQL because ten thousand
//! uploads would take an hour.

use anyhow::{Context, Result};
use chrono::{DateTime, Duration, Utc};
use harness::system::{Durability, Options, System};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, MySqlConnection, QueryBuilder};
use uuid::{Builder, Uuid};

/// Photos per author, about as in a club where everybody posts.
const PHOTOS_PER_AUTHOR: usize = 20;
/// Rows in one statement.
const ROWS_PER_INSERT: usize = 500;

struct Photo {
    id: Uuid,
    author: Uuid,
    published_at: DateTime<Utc>,
    up: i32,
    down: i32,
}

/// The running system with so many photos, and a router with these settings.
pub(crate) async fn start(photos: u32, router: &[(&str, &str)]) -> Result<System> {
    // All clients share one address.
    let router = [router, &[("RATE_LIMIT_GRAPHQL", "0")]].concat();
    let setting = |(name, value): (&str, &str)| ("router".to_owned(), name.to_owned(), value.to_owned());
    eprintln!("bench: starting the system");
    let system = System::start(Options {
        durability: Durability::Safe,
        environment: router.into_iter().map(setting).collect(),
        ..Options::default()
    })
    .await?;
    eprintln!("bench: inserting {photos} photos");
    insert(&system.admin_database_url(), photos).await?;
    Ok(system)
}

/// Fills the schemas of profile, photo, vote and comment.
async fn insert(server: &str, photos: u32) -> Result<()> {
    let mut random = StdRng::seed_from_u64(4999);
    let photos = usize::try_from(photos)?;
    let start = Utc::now() - Duration::minutes(i64::try_from(photos)? * 5);
    let authors: Vec<Uuid> = (0..photos.div_ceil(PHOTOS_PER_AUTHOR))
        .map(|_| id(&mut random, start))
        .collect();
    let photos: Vec<Photo> = (0..photos)
        .map(|number| {
            let published_at = start + Duration::minutes(i64::try_from(number).unwrap_or_default() * 5);
            Photo {
                id: id(&mut random, published_at),
                author: authors[random.random_range(0..authors.len())],
                published_at,
                up: random.random_range(0..12),
                down: random.random_range(0..5),
            }
        })
        .collect();

    accounts(server, &authors, start).await.context("accounts")?;
    profiles(server, &authors, start).await.context("profiles")?;
    published(server, &photos).await.context("photos")?;
    votes(server, &photos, &authors).await.context("votes")?;
    comments(server, &photos, &authors, &mut random)
        .await
        .context("comments")
}

/// A UUIDv7 of that moment.
fn id(random: &mut StdRng, at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).expect("the year is after 1970");
    Builder::from_unix_timestamp_millis(millis, &random.random()).into_uuid()
}

async fn connect(server: &str, schema: &str) -> Result<MySqlConnection> {
    Ok(MySqlConnection::connect(&format!("{server}/{schema}")).await?)
}

/// Accounts without a usable password; without them the reconcilers would remove everything else.
async fn accounts(server: &str, authors: &[Uuid], created_at: DateTime<Utc>) -> Result<()> {
    let mut connection = connect(server, "authentication").await?;
    for (batch, part) in authors.chunks(ROWS_PER_INSERT).enumerate() {
        let mut insert =
            QueryBuilder::new("INSERT INTO account (id, email, email_folded, password_hash, created_at) ");
        insert.push_values(part.iter().enumerate(), |mut row, (number, author)| {
            let email = format!("author-{}@bench.example", batch * ROWS_PER_INSERT + number);
            row.push_bind(author)
                .push_bind(email.clone())
                .push_bind(email)
                .push_bind("")
                .push_bind(created_at);
        });
        insert.build().execute(&mut connection).await?;
    }
    Ok(())
}

async fn profiles(server: &str, authors: &[Uuid], joined_at: DateTime<Utc>) -> Result<()> {
    let mut connection = connect(server, "profile").await?;
    for (batch, part) in authors.chunks(ROWS_PER_INSERT).enumerate() {
        let mut insert =
            QueryBuilder::new("INSERT INTO profile (id, username, display_name, bio, joined_at) ");
        insert.push_values(part.iter().enumerate(), |mut row, (number, author)| {
            let number = batch * ROWS_PER_INSERT + number;
            row.push_bind(author)
                .push_bind(format!("author-{number}"))
                .push_bind(format!("Author {number}"))
                .push_bind("Takes a camera along.")
                .push_bind(joined_at);
        });
        insert.build().execute(&mut connection).await?;
    }
    Ok(())
}

async fn published(server: &str, photos: &[Photo]) -> Result<()> {
    let mut connection = connect(server, "photo").await?;
    for part in photos.chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO photo (id, author_id, file_key, title, alt_text, width, height, placeholder, published_at, hot_day) ",
        );
        insert.push_values(part, |mut row, photo| {
            row.push_bind(photo.id)
                .push_bind(photo.author)
                .push_bind(photo.id)
                .push_bind("A title of the usual length")
                .push_bind("What the picture shows, in one sentence of the usual length.")
                .push_bind(3000_u16)
                .push_bind(2000_u16)
                .push_bind([0x9A_u8; 24].as_slice())
                .push_bind(photo.published_at)
                .push_bind(photo.published_at.date_naive());
        });
        insert.build().execute(&mut connection).await?;
    }
    Ok(())
}

async fn votes(server: &str, photos: &[Photo], voters: &[Uuid]) -> Result<()> {
    let mut connection = connect(server, "vote").await?;
    for part in photos.chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day, up, down) ",
        );
        insert.push_values(part, |mut row, photo| {
            row.push_bind(photo.id)
                .push_bind(photo.author)
                .push_bind(photo.published_at)
                .push_bind(photo.published_at.date_naive())
                .push_bind(photo.up)
                .push_bind(photo.down);
        });
        insert.build().execute(&mut connection).await?;

        // The ledger agrees with the tallies: the first voters are for it, the next ones against.
        let ledger: Vec<_> = part
            .iter()
            .flat_map(|photo| {
                let values = std::iter::repeat_n(1_i8, usize::try_from(photo.up).unwrap_or_default()).chain(
                    std::iter::repeat_n(-1, usize::try_from(photo.down).unwrap_or_default()),
                );
                values
                    .zip(voters)
                    .map(|(value, voter)| (photo.id, *voter, value, photo.published_at))
            })
            .collect();
        for part in ledger.chunks(ROWS_PER_INSERT) {
            let mut insert = QueryBuilder::new("INSERT INTO vote (photo_id, user_id, value, cast_at) ");
            insert.push_values(part, |mut row, (photo, voter, value, at)| {
                row.push_bind(photo)
                    .push_bind(voter)
                    .push_bind(value)
                    .push_bind(at);
            });
            insert.build().execute(&mut connection).await?;
        }
    }
    Ok(())
}

/// From none to six under each photo.
async fn comments(server: &str, photos: &[Photo], authors: &[Uuid], random: &mut StdRng) -> Result<()> {
    let mut connection = connect(server, "comment").await?;
    for part in photos.chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::new("INSERT INTO known_photo (id, author_id, published_at) ");
        insert.push_values(part, |mut row, photo| {
            row.push_bind(photo.id)
                .push_bind(photo.author)
                .push_bind(photo.published_at);
        });
        insert.build().execute(&mut connection).await?;

        let mut remarks = Vec::new();
        for photo in part {
            for minute in 0..random.random_range(0..=6) {
                let at = photo.published_at + Duration::minutes(minute);
                remarks.push((
                    id(random, at),
                    photo.id,
                    authors[random.random_range(0..authors.len())],
                    at,
                ));
            }
        }
        for part in remarks.chunks(ROWS_PER_INSERT) {
            let mut insert =
                QueryBuilder::new("INSERT INTO comment (id, photo_id, author_id, body, created_at) ");
            insert.push_values(part, |mut row, (id, photo, author, at)| {
                let body = "A remark of the usual length, about the light and what it does.";
                row.push_bind(id)
                    .push_bind(photo)
                    .push_bind(author)
                    .push_bind(body)
                    .push_bind(at);
            });
            insert.build().execute(&mut connection).await?;
        }
    }
    Ok(())
}
