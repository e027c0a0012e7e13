//! Rows for the benchmark, as the services would have written them, put in by SQL because ten thousand
//! uploads would take an hour.

use anyhow::{Context, Result};
use chrono::{DateTime, Duration, Utc};
use harness::system::{Durability, Options, System};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::query_builder::Separated;
use sqlx::{Connection, MySql, MySqlConnection, QueryBuilder};
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
    let router = [router, &[("RATE_LIMIT_GRAPHQL", "0"), ("RATE_LIMIT_PAGES", "0")]].concat();
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

    accounts(server, &authors, start).await?;
    profiles(server, &authors, start).await?;
    published(server, &photos).await?;
    votes(server, &photos, &authors).await?;
    comments(server, &photos, &authors, &mut random).await
}

/// A UUIDv7 of that moment.
fn id(random: &mut StdRng, at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).expect("the year is after 1970");
    Builder::from_unix_timestamp_millis(millis, &random.random()).into_uuid()
}

/// Inserts rows into a schema. `statement` ends before `VALUES`.
async fn insert_rows<T>(
    server: &str,
    schema: &str,
    statement: &str,
    rows: impl IntoIterator<Item = T>,
    mut bind: impl FnMut(&mut Separated<'_, MySql, &'static str>, T),
) -> Result<()> {
    let mut connection = MySqlConnection::connect(&format!("{server}/{schema}"))
        .await
        .context(schema.to_owned())?;
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut insert = QueryBuilder::new(statement);
        insert.push_values(rows.by_ref().take(ROWS_PER_INSERT), |mut row, item| {
            bind(&mut row, item);
        });
        insert.build().execute(&mut connection).await?;
    }
    Ok(())
}

/// Accounts without a usable password; without them the reconcilers would remove everything else.
async fn accounts(server: &str, authors: &[Uuid], created_at: DateTime<Utc>) -> Result<()> {
    let statement = "INSERT INTO account (id, email, email_folded, password_hash, created_at) ";
    let rows = authors.iter().enumerate();
    insert_rows(
        server,
        "authentication",
        statement,
        rows,
        |row, (number, author)| {
            let email = format!("author-{number}@bench.example");
            row.push_bind(*author)
                .push_bind(email.clone())
                .push_bind(email)
                .push_bind("")
                .push_bind(created_at);
        },
    )
    .await
}

async fn profiles(server: &str, authors: &[Uuid], joined_at: DateTime<Utc>) -> Result<()> {
    let statement = "INSERT INTO profile (id, username, display_name, bio, joined_at) ";
    let rows = authors.iter().enumerate();
    insert_rows(server, "profile", statement, rows, |row, (number, author)| {
        row.push_bind(*author)
            .push_bind(format!("author-{number}"))
            .push_bind(format!("Author {number}"))
            .push_bind("Takes a camera along.")
            .push_bind(joined_at);
    })
    .await
}

async fn published(server: &str, photos: &[Photo]) -> Result<()> {
    let statement = "INSERT INTO photo (id, author_id, file_key, title, alt_text, width, height, placeholder, published_at, hot_day) ";
    insert_rows(server, "photo", statement, photos, |row, photo| {
        row.push_bind(photo.id)
            .push_bind(photo.author)
            .push_bind(photo.id)
            .push_bind("A title of the usual length")
            .push_bind("What the picture shows, in one sentence of the usual length.")
            .push_bind(3000_u16)
            .push_bind(2000_u16)
            .push_bind(vec![0x9A_u8; 24])
            .push_bind(photo.published_at)
            .push_bind(photo.published_at.date_naive());
    })
    .await
}

async fn votes(server: &str, photos: &[Photo], voters: &[Uuid]) -> Result<()> {
    let statement = "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day, up, down) ";
    insert_rows(server, "vote", statement, photos, |row, photo| {
        row.push_bind(photo.id)
            .push_bind(photo.author)
            .push_bind(photo.published_at)
            .push_bind(photo.published_at.date_naive())
            .push_bind(photo.up)
            .push_bind(photo.down);
    })
    .await?;
    // The votes agree with the tallies: the first voters are for it, the next ones against.
    let choices = photos.iter().flat_map(|photo| {
        let count = |votes: i32| usize::try_from(votes).unwrap_or_default();
        let values =
            std::iter::repeat_n(1_i8, count(photo.up)).chain(std::iter::repeat_n(-1, count(photo.down)));
        values
            .zip(voters)
            .map(move |(value, voter)| (photo, *voter, value))
    });
    let statement = "INSERT INTO vote (photo_id, user_id, value, cast_at) ";
    insert_rows(
        server,
        "vote",
        statement,
        choices,
        |row, (photo, voter, value)| {
            row.push_bind(photo.id)
                .push_bind(voter)
                .push_bind(value)
                .push_bind(photo.published_at);
        },
    )
    .await
}

/// From none to six under each photo.
async fn comments(server: &str, photos: &[Photo], authors: &[Uuid], random: &mut StdRng) -> Result<()> {
    let statement = "INSERT INTO known_photo (id, author_id, published_at) ";
    insert_rows(server, "comment", statement, photos, |row, photo| {
        row.push_bind(photo.id)
            .push_bind(photo.author)
            .push_bind(photo.published_at);
    })
    .await?;
    let mut remarks = Vec::new();
    for photo in photos {
        for minute in 0..random.random_range(0..=6) {
            let at = photo.published_at + Duration::minutes(minute);
            let author = authors[random.random_range(0..authors.len())];
            remarks.push((id(random, at), photo.id, author, at));
        }
    }
    let statement = "INSERT INTO comment (id, photo_id, author_id, body, created_at) ";
    insert_rows(
        server,
        "comment",
        statement,
        remarks,
        |row, (id, photo, author, at)| {
            row.push_bind(id)
                .push_bind(photo)
                .push_bind(author)
                .push_bind("A remark of the usual length, about the light and what it does.")
                .push_bind(at);
        },
    )
    .await
}
