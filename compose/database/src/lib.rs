//! The agent of a database node, the container's first process: it recovers the position, finds the peers, agrees with
//! them how the cluster starts, and supervises MariaDB.

#![forbid(unsafe_code)]

pub mod cluster_record;
pub mod decision;
pub mod config;
pub mod signature;
pub mod peers;
pub mod binlog;
pub mod mariadb;
pub mod sql;
pub mod state;
pub mod backup;
pub mod metrics;
pub mod http;
pub mod agent;
