//! What the app in the browser and the pages of the router have in common: routes, texts, formats, geometry, GraphQL
//! fragments, and the elements that both render. It never sends a request, and never uses the browser's window.
//!
//! The app compiles it for WebAssembly. The router enables the feature `ssr` and renders to strings.

#![forbid(unsafe_code)]

pub mod path;
pub mod route;
pub mod bidi;
pub mod language;
pub mod format;
pub mod geometry;
pub mod graphql;
pub mod components;

/// Photos per page of a timeline.
pub const PAGE_SIZE: i32 = 24;
/// Photos of the podium that an empty Hot shows.
pub const PODIUM_SIZE: i32 = 3;
/// The name of the site.
pub const SITE_NAME: &str = "Proofsheet";
