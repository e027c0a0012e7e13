//! Tests of the photo service through its HTTP routes, with a real MariaDB and a real folder.

mod support;

mod events;
mod imaging_worker;
mod lost;
mod mutation;
mod pictures;
mod query;
mod s3;
mod service;
mod serving;
mod upkeep;
mod uploads;
