//! The subgraph's schema: authorise, parse, call, wrap.

mod leaves;
mod mutation;
mod query;
mod types;

pub use mutation::Mutation;
pub use query::Query;
