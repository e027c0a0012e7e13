//! All SQL of this service.

mod comments;
mod lists;
mod photos;

pub use comments::*;
pub use lists::*;
pub use photos::*;

/// The most rows that one statement deletes.
pub const BATCH: u64 = 1000;
