//! Components. Each folder has the view, its style and its GraphQL fragment. Components do not fetch.

pub(crate) mod app_bar;
pub(crate) mod byline;
pub(crate) mod comments;
pub(crate) mod confirm;
pub(crate) mod credentials;
pub(crate) mod error_card;
pub(crate) mod field;
pub(crate) mod heading;
pub(crate) mod language_switch;
pub(crate) mod notices;
pub(crate) mod offline_banner;
pub(crate) mod photo_grid;
pub(crate) mod photo_stage;
pub(crate) mod picture;
pub(crate) mod sheet;
pub(crate) mod shortcuts;
pub(crate) mod sign_in_sheet;
pub(crate) mod tile;
pub(crate) mod vote_buttons;
