//! Tests of the vote service through its routes, with a real MariaDB.

mod support;

mod mutation;
mod entity;
mod query;
mod fold;
mod ranking;
mod timelines;
mod days;
mod events;
mod reconcile;
mod lost_responses;
