//! Starts the whole system on this machine: a private MariaDB, the five services and the router.
//!
//! [`cluster::Cluster`] is the same with a database of three nodes and two of each service, and may be broken in all ways.
//!
//! `./dev up`, the tests that need everything running, and the benchmarks all start it through
//! [`system::System`], so that what is tested is what runs.

pub mod cluster;
pub mod disk;
pub mod network;
pub mod system;
pub mod watch;
pub use xtask::workspace;
