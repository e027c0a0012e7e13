//! Journeys through the whole system in a real browser. In reading order: the main story from the first look to the last
//! deletion; what people do; how they find their way; bad weather; and whether everybody can use it.
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
