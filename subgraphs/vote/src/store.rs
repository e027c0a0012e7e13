//! All SQL.

pub mod photos;
pub mod votes;
pub mod deltas;
pub mod snapshots;
pub mod days;
