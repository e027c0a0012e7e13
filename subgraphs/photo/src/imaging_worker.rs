//! Decodes and encodes each picture in a separate, sandboxed process.
//!
//! If a picture crashes a decoder, only that process ends. It runs this program with the subcommand `imaging-worker`:
//! [`child`] is its code, `protocol` the communication, `sandbox` its restrictions.
//!
//! Memory is the budget: [`MAX_CONCURRENT_DECODES`] workers run concurrently, each with an equal share. A worker that
//! runs out of memory is repeated with all shares, while no other one runs.

pub mod child;
mod protocol;
mod sandbox;

pub use protocol::{Request, Task};

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use chassis::telemetry::measure::Metric;
use imaging::{PictureError, Processed, Rendition};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::protocol::{Output, Response};
use crate::error::Error;

/// The number of pictures that are decoded and encoded concurrently.
pub const MAX_CONCURRENT_DECODES: u32 = 2;

/// The maximum size of a worker's stored error output, in bytes.
const MAX_DIAGNOSTICS: u64 = 4096;

/// The metrics of the workers.
pub(crate) const METRICS: [Metric; 2] = [
    Metric::Counter(
        "proofsheet_imaging_workers_total",
        "Processes that decoded a picture, by outcome.",
    ),
    Metric::Gauge(
        "proofsheet_uploads_waiting",
        "Received uploads that wait for decoding.",
    ),
];

/// The limits of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The memory of each of [`MAX_CONCURRENT_DECODES`] workers, in bytes.
    pub memory: u64,
    /// CPU time.
    pub cpu: Duration,
    /// Wall-clock time.
    pub time: Duration,
}

impl Limits {
    /// Measured: see `docs/failures.md`.
    pub const DEFAULT: Self = Self {
        memory: 224 * 1024 * 1024,
        cpu: Duration::from_secs(60),
        time: Duration::from_secs(240),
    };
}

/// Starts workers. Cheap to clone; clones share the concurrency limit.
#[derive(Debug, Clone)]
pub struct ImagingWorkers {
    program: PathBuf,
    limits: Limits,
    permits: Arc<Semaphore>,
}

/// Why processing failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The picture was refused.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The picture needs more time than the limit.
    #[error("This picture takes too long to process. Save it again as a JPEG, then upload that.")]
    TooSlow,
    /// An error of the service.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// How a worker without a result ended.
enum Ended {
    Refused(PictureError),
    OutOfTime,
    /// Without a valid response. Libraries that run out of memory may end in any way.
    Crashed {
        status: ExitStatus,
        reason: String,
    },
    Failed(Error),
}

impl Ended {
    fn label(&self) -> &'static str {
        match self {
            Self::Refused(PictureError::TooMuchMemory) => "out_of_memory",
            Self::Refused(_) => "refused",
            Self::OutOfTime => "out_of_time",
            Self::Crashed { .. } => "crashed",
            Self::Failed(_) => "not_started",
        }
    }
}

