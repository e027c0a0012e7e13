//! The GraphQL types of this service.

pub mod query;
pub mod mutation;
pub mod types;
