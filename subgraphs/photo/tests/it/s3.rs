//! The store in a bucket, against a server process that speaks S3.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chassis::config::Secret;
use object_store::GetOptions;
use photo::domain::FileKey;
use photo::files::{Files, StoreConfig};
use photo::reconcile::reconcile;

use crate::support::{Site, picture, png, somebody};

/// A server over a folder with one bucket. Ends with the test.
struct S3Server {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl S3Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut process = Command::new(program())
            .args(["--access-key-id", "us", "--secret-access-key", "our secret"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the server says where it listens")
            .to_owned();
        Self {
            process,
            address,
            folder,
        }
    }

    fn config(&self, secret: &str) -> StoreConfig {
        StoreConfig {
            media_store: "s3://bucket/photos".parse().unwrap(),
            s3_endpoint: Some(format!("http://{}", self.address).parse().unwrap()),
            s3_region: "us-east-1".to_owned(),
            s3_access_key_id: Some(Secret::new("us")),
            s3_access_key_id_file: None,
            s3_secret_access_key: Some(Secret::new(secret)),
            s3_secret_access_key_file: None,
        }
    }

    fn folder_of(&self, key: FileKey) -> PathBuf {
        let key = key.to_string();
        self.folder.path().join("bucket/photos").join(&key[..2]).join(key)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's program beside this test's. Cargo has not built it where only this test was asked for.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("s3-server");
    if !program.exists() {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let built = Command::new(cargo)
            .args(["build", "--bin", "s3-server"])
            .current_dir(workspace)
            .status();
        assert!(built.unwrap().success(), "s3-server does not build");
    }
    program
}

#[tokio::test]
async fn a_bucket_keeps_what_a_folder_keeps() {
    let server = S3Server::start();
    let files = Files::open(&server.config("our secret")).unwrap();
    let site = Site::with(|state| state.files = files.clone()).await;
    let user = somebody();
    let (status, answer) = site.upload(user, "image/png", png(&picture(400, 300))).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
    let id = answer["uploadId"].as_str().unwrap();
    site.publish(user, id, "In a bucket").await.data();
    let key = site.folder_of(id).await;
    let key = FileKey::parse(key.file_name().unwrap().to_str().unwrap()).unwrap();
    assert_eq!(std::fs::read_dir(server.folder_of(key)).unwrap().count(), 5);

    let response = site.client.get(&format!("/media/{key}/320.avif")).await;
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(
        site.client
            .get(&format!("/media/{key}/640.avif"))
            .await
            .status()
            .as_u16(),
        404
    );
    let part = site
        .client
        .with_header("range", "bytes=0-3")
        .get(&format!("/media/{key}/320.jpg"))
        .await;
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-length"]),
        (206, &"4".parse().unwrap())
    );

    // What is lost is made again, and what is deleted is gone.
    std::fs::remove_file(server.folder_of(key).join("320.avif")).unwrap();
    let report = reconcile(&site.state, None).await.unwrap();
    assert_eq!((report.missing_files, report.orphaned_folders), (1, 0));
    assert!(server.folder_of(key).join("320.avif").exists());
    site.delete(user, id).await.data();
    site.sweep().await;
    let gone = files
        .open_file(key, photo::domain::FileName::Master, GetOptions::default())
        .await
        .unwrap();
    assert!(gone.is_none());
    assert_eq!(site.count("garbage").await, 0);
}

#[tokio::test]
async fn a_store_that_refuses_makes_the_upload_unavailable() {
    let server = S3Server::start();
    let files = Files::open(&server.config("a wrong secret")).unwrap();
    let site = Site::with(|state| state.files = files).await;
    let (status, answer) = site.upload(somebody(), "image/png", png(&picture(20, 20))).await;
    assert_eq!(
        (status.as_u16(), answer["code"].as_str()),
        (503, Some("UNAVAILABLE"))
    );
    assert!(!answer.to_string().contains(&server.address));
    assert_eq!(site.count("upload").await, 0);
}

#[test]
fn a_store_that_cannot_be_is_named() {
    let server = S3Server::start();
    for url in [
        "http://example.org/media",
        "s3:///photos",
        "file://elsewhere/media",
    ] {
        let config = StoreConfig {
            media_store: url.parse().unwrap(),
            ..server.config("our secret")
        };
        let error = Files::open(&config).unwrap_err().to_string();
        assert!(error.starts_with("MEDIA_STORE: "), "{error}");
    }
    let config = StoreConfig {
        s3_access_key_id: None,
        ..server.config("our secret")
    };
    let error = Files::open(&config).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"S3_ACCESS_KEY_ID is missing: set it, or set S3_ACCESS_KEY_ID_FILE to a file that holds it");
}
