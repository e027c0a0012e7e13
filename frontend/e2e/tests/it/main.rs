//! Journeys through the whole system in a real browser. In reading order: the main journey from registration to
//! deletion; votes, comments and uploads; navigation; outages; accessibility.
//!
//! Each test starts its own system and runs several journeys on it, each with its own browser.

mod accessibility;
mod actions;
mod journeys;
mod navigation;
mod showcase;
mod site;
mod main_journey;
mod outages;
