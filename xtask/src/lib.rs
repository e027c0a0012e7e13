//! Starts the whole system on this machine: a private MariaDB, the five services and the router.
//!
//! `./dev up`, the tests that need everything running, and the benchmarks all start it through
//! [`system::System`], so that what is tested is what runs.

pub mod system;
pub mod workspace;
