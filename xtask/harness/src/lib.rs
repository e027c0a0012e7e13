//! Starts the whole system on this machine: a private MariaDB, the five services and the router.
//!
//! `./dev up`, tests of the whole system, and benchmarks start it by [`system::System`]. [`cluster::Cluster`] has three
//! database nodes and two replicas of each service, for tests of failures. Both are a [`topology::Topology`].
//!
//! [`api::Site`] is the client of the public API.

pub mod api;
pub mod cluster;
pub mod disk;
pub mod network;
pub mod system;
pub mod topology;
pub mod wait;
pub mod watch;
pub use xtask::workspace;