impl ImagingWorkers {
    /// Creates workers that run `program`: [`Self::THIS_PROGRAM`] except in tests.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            program: program.into(),
            limits,
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_DECODES as usize)),
        }
    }

    /// The running program, even if its file is replaced.
    pub const THIS_PROGRAM: &'static str = "/proc/self/exe";

    /// Waits for a share of the memory, in the order of the calls.
    pub async fn share(&self) -> Share<'_> {
        Share {
            workers: self,
            permit: self.acquire(1).await,
        }
    }

    /// Encodes renditions from a master.
    pub async fn reencode(
        &self,
        master: Bytes,
        renditions: Vec<Rendition>,
    ) -> Result<Vec<imaging::File>, WorkerError> {
        let input = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&master)?;
            Ok::<_, std::io::Error>(file)
        });
        let input = input.await.map_err(Error::from)?.map_err(Error::from)?;
        match self
            .share()
            .await
            .run(&input, &Task::Reencode(renditions))
            .await?
        {
            Output::Reencoded(files) => Ok(files),
            Output::Processed(_) => Err(PictureError::Unreadable.into()),
        }
    }

    async fn acquire(&self, permits: u32) -> OwnedSemaphorePermit {
        let _waiting = Waiting::new();
        Arc::clone(&self.permits)
            .acquire_many_owned(permits)
            .await
            .expect("this semaphore is never closed")
    }

    async fn run(&self, input: &File, task: &Task, memory: u64) -> Result<Output, Ended> {
        let mut outcome = Outcome("cancelled");
        let result = self.run_uncounted(input, task, memory).await;
        outcome.0 = match &result {
            Ok(_) => "done",
            Err(ended) => ended.label(),
        };
        result
    }

    async fn run_uncounted(&self, input: &File, task: &Task, memory: u64) -> Result<Output, Ended> {
        let request = Request {
            parent: std::process::id(),
            memory,
            cpu_seconds: self.limits.cpu.as_secs().max(1),
            task: task.clone(),
        };
        let mut input = input.try_clone().map_err(failed)?;
        input.rewind().map_err(failed)?;
        let mut worker = Command::new(&self.program)
            .arg("imaging-worker")
            .arg(serde_json::to_string(&request).map_err(failed)?)
            // No variables of the service, which contain secrets. One arena, because each arena reserves memory.
            .env_clear()
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            .stdin(Stdio::from(input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(mut stdout), Some(stderr)) = (worker.stdout.take(), worker.stderr.take()) else {
            return Err(failed(std::io::Error::other("a worker without its streams")));
        };
        let conversation = async {
            let (response, diagnostics) =
                tokio::join!(protocol::read(&mut stdout, task), read_diagnostics(stderr));
            // After an invalid response, do not wait for more.
            drop(stdout);
            if response.is_err() {
                let _ = tokio::time::timeout(Duration::from_secs(1), worker.wait()).await;
                let _ = worker.start_kill();
            }
            Ok::<_, std::io::Error>((response, diagnostics, worker.wait().await?))
        };
        let Ok(ended) = tokio::time::timeout(self.limits.time, conversation).await else {
            return Err(Ended::OutOfTime);
        };
        let (response, diagnostics, status) = ended.map_err(failed)?;
        match response {
            Ok(Response {
                missing_layers,
                result,
            }) if status.success() => {
                warn_once(&missing_layers);
                result.map_err(Ended::Refused)
            }
            _ if status.signal() == Some(Signal::XCPU.as_raw()) => Err(Ended::OutOfTime),
            // Killed by the kernel, which ran out of memory, or after a failed allocation.
            _ if status.signal() == Some(Signal::KILL.as_raw())
                || diagnostics.contains("memory allocation of")
                || diagnostics.contains("TryReserveError") =>
            {
                Err(Ended::Refused(PictureError::TooMuchMemory))
            }
            response => Err(Ended::Crashed {
                status,
                reason: match response {
                    Err(error) if diagnostics.is_empty() => chassis::error::chain(&error),
                    _ => diagnostics,
                },
            }),
        }
    }
}

/// The memory for one worker. Released when dropped.
#[derive(Debug)]
pub struct Share<'w> {
    workers: &'w ImagingWorkers,
    permit: OwnedSemaphorePermit,
}

impl Share<'_> {
    /// Encodes all files of a photo.
    pub async fn process(self, picture: &File) -> Result<Processed, WorkerError> {
        match self.run(picture, &Task::Process).await? {
            Output::Processed(processed) => Ok(processed),
            Output::Reencoded(_) => Err(PictureError::Unreadable.into()),
        }
    }

    async fn run(self, input: &File, task: &Task) -> Result<Output, WorkerError> {
        let Self { workers, permit } = self;
        let memory = workers.limits.memory;
        let mut ended = workers.run(input, task, memory).await;
        drop(permit);
        if let Err(Ended::Refused(PictureError::TooMuchMemory) | Ended::Crashed { .. }) = ended {
            let _all = workers.acquire(MAX_CONCURRENT_DECODES).await;
            let memory = memory * u64::from(MAX_CONCURRENT_DECODES);
            ended = workers.run(input, task, memory).await;
        }
        ended.map_err(|ended| match ended {
            Ended::Refused(error) => error.into(),
            Ended::OutOfTime => WorkerError::TooSlow,
            Ended::Crashed { status, reason } => {
                tracing::error!(%status, reason, "an imaging worker crashed; the picture was refused");
                PictureError::Unreadable.into()
            }
            Ended::Failed(error) => error.into(),
        })
    }
}

/// Counts how a worker ended, also if it is dropped because its client is gone.
struct Outcome(&'static str);

impl Drop for Outcome {
    fn drop(&mut self) {
        metrics::counter!("proofsheet_imaging_workers_total", "outcome" => self.0).increment(1);
    }
}

/// A waiting upload in the gauge.
struct Waiting(metrics::Gauge);

impl Waiting {
    fn new() -> Self {
        let gauge = metrics::gauge!("proofsheet_uploads_waiting");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn failed(error: impl Into<std::io::Error>) -> Ended {
    Ended::Failed(Error::Worker(error.into()))
}

async fn read_diagnostics(stream: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let _ = stream.take(MAX_DIAGNOSTICS).read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn warn_once(missing_layers: &[String]) {
    static WARNED: Once = Once::new();
    if !missing_layers.is_empty() {
        WARNED.call_once(|| {
            tracing::warn!(
                missing = missing_layers.join(", "),
                "this kernel does not support a layer of the sandbox for decoding pictures"
            );
        });
    }
}
