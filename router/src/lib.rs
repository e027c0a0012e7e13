//! The gateway in front of the subgraphs. The hive-router library plans and executes operations; here is what
//! it lacks: who is asking, the app's pages with their content in them, feeds and sitemaps, streaming of photos, our
//! error codes, an estimate of cost, and limits of load.

// The library's layers of services are types inside types.
#![recursion_limit = "256"]
#![forbid(unsafe_code)]

pub mod config;
pub mod guard;
pub mod server;

mod engine;
mod tls;
mod route;
mod edge;
mod negotiation;
mod identity;
mod client;
mod rate;
mod concurrency_limit;
mod compression;

mod aliases;
mod require_operation_name;
mod cost;
mod errors;
mod introspection;
mod operation_allowlist;
mod operations;
mod traffic;
mod traces;
mod measures;

mod app;
mod pages;
mod language;
#[path = "../../frontend/src/bidi.rs"]
mod bidi;
#[path = "../../frontend/src/path.rs"]
mod path;
mod feeds;
mod sitemap;
mod graph;
mod photos;
mod document;
mod media;
mod error_response;

pub use server::{healthcheck, serve};
