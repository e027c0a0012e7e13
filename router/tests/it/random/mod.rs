//! Generates random operations that are valid against the public schema.

mod operation;
mod schema;
mod smaller;
mod writer;

pub(crate) use operation::Operation;
pub(crate) use schema::{Schema, supergraph};
pub(crate) use writer::{Pools, operation};
