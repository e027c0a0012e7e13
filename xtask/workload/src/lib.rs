//! Users of a running site, the history of their operations, and the audit that compares the history with the
//! databases, the files of photos and the public API.
//!
//! The audit knows only the history: each acknowledged operation must have taken effect, each refused one must not, and
//! one of unknown outcome may have.

pub mod audit;
pub mod counter;
pub mod databases;
pub mod deletions;
pub mod history;
pub mod load;
mod picture;
pub mod users;
