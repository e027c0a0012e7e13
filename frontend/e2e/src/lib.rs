//! What the journeys need: a browser whose elements are found as people find them, and a camera.

pub mod axe;
pub mod browser;
pub mod camera;
