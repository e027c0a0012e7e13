//! Backup and restore of a site: full copies of the database, binary logs, and photo files.
//!
//! A backup store holds
//!
//! ```text
//! full/<time>/database.mbstream.zst  one node, copied while it ran
//! full/<time>/media.jsonl.zst        all files of photos, with their hashes
//! full/<time>/manifest.json          written last: without it there is no backup
//! logs/<cluster>/<…>.log             pieces of binary logs, in order
//! media/<path>                       the files of photos; they never change, so each is stored once
//! media-changes/<time>.jsonl.zst     added and removed files
//! ```
//!
//! With a key, everything but the manifests is encrypted, and its name ends in `.sealed`.

#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod packing;
pub mod vault;
pub mod manifest;
pub mod source;
pub mod media;
pub mod full;
pub mod logs;
pub mod prune;
pub mod schedule;
pub mod service;
pub mod replay;
pub mod server;
pub mod restore;
pub mod verify;
