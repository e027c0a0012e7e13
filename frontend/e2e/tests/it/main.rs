//! Journeys through the whole system in a real browser. In reading order: the main story from the first look to the last
//! deletion; what people do; navigation; outages; and accessibility.
//!
//! Each test starts its own system and walks several journeys through it, each with its own browser.

mod accessibility;
mod acting;
mod journeys;
mod looking;
mod showcase;
mod site;
mod story;
mod outages;
