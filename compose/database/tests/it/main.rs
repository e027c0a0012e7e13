//! Tests of the agent: its decisions in a model of three nodes, and the agent with real nodes.

mod model;
mod lab;
mod cluster;
mod partial_transactions;
mod environment;
mod peer_authentication;
