//! The part of the graph that this service answers.

pub mod query;
pub mod mutation;
pub mod types;
