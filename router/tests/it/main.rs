//! The router from outside: its real binary, in front of services that are simple stand-ins where a test needs to
//! see or bend what they do, and in front of the real system where the whole is what matters.

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
