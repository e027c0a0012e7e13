//! All SQL of this service.

mod comments;
mod lists;
mod photos;

pub use comments::*;
pub use lists::*;
pub use photos::*;

/// The maximum number of rows that a statement deletes.
pub const DELETE_BATCH_SIZE: u64 = 1000;
