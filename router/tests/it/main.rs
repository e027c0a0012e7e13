//! Tests of the router's executable, with fakes of the services or with the real system.

// The library nests the types of its middleware.
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
mod paths;
mod site;
mod sitemap;
mod system;
mod tls;
mod upstream;
