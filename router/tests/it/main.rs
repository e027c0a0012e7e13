//! Tests of the router's binary, in front of fake services or of the real system.

// The library's layers of services are types inside types.
#![recursion_limit = "256"]

mod fakes;
mod gateway;
mod random;

mod cross_site;
mod deletions;
mod differential;
mod ended_sessions;
mod errors;
mod feeds;
mod fuzz;
mod guard;
mod http;
mod identity;
mod limits;
mod media;
mod pages;
mod site;
mod sitemap;
mod system;
mod tls;
mod upstream;
