//! The schema of this subgraph.

mod image_lists;
mod mutation;
mod query;
mod types;

pub use mutation::Mutation;
pub use query::Query;
