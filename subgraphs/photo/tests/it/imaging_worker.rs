//! Pictures that crash a decoder, and compromised decoders: only their process is affected.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use axum::http::StatusCode;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use image::{Rgb, RgbImage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use photo::imaging_worker::{ImagingWorkers, Limits};
use serde_json::{Value, json};

use crate::service::{Service, exchange, wait_until_ended};
use crate::support::{TestService, new_user_id, picture, png};

/// A picture whose AVIF files take seconds to encode. Each seed gives another picture.
fn slow_picture(seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    png(&RgbImage::from_fn(1600, 1200, |_, _| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let [r, g, b, _] = state.to_le_bytes();
        Rgb([r, g, b])
    }))
}

/// A PNG of 50 megapixels with four channels of 16 bits: 400 MB of pixels in a file of less than 1 MB.
fn large_picture(seed: u8) -> Vec<u8> {
    const SIDE: u32 = 7071;
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::fast());
    for y in 0..SIDE {
        let level = seed.wrapping_add(u8::try_from(y * 200 / SIDE).unwrap());
        // Filter type 0.
        pixels.write_all(&[0]).unwrap();
        let row = [level, 0, 120, 0, 60, 0, 255, 255].repeat(SIDE as usize);
        pixels.write_all(&row).unwrap();
    }
    let header = [&SIDE.to_be_bytes()[..], &SIDE.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [
        (b"IHDR", header),
        (b"IDAT", pixels.finish().unwrap()),
        (b"IEND", Vec::new()),
    ] {
        let length = u32::try_from(data.len()).unwrap();
        let body = [&kind[..], &data].concat();
        let mut checksum = Crc::new();
        checksum.update(&body);
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes.extend(checksum.sum().to_be_bytes());
    }
    bytes
}

async fn site_with(limits: Limits) -> TestService {
    TestService::with(|state| state.imaging = ImagingWorkers::new(env!("CARGO_BIN_EXE_photo"), limits)).await
}

fn signal(process: u32, signal: Signal) {
    kill(Pid::from_raw(process.cast_signed()), signal).unwrap();
}

#[tokio::test]
async fn a_worker_can_only_compute() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let request = json!({
        "parent": std::process::id(),
        "memory": 64 << 20,
        "cpu_seconds": 10,
        "task": { "probe": { "address": listener.local_addr().unwrap() } },
    });
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_photo"))
        .args(["imaging-worker", &request.to_string()])
        .output()
        .await
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(found, json!({ "missingLayers": [], "allowed": [] }));
    assert!(output.status.success());
}

#[tokio::test]
async fn a_picture_that_needs_too_much_memory_is_refused() {
    let site = site_with(Limits {
        memory: 24 << 20,
        ..Limits::DEFAULT
    })
    .await;
    let (status, answer) = site.upload(new_user_id(), "image/png", large_picture(0)).await;
    assert_eq!(
        (status, &answer["reason"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &"too_much_memory".into()),
        "{answer}"
    );
    // The next upload is processed as usual.
    let (status, answer) = site
        .upload(new_user_id(), "image/png", png(&picture(40, 30)))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

#[tokio::test]
async fn a_picture_that_takes_too_long_is_refused() {
    for limits in [
        Limits {
            time: Duration::from_millis(200),
            ..Limits::DEFAULT
        },
        Limits {
            cpu: Duration::from_secs(1),
            ..Limits::DEFAULT
        },
    ] {
        let site = site_with(limits).await;
        let (status, answer) = site.upload(new_user_id(), "image/png", slow_picture(1)).await;
        assert_eq!(
            (status, &answer["reason"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &"too_slow".into()),
            "{answer}"
        );
        assert_eq!(site.count("upload").await, 0);
    }
}

#[tokio::test]
async fn an_upload_can_be_retried_if_the_worker_cannot_start() {
    let site =
        TestService::with(|state| state.imaging = ImagingWorkers::new("/nonexistent", Limits::DEFAULT)).await;
    let (status, answer) = site.upload(new_user_id(), "image/png", png(&picture(9, 9))).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"UNAVAILABLE".into())
    );
}

#[tokio::test]
async fn invalid_output_of_a_worker_is_rejected() {
    for program in ["/bin/true", "/bin/false", "/bin/echo"] {
        let site =
            TestService::with(|state| state.imaging = ImagingWorkers::new(program, Limits::DEFAULT)).await;
        let (status, answer) = site.upload(new_user_id(), "image/png", png(&picture(9, 9))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{program}: {answer}");
    }
}

#[tokio::test]
async fn a_crashing_decoder_only_ends_its_process() {
    let service = Service::start().await;
    let user = new_user_id();
    let mut connection = service.send(user, &slow_picture(2)).await;
    let first = service.worker().await;
    signal(first, Signal::SIGILL);
    // Repeated once, with all of the memory.
    signal(service.other_worker(first).await, Signal::SIGILL);
    let (status, answer) = exchange(&mut connection, b"").await.unwrap();
    assert_eq!(
        (status, &answer["reason"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &"unreadable".into()),
        "{answer}"
    );
    let crashed = service
        .metric("proofsheet_imaging_workers_total{outcome=\"crashed\"}")
        .await;
    assert!((crashed - 2.0).abs() < f64::EPSILON, "{crashed}");
    let (status, answer) = service.upload(user, &png(&picture(40, 30))).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

#[tokio::test]
async fn a_worker_ends_with_its_client_and_with_its_service() {
    let mut service = Service::start().await;
    let connection = service.send(new_user_id(), &slow_picture(3)).await;
    let worker = service.worker().await;
    drop(connection);
    assert!(wait_until_ended(&[worker]).await);
    assert_eq!(service.workers(), [] as [u32; 0]);
    let uploads: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM upload")
        .fetch_one(&service.db.pool)
        .await
        .unwrap();
    assert_eq!(uploads, 0);

    let _connection = service.send(new_user_id(), &slow_picture(4)).await;
    let worker = service.worker().await;
    service.kill().await;
    assert!(wait_until_ended(&[worker]).await);
}

#[tokio::test]
async fn uploads_wait_in_order_for_two_workers() {
    let service = Service::start().await;
    let watch = service.watch();
    let mut uploads = Vec::new();
    for seed in 0..10 {
        let mut connection = service.send(new_user_id(), &png(&picture(700 + seed, 500))).await;
        uploads.push(tokio::spawn(async move {
            let answer = exchange(&mut connection, b"").await.unwrap();
            (answer, std::time::Instant::now())
        }));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut ends = Vec::new();
    for upload in uploads {
        let ((status, answer), end) = upload.await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        ends.push(end);
    }
    // Concurrent workers may end in another order.
    for (at, end) in ends.iter().enumerate() {
        assert!(ends.iter().skip(at + 4).all(|later| later > end), "{ends:?}");
    }
    let peak = watch.peak();
    assert_eq!(peak.workers, 2);
    assert!(peak.service < 300, "{peak:?}");
}

#[tokio::test]
async fn two_of_the_largest_pictures_stay_within_the_memory_limit() {
    let service = Service::start().await;
    let pictures = [large_picture(1), large_picture(2)];
    let watch = service.watch();
    let answers = futures::future::join_all(
        pictures
            .iter()
            .map(|picture| service.upload(new_user_id(), picture)),
    )
    .await;
    let peak = watch.peak();
    println!("{peak:?}");
    for (status, answer) in answers {
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    assert!(peak.service < 300, "{peak:?}");
    assert!(peak.total < 600, "{peak:?}");
}
