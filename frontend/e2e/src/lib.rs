//! Tools for the end-to-end tests: a browser that finds elements by role and name, and a camera that makes photos.

pub mod axe;
pub mod browser;
pub mod camera;
