//! The router: the GraphQL gateway and web server of the site.

// The library nests the types of its middleware.
#![recursion_limit = "256"]

use clap::Parser as _;
use hive_router::{RouterGlobalAllocator, configure_global_allocator};
use router::config::{Cli, Command};

configure_global_allocator!();

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve(config) => router::serve(*config),
        Command::Healthcheck(config) => router::healthcheck(&config),
    }
}
