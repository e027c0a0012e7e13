//! The history of operations and outcomes, the only input of the audit.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::api::RequestError;
use serde::Serialize;
use uuid::Uuid;

/// An operation of a client. Fields from the response are empty until it arrives.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Operation {
    Register {
        email: String,
        account: Option<Uuid>,
    },
    Login {
        email: String,
    },
    /// `token` counts the refresh tokens of the user.
    Refresh {
        account: Uuid,
        token: u32,
    },
    /// `picture` is the number from which the picture is generated.
    Upload {
        picture: u64,
    },
    /// The key is the folder of the photo's files.
    Publish {
        photo: Uuid,
        title: String,
        picture: u64,
        key: Option<Uuid>,
    },
    DeletePhoto {
        photo: Uuid,
    },
    Vote {
        account: Uuid,
        photo: Uuid,
        value: i8,
    },
    /// `body` is the only comment with this text.
    Comment {
        photo: Uuid,
        body: String,
        comment: Option<Uuid>,
    },
    DeleteComment {
        comment: Uuid,
        body: String,
    },
    /// `what` is a timeline, or a file of a photo.
    Read {
        what: String,
    },
    /// Made by the harness, directly in the database.
    Increment {
        counter: u32,
        node: u32,
    },
}

impl Operation {
    /// The name of the kind in reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Register { .. } => "registrations",
            Self::Login { .. } => "logins",
            Self::Refresh { .. } => "refreshed sessions",
            Self::Upload { .. } => "uploads",
            Self::Publish { .. } => "photos",
            Self::DeletePhoto { .. } => "deleted photos",
            Self::Vote { .. } => "votes",
            Self::Comment { .. } => "comments",
            Self::DeleteComment { .. } => "deleted comments",
            Self::Read { what } if what.starts_with('/') => "files",
            Self::Read { .. } => "timelines",
            Self::Increment { .. } => "counts",
        }
    }
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged: the operation has taken effect.
    Ok,
    /// Refused: the operation has no effect.
    Failed(String),
    /// Unknown: the operation may have taken effect, or may still take effect.
    Unknown(String),
}

/// One operation. Times are seconds since the history began.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub number: usize,
    pub run: u32,
    pub who: String,
    pub begun: f64,
    pub ended: Option<f64>,
    #[serde(flatten)]
    pub operation: Operation,
    /// `None` while pending, which counts as unknown.
    pub outcome: Option<Outcome>,
}

impl<T> From<&Result<T, RequestError>> for Outcome {
    fn from(result: &Result<T, RequestError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) if error.had_no_effect => Self::Failed(error.to_string()),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

impl Record {
    pub fn is_ok(&self) -> bool {
        self.outcome == Some(Outcome::Ok)
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, None | Some(Outcome::Unknown(_)))
    }

    /// Whether this is a user's write through the site.
    pub fn is_site_write(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Increment { .. }
                | Operation::Login { .. }
                | Operation::Upload { .. }
                | Operation::Read { .. }
        )
    }
}

/// The history of one cluster, over all runs with it. It is also written to a file, line by line.
#[derive(Debug)]
pub struct History {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    run: u32,
    records: Vec<Record>,
    file: File,
}

impl History {
    pub fn new(file: &Path) -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            inner: Mutex::new(Inner {
                run: 0,
                records: Vec::new(),
                file: File::create(file)?,
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Assigns later records to this run.
    pub fn begin_run(&self, run: u32) {
        self.inner().run = run;
    }

    /// Seconds since the beginning.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Returns the instant `seconds` after the beginning.
    pub fn moment(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    /// Records the start of an operation, and returns its number.
    pub fn invoke(&self, who: &str, operation: Operation) -> usize {
        let begun = self.now();
        let mut inner = self.inner();
        let record = Record {
            number: inner.records.len(),
            run: inner.run,
            who: who.to_owned(),
            begun,
            ended: None,
            operation,
            outcome: None,
        };
        inner.write(&record);
        inner.records.push(record);
        inner.records.len() - 1
    }

    /// Records the outcome, and the operation with the data of the response.
    pub fn complete(&self, number: usize, operation: Operation, outcome: Outcome) {
        let ended = self.now();
        let mut inner = self.inner();
        let record = &mut inner.records[number];
        record.ended = Some(ended);
        record.operation = operation;
        record.outcome = Some(outcome);
        let record = record.clone();
        inner.write(&record);
    }

    /// Records a fault or recovery.
    pub fn note(&self, what: &str) {
        let line = serde_json::json!({ "at": self.now(), "nemesis": what });
        self.inner().line(&line.to_string());
    }

    /// Number of operations so far.
    pub fn count(&self) -> usize {
        self.inner().records.len()
    }

    /// The operations from this number on, in the order in which they began.
    pub fn records_from(&self, number: usize) -> Vec<Record> {
        self.inner().records[number..].to_vec()
    }

    /// All operations so far.
    pub fn records(&self) -> Vec<Record> {
        self.records_from(0)
    }
}

impl Inner {
    fn write(&mut self, record: &Record) {
        let line = serde_json::to_string(record).expect("a record is plain data");
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        // The audit reads the records in memory, so errors of the file are ignored.
        let _ = writeln!(self.file, "{line}");
    }
}

/// Returns the longest time between two acknowledged operations, also at both ends.
pub fn longest_gap<'a>(records: impl Iterator<Item = &'a Record>, from: f64, until: f64) -> f64 {
    let mut ends: Vec<f64> = records
        .filter(|record| record.is_ok())
        .filter_map(|record| record.ended)
        .filter(|ended| (from..=until).contains(ended))
        .collect();
    ends.extend([from, until]);
    ends.sort_by(f64::total_cmp);
    ends.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}
