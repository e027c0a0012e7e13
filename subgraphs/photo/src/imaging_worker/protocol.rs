//! The protocol between the service and its worker.
//!
//! The request is a JSON argument of the worker, and the picture is its standard input. The response on its standard
//! output is [`MAGIC`], the length of a JSON header (four bytes, big endian), the header, and the files that the header
//! lists. A compromised decoder may write anything, so the reader limits and checks everything.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::str::FromStr;

use imaging::{File, FileName, Format, Ladder, PictureError, Processed, Rendition, Size};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The last byte is the version of the protocol.
const MAGIC: [u8; 8] = *b"IMAGING\x01";
/// In bytes.
const MAX_HEADER: usize = 16 * 1024;
/// In bytes, for all files of a photo.
const MAX_FILES_TOTAL: u64 = 64 * 1024 * 1024;
/// In bytes; a `ThumbHash` has at most 25.
const MAX_PLACEHOLDER: usize = 32;

/// The task of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The service's process. The worker ends with it.
    pub parent: u32,
    /// The memory limit for data, in bytes.
    pub memory: u64,
    pub cpu_seconds: u64,
    pub task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Encode all files of the picture on standard input.
    Process,
    /// Encode these renditions of the master on standard input.
    Reencode(Vec<Rendition>),
    /// Try what the sandbox forbids, and print the results. For tests.
    Probe {
        /// A listening address.
        address: SocketAddr,
    },
}

