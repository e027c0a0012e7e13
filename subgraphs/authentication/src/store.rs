//! All SQL of this service.

pub mod accounts;
pub mod attempts;
pub mod keys;
pub mod sessions;
