//! The gateway in front of the subgraphs. The hive-router library plans and executes operations. This crate adds
//! authentication, server-rendered pages, feeds and sitemaps, streaming of photos, error codes, a cost estimate, and
//! load limits.

// The library nests the types of its middleware.
#![recursion_limit = "256"]
#![forbid(unsafe_code)]

pub mod config;
pub mod guard;
pub mod server;

mod engine;
mod tls;
mod route;
mod edge;
mod request_body;
mod negotiation;
mod identity;
mod client_ip;
mod rate_limit;
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
mod metric_descriptions;

mod app;
mod pages;
mod language;
mod feeds;
mod sitemap;
mod graph_client;
mod graph_types;
mod document;
mod media;
mod error_response;

pub use server::{healthcheck, serve};
