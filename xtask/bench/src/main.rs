//! `./dev bench`: how fast the running system is, beside the least that the same work could cost.

mod data;
mod load;
mod overload;
mod page;
mod sql;
mod timeline;

use clap::Parser;

/// Measures the speed of the running system.
#[derive(Debug, Parser)]
#[command(name = "./dev bench", bin_name = "./dev bench")]
enum Arguments {
    /// The first page of a timeline, through the router and as bare SQL, in alternating rounds.
    Timeline(timeline::Arguments),
    /// The same page, asked for five times as often as the site can serve it.
    Overload(overload::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Timeline(arguments) => timeline::run(arguments).await,
        Arguments::Overload(arguments) => overload::run(arguments).await,
    }
}
