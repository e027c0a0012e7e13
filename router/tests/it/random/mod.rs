//! Random operations that fit the public schema.

mod operation;
mod schema;

pub(crate) use operation::{Operation, Pools, operation};
pub(crate) use schema::{Schema, supergraph};
