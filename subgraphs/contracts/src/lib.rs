//! The contracts between programs: error codes, names of headers and cookies, limits, the list of services, events and the
//! internal API.
//!
//! During an upgrade two releases run side by side. A release may add a field or an event kind; receivers ignore
//! unknown ones. It never renames one, and never changes its meaning.

#![forbid(unsafe_code)]

mod code;
pub mod cookies;
pub mod headers;
pub mod limits;

#[cfg(feature = "messages")]
pub mod accounts;
#[cfg(feature = "messages")]
pub mod events;
#[cfg(feature = "messages")]
pub mod internal;
#[cfg(feature = "messages")]
pub mod photos;
#[cfg(feature = "services")]
pub mod services;

pub use code::Code;
