//! The agent: its decision in a model of three nodes, and the whole of it over real nodes.

mod model;
mod lab;
mod cluster;
mod halves;
mod weather;
mod strangers;
