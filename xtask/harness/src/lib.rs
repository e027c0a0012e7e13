//! Starts the whole system on this machine: a private MariaDB, the five services and the router.
//!
//! [`cluster::Cluster`] has three database nodes and two replicas of each service, for tests of failures.
//!
//! `./dev up`, tests of the whole system, and benchmarks start it by [`system::System`].

pub mod cluster;
pub mod disk;
pub mod network;
pub mod system;
pub mod watch;
pub use xtask::workspace;
