//! The store in a bucket, with real S3 servers.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use chassis::objects::StoreConfig;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStoreExt as _};
use photo::domain::FileKey;
use photo::files::Files;
use photo::reconcile;

use crate::support::{TestService, new_user_id, picture, png};

/// A server with one bucket. Ends with the test.
struct S3Server {
    process: Child,
    address: String,
    region: &'static str,
    key: (&'static str, &'static str),
    _folder: tempfile::TempDir,
}

impl S3Server {
    /// The development server of this workspace (`xtask/s3`).
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
            .expect("the server prints its address")
            .to_owned();
        Self {
            process,
            address,
            region: "us-east-1",
            key: ("us", "our secret"),
            _folder: folder,
        }
    }

    /// Garage with the settings of the stack, except for addresses.
    fn garage(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = (
            "GK31c2f218a2e44f485b94239e",
            "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835",
        );
        let settings = include_str!("../../../../compose/objects/garage.toml");
        let [s3, rpc, admin] = [(); 3].map(|()| free_address());
        let settings = settings
            .replace("/var/lib/objects", &folder.path().display().to_string())
            .replace("0.0.0.0:3900", &s3.to_string())
            .replace("127.0.0.1:3901", &rpc.to_string())
            .replace("0.0.0.0:3903", &admin.to_string());
        let file = folder.path().join("garage.toml");
        std::fs::write(&file, settings).unwrap();
        let mut secret = String::new();
        for byte in 0..32 {
            write!(secret, "{byte:02x}").unwrap();
        }
        let process = Command::new(program)
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_CONFIG_FILE", file)
            .env("GARAGE_RPC_SECRET", secret)
            .env("GARAGE_DEFAULT_BUCKET", "bucket")
            .env("GARAGE_DEFAULT_ACCESS_KEY", key.0)
            .env("GARAGE_DEFAULT_SECRET_KEY", key.1)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(s3).is_err() {
            assert!(Instant::now() < until, "Garage does not respond");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            process,
            address: s3.to_string(),
            region: "garage",
            key,
            _folder: folder,
        }
    }

    fn config(&self) -> StoreConfig {
        StoreConfig {
            media_store: "s3://bucket/photos".parse().unwrap(),
            s3_endpoint: Some(format!("http://{}", self.address).parse().unwrap()),
            s3_region: self.region.to_owned(),
            s3_access_key_id: Some(Secret::new(self.key.0)),
            s3_access_key_id_file: None,
            s3_secret_access_key: Some(Secret::new(self.key.1)),
            s3_secret_access_key_file: None,
        }
    }

    /// Deletes a file behind the service's back.
    async fn delete_file(&self, key: FileKey, name: &str) {
        let bucket = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region(self.region)
            .with_access_key_id(self.key.0)
            .with_secret_access_key(self.key.1)
            .with_endpoint(format!("http://{}", self.address))
            .with_allow_http(true)
            .build()
            .unwrap();
        let key = key.to_string();
        let path = ObjectPath::from_iter(["photos", &key[..2], &key, name]);
        assert!(bucket.head(&path).await.is_ok(), "{path} is there");
        bucket.delete(&path).await.unwrap();
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Returns the path of the server's program, and builds it if it is missing.
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
async fn a_bucket_works_like_a_folder() {
    check_server(&S3Server::start()).await;
}

/// `compose/base garage` describes how the program is compiled.
#[tokio::test]
#[ignore = "needs Garage, whose program the variable GARAGE names"]
async fn garage_works_like_a_folder() {
    let program = std::env::var("GARAGE").expect("GARAGE names the program");
    check_server(&S3Server::garage(&program)).await;
}

async fn check_server(server: &S3Server) {
    let files = Files::open(&server.config()).unwrap();
    let site = TestService::with(|state| state.files = files.clone()).await;
    let user = new_user_id();
    let (status, answer) = site.upload(user, "image/png", png(&picture(400, 300))).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
    let id = answer["uploadId"].as_str().unwrap();
    site.publish(user, id, "In a bucket").await.data();
    let key = site.folder_of(id).await;
    let key = FileKey::parse(key.file_name().unwrap().to_str().unwrap()).unwrap();
    assert_eq!(files.names(key).await.unwrap().len(), 5);

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

    // Lost files are restored, and deleted photos have no files.
    server.delete_file(key, "320.avif").await;
    assert_eq!(files.names(key).await.unwrap().len(), 4);
    let report = reconcile::run(&site.state).await.unwrap();
    assert_eq!((report.missing_files, report.orphaned_folders), (1, 0));
    assert_eq!(files.names(key).await.unwrap().len(), 5);
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
async fn a_refusing_store_makes_uploads_unavailable() {
    let server = S3Server::start();
    let config = StoreConfig {
        s3_secret_access_key: Some(Secret::new("a wrong secret")),
        ..server.config()
    };
    let files = Files::open(&config).unwrap();
    let site = TestService::with(|state| state.files = files).await;
    let (status, answer) = site
        .upload(new_user_id(), "image/png", png(&picture(20, 20)))
        .await;
    assert_eq!(
        (status.as_u16(), answer["code"].as_str()),
        (503, Some("UNAVAILABLE"))
    );
    assert!(!answer.to_string().contains(&server.address));
    assert_eq!(site.count("upload").await, 0);
}

#[tokio::test]
async fn an_unreachable_store_is_reported_in_time() {
    let server = S3Server::start();
    let files = Files::open(&server.config()).unwrap();
    drop(server);
    let site = TestService::with(|state| state.files = files).await;
    let began = Instant::now();
    let (status, answer) = site
        .upload(new_user_id(), "image/png", png(&picture(20, 20)))
        .await;
    assert_eq!(
        (status.as_u16(), answer["code"].as_str()),
        (503, Some("UNAVAILABLE"))
    );
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn invalid_store_settings_are_named() {
    let server = S3Server::start();
    for url in [
        "http://example.org/media",
        "s3:///photos",
        "file://elsewhere/media",
    ] {
        let config = StoreConfig {
            media_store: url.parse().unwrap(),
            ..server.config()
        };
        let error = Files::open(&config).unwrap_err().to_string();
        assert!(error.starts_with("MEDIA_STORE: "), "{error}");
    }
    let config = StoreConfig {
        s3_access_key_id: None,
        ..server.config()
    };
    let error = Files::open(&config).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"S3_ACCESS_KEY_ID is missing: set it, or set S3_ACCESS_KEY_ID_FILE to a file that holds it");
}
