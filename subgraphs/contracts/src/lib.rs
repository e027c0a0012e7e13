//! The contracts between programs: error codes, names of headers and cookies, limits, the list of services, events and the
//! internal API.
//!
//! An upgrade runs two releases side by side. A release may add a field or an event kind; receivers ignore those that
//! they do not know. It never renames one, and never changes what one means.

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
