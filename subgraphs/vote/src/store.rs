//! All SQL of this service.

pub mod photos;
pub mod votes;
pub mod deltas;
pub mod snapshots;
pub mod days;
