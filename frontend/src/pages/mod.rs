//! The pages: one module per route, with its operations and states.

pub(crate) mod about_ranking;
pub(crate) mod not_found;
pub(crate) mod photo;
pub(crate) mod profile;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod timeline;
pub(crate) mod upload;
pub(crate) mod welcome;
