//! Elements that the app and the router's pages render. Each takes data and returns a view.

pub mod icon;
