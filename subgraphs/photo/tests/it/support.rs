use std::io::Cursor;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use chassis::UserId;
use chassis::events::Outbox;
use http_body_util::BodyExt as _;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use photo::domain::{FileKey, PhotoId};
use photo::files::Files;
use photo::imaging_worker::{ImagingWorkers, Limits};
use photo::{MIGRATOR, State};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Client, Issuer, TestClock, TestDatabase};
use uuid::Uuid;

/// A photo service with a separate database and folder.
pub(crate) struct TestService {
    pub db: TestDatabase,
    pub clock: TestClock,
    pub state: State,
    pub client: Client,
    folder: TempDir,
}

impl TestService {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Creates a service with a modified state.
    pub(crate) async fn with(change: impl FnOnce(&mut State)) -> Self {
        Self::on(TestDatabase::new(&MIGRATOR).await, change)
    }

    /// Creates a service with this database.
    pub(crate) fn on(db: TestDatabase, change: impl FnOnce(&mut State)) -> Self {
        let clock = TestClock::default();
        let folder = tempfile::tempdir().unwrap();
        // No server listens there, so events stay in the outbox.
        let subscribers = vec!["vote=http://127.0.0.1:9".parse().unwrap()];
        let mut state = State {
            pool: db.pool.clone(),
            clock: clock.clock(),
            time_zone: chrono_tz::UTC,
            files: Files::in_folder(folder.path()).unwrap(),
            imaging: ImagingWorkers::new(env!("CARGO_BIN_EXE_photo"), Limits::DEFAULT),
            outbox: Outbox::new(subscribers),
            accounts: None,
            wake: std::sync::Arc::default(),
        };
        change(&mut state);
        let base = testkit::base(&state.pool, &clock);
        let client = Client::new(photo::service(&state, &base).into_routes());
        Self {
            db,
            clock,
            state,
            client,
            folder,
        }
    }

    /// Uploads bytes, and returns the response.
    pub(crate) async fn upload(
        &self,
        user: UserId,
        media_type: &str,
        bytes: impl Into<Body>,
    ) -> (StatusCode, Value) {
        answer_of(
            self.client
                .of(user)
                .post("/media/uploads", media_type, bytes)
                .await,
        )
        .await
    }

    /// Uploads a small picture, and returns its id. Each seed gives another picture.
    pub(crate) async fn uploaded(&self, user: UserId, seed: u32) -> String {
        let (status, answer) = self.upload(user, "image/png", png(&picture(24 + seed, 16))).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer["uploadId"].as_str().unwrap().to_owned()
    }

    /// Publishes a small picture, and advances the clock.
    pub(crate) async fn published(&self, user: UserId, seed: u32) -> PhotoId {
        let upload = self.uploaded(user, seed).await;
        let answer = self.publish(user, &upload, &format!("Photo {seed}")).await;
        self.clock.advance(chrono::TimeDelta::seconds(1));
        PhotoId::parse(answer.data()["publishPhoto"]["id"].as_str().unwrap(), "id").unwrap()
    }

    pub(crate) async fn publish(&self, user: UserId, upload: &str, title: &str) -> testkit::Answer {
        let query = "mutation ($input: PublishPhotoInput!) { publishPhoto(input: $input) { id title author { id } } }";
        let input = json!({ "input": { "uploadId": upload, "title": title } });
        self.client.of(user).graphql(query, input).await
    }

    pub(crate) async fn delete(&self, user: UserId, id: impl ToString) -> testkit::Answer {
        let variables = json!({ "id": id.to_string() });
        self.client
            .of(user)
            .graphql("mutation ($id: ID!) { deletePhoto(id: $id) }", variables)
            .await
    }

    pub(crate) async fn sweep(&self) {
        photo::sweep::run(&self.state).await.unwrap();
    }

    /// Returns the folder of a photo's or an upload's files.
    pub(crate) async fn folder_of(&self, id: impl ToString) -> PathBuf {
        let id = Uuid::parse_str(&id.to_string()).unwrap();
        let sql = "SELECT file_key FROM photo WHERE id = ? UNION SELECT file_key FROM upload WHERE id = ?";
        let key: Uuid = sqlx::query_scalar(sql)
            .bind(id)
            .bind(id)
            .fetch_one(&self.db.pool)
            .await
            .unwrap();
        self.folder_of_key(FileKey(key))
    }

    pub(crate) fn folder_of_key(&self, key: FileKey) -> PathBuf {
        let key = key.to_string();
        self.folder.path().join(&key[..2]).join(key)
    }

    /// Returns the number of files in the store.
    pub(crate) fn stored_files(&self) -> usize {
        fn files_in(folder: &std::path::Path) -> usize {
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| if path.is_dir() { files_in(&path) } else { 1 })
                .sum()
        }
        files_in(self.folder.path())
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    /// Returns the events in the outbox, oldest first.
    pub(crate) async fn outbox(&self) -> Vec<(String, Value)> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT kind, data FROM outbox ORDER BY id")
            .fetch_all(&self.db.pool)
            .await
            .unwrap();
        rows.into_iter()
            .map(|(kind, data)| (kind, serde_json::from_str(&data).unwrap()))
            .collect()
    }
}

pub(crate) fn new_user_id() -> UserId {
    UserId(Uuid::new_v4())
}

pub(crate) async fn answer_of(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A request with a token and any headers.
pub(crate) fn request(method: &str, path: &str, user: Option<UserId>) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    match user {
        Some(user) => request.header(header::AUTHORIZATION, format!("Bearer {}", Issuer::token(user))),
        None => request,
    }
}

/// A gradient with a red upper left and a blue lower right quarter.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        if x < width / 2 && y < height / 2 {
            Rgb([220, 30, 30])
        } else if x >= width / 2 && y >= height / 2 {
            Rgb([30, 30, 220])
        } else {
            let level = u8::try_from((x + y) * 255 / (width + height)).unwrap();
            Rgb([level, 200, level])
        }
    })
}

pub(crate) fn png(pixels: &RgbImage) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(pixels.clone()), ImageFormat::Png)
}

pub(crate) fn jpeg(pixels: &RgbImage) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(pixels.clone()), ImageFormat::Jpeg)
}

pub(crate) fn encoded(pixels: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pixels.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// An Exif block (TIFF, big endian) with an orientation, a camera's name and a GPS position.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0\x2A\0\0\0\x08".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [
            &tag.to_be_bytes()[..],
            &kind.to_be_bytes(),
            &count.to_be_bytes(),
            &value,
        ]
        .concat()
    };
    let (make_at, gps_at) = (50_u32, 64_u32);
    tiff.extend(3_u16.to_be_bytes());
    tiff.extend(entry(0x010F, 2, 14, make_at.to_be_bytes()));
    tiff.extend(entry(0x0112, 3, 1, [0, orientation, 0, 0]));
    tiff.extend(entry(0x8825, 4, 1, gps_at.to_be_bytes()));
    tiff.extend([0; 4]);
    tiff.extend(b"Secret Camera\0");
    tiff.extend(2_u16.to_be_bytes());
    tiff.extend(entry(0x0001, 2, 2, *b"N\0\0\0"));
    tiff.extend(entry(0x0002, 5, 3, 94_u32.to_be_bytes()));
    tiff.extend([0; 4]);
    for number in [48_u32, 1, 12, 1, 3344, 100] {
        tiff.extend(number.to_be_bytes());
    }
    tiff
}

/// Adds an application segment after the first marker.
pub(crate) fn with_segment(jpeg: &[u8], marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, data, &jpeg[2..]].concat()
}

pub(crate) fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    with_segment(jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif(orientation)].concat())
}