impl FromStr for Request {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// The output of a worker.
#[derive(Debug)]
pub(super) enum Output {
    Processed(Processed),
    Reencoded(Vec<File>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The layers of the sandbox that the kernel does not support.
    missing_layers: Vec<String>,
    outcome: Outcome,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Processed { size: Size, placeholder: Vec<u8> },
    Reencoded,
    Refused(PictureError),
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    length: u64,
}

/// A validated response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) missing_layers: Vec<String>,
    pub(super) result: Result<Output, PictureError>,
}

/// An invalid response.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidResponse {
    #[error("it could not be read completely")]
    Read(#[from] std::io::Error),
    #[error("its header is invalid")]
    Header(#[from] serde_json::Error),
    #[error("{0}")]
    Content(&'static str),
}

pub(super) fn write(
    out: &mut impl Write,
    missing_layers: Vec<String>,
    result: Result<Output, PictureError>,
) -> std::io::Result<()> {
    let (outcome, files) = match result {
        Ok(Output::Processed(Processed {
            size,
            placeholder,
            files,
        })) => (Outcome::Processed { size, placeholder }, files),
        Ok(Output::Reencoded(files)) => (Outcome::Reencoded, files),
        Err(error) => (Outcome::Refused(error), Vec::new()),
    };
    let entry = |file: &File| Entry {
        name: file.name.to_string(),
        length: file.bytes.len() as u64,
    };
    let header = serde_json::to_vec(&Header {
        missing_layers,
        outcome,
        files: files.iter().map(entry).collect(),
    })?;
    out.write_all(&MAGIC)?;
    out.write_all(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_be_bytes())?;
    out.write_all(&header)?;
    for file in files {
        out.write_all(&file.bytes)?;
    }
    out.flush()
}

/// Reads and validates a response to `task`.
pub(super) async fn read(
    input: &mut (impl AsyncRead + Unpin),
    task: &Task,
) -> Result<Response, InvalidResponse> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(InvalidResponse::Content("it has another protocol"));
    }
    let length = usize::try_from(input.read_u32().await?).unwrap_or(usize::MAX);
    if length > MAX_HEADER {
        return Err(InvalidResponse::Content("its header is too long"));
    }
    let mut header = vec![0; length];
    input.read_exact(&mut header).await?;
    let header: Header = serde_json::from_slice(&header)?;

    let expected: BTreeSet<String> = match (&header.outcome, task) {
        (Outcome::Refused(_), _) => BTreeSet::new(),
        (Outcome::Processed { size, placeholder }, Task::Process) => {
            if placeholder.len() > MAX_PLACEHOLDER {
                return Err(InvalidResponse::Content("its placeholder is too long"));
            }
            if Size::within_limits(size.width.into(), size.height.into()).is_none() {
                return Err(InvalidResponse::Content("its size is not within the limits"));
            }
            FileName::all(*size, Ladder::LongerSide)
                .map(|name| name.to_string())
                .collect()
        }
        (Outcome::Reencoded, Task::Reencode(renditions)) => renditions
            .iter()
            .map(|rendition| FileName::from(*rendition).to_string())
            .collect(),
        _ => return Err(InvalidResponse::Content("it is a response to another request")),
    };
    let listed: BTreeSet<String> = header.files.iter().map(|entry| entry.name.clone()).collect();
    if listed != expected || header.files.len() != expected.len() {
        return Err(InvalidResponse::Content("it lists other files"));
    }
    let total = header
        .files
        .iter()
        .try_fold(0_u64, |total, entry| total.checked_add(entry.length));
    if total.is_none_or(|total| total > MAX_FILES_TOTAL) {
        return Err(InvalidResponse::Content("its files are too large"));
    }

    let mut files = Vec::with_capacity(header.files.len());
    for entry in header.files {
        let name = FileName::parse(&entry.name).ok_or(InvalidResponse::Content("it lists other files"))?;
        // Grows with the received bytes, not to the announced length.
        let mut bytes = Vec::new();
        (&mut *input).take(entry.length).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 != entry.length {
            return Err(InvalidResponse::Content("it is incomplete"));
        }
        if !has_signature(name, &bytes) {
            return Err(InvalidResponse::Content("a file does not have its format"));
        }
        files.push(File { name, bytes });
    }
    if input.read(&mut [0]).await? != 0 {
        return Err(InvalidResponse::Content("it is longer than announced"));
    }
    Ok(Response {
        missing_layers: header.missing_layers,
        result: match header.outcome {
            Outcome::Refused(error) => Err(error),
            Outcome::Reencoded => Ok(Output::Reencoded(files)),
            Outcome::Processed { size, placeholder } => Ok(Output::Processed(Processed {
                size,
                placeholder,
                files,
            })),
        },
    })
}

fn has_signature(name: FileName, bytes: &[u8]) -> bool {
    match name {
        FileName::Rendition {
            format: Format::Avif, ..
        } => bytes.get(4..12) == Some(b"ftypavif"),
        FileName::Master
        | FileName::Rendition {
            format: Format::Jpeg, ..
        } => bytes.starts_with(b"\xFF\xD8\xFF"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn processed() -> Output {
        let size = Size {
            width: 40,
            height: 30,
        };
        let files = FileName::all(size, Ladder::LongerSide).map(|name| File {
            name,
            bytes: match name {
                FileName::Rendition {
                    format: Format::Avif, ..
                } => b"\0\0\0\x1Cftypavif".to_vec(),
                _ => b"\xFF\xD8\xFF\xE0".to_vec(),
            },
        });
        Output::Processed(Processed {
            size,
            placeholder: vec![1; 20],
            files: files.collect(),
        })
    }

    type Change = fn(&mut Value);

    /// A response with a modified header.
    fn response(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut honest = Vec::new();
        write(&mut honest, Vec::new(), Ok(processed())).unwrap();
        let start = MAGIC.len() + 4;
        let length = u32::from_be_bytes(*honest[MAGIC.len()..].first_chunk().unwrap());
        let end = start + usize::try_from(length).unwrap();
        let mut header = serde_json::from_slice(&honest[start..end]).unwrap();
        change(&mut header);
        let header = header.to_string();
        let length = u32::try_from(header.len()).unwrap().to_be_bytes();
        [&MAGIC[..], &length, header.as_bytes(), &honest[end..]].concat()
    }

    async fn is_accepted(bytes: &[u8], task: &Task) -> bool {
        read(&mut &*bytes, task).await.is_ok()
    }

    #[tokio::test]
    async fn a_valid_response_is_accepted() {
        assert!(is_accepted(&response(|_| ()), &Task::Process).await);
        let mut refused = Vec::new();
        write(&mut refused, Vec::new(), Err(PictureError::TooLarge)).unwrap();
        assert!(is_accepted(&refused, &Task::Process).await);
    }

    #[tokio::test]
    async fn an_invalid_response_is_rejected() {
        let honest = response(|_| ());
        assert!(!is_accepted(&honest, &Task::Reencode(Vec::new())).await);
        for end in 0..honest.len() {
            assert!(!is_accepted(&honest[..end], &Task::Process).await, "{end}");
        }
        let mut avif_is_something_else = honest.clone();
        let avif = honest.windows(4).position(|window| window == b"ftyp").unwrap();
        avif_is_something_else[avif] = b'F';
        let too_long_a_header = [&MAGIC[..], &u32::MAX.to_be_bytes(), &[b' '; 64]].concat();
        let mut hostile = vec![
            b"IMAGING\x02".to_vec(),
            [&honest[..], b"more"].concat(),
            avif_is_something_else,
            too_long_a_header,
        ];
        let changes: [Change; 8] = [
            |header| header["files"][0]["name"] = json!("../../etc/passwd"),
            |header| header["files"][0] = header["files"][1].clone(),
            |header| header["files"][0]["length"] = json!(u64::MAX),
            |header| header["files"][0]["length"] = json!(MAX_FILES_TOTAL),
            |header| header["files"] = json!([]),
            |header| header["outcome"]["processed"]["size"]["width"] = json!(12_001),
            |header| header["outcome"]["processed"]["placeholder"] = json!(vec![0; 33]),
            |header| header["outcome"] = json!("reencoded"),
        ];
        hostile.extend(changes.map(response));
        for (at, bytes) in hostile.iter().enumerate() {
            assert!(!is_accepted(bytes, &Task::Process).await, "{at}");
        }
    }
}
