//! `./dev bench`: how fast the running system is, beside the least that the same work could cost.

mod data;
mod load;
mod overload;
mod page;
mod pictures;
#[path = "../../../subgraphs/photo/imaging/tests/it/quality.rs"]
mod quality;
mod sql;
mod timeline;

use clap::Parser;

/// Measures the speed of the running system, or compares its pictures with those of libvips.
#[derive(Debug, Parser)]
#[command(name = "./dev bench", bin_name = "./dev bench")]
enum Arguments {
    /// The first page of a timeline, through the router and as bare SQL, in alternating rounds.
    Timeline(timeline::Arguments),
    /// The same page, asked for five times as often as the site can serve it.
    Overload(overload::Arguments),
    /// The renditions of photographs beside those of libvips: bytes, quality, processor time, memory.
    Pictures(pictures::Arguments),
    /// Makes the renditions of one picture, for `pictures` to measure.
    #[command(hide = true)]
    ProcessPicture(pictures::ProcessArguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Timeline(arguments) => timeline::run(arguments).await,
        Arguments::Overload(arguments) => overload::run(arguments).await,
        Arguments::Pictures(arguments) => pictures::run(&arguments),
        Arguments::ProcessPicture(process) => pictures::process(&process),
    }
}
