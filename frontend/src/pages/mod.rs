//! One page for each route: its operations, what it waits for, its errors.

pub(crate) mod about_ranking;
pub(crate) mod not_found;
pub(crate) mod photo;
pub(crate) mod profile;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod timeline;
pub(crate) mod upload;
pub(crate) mod welcome;
