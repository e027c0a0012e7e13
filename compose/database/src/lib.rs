//! The first process of a database node: it finds out what the node has, finds the others, decides with them how the
//! cluster starts, and watches over MariaDB until it stops in order.

#![forbid(unsafe_code)]

pub mod memory;
pub mod decision;
pub mod config;
pub mod seal;
pub mod peers;
pub mod binlog;
pub mod mariadb;
pub mod sql;
pub mod state;
pub mod backup;
pub mod metrics;
pub mod http;
pub mod agent;
