//! The page that everybody opens first: 24 photos with author, tally, comment count and sources.
//!
//! Both sides have the same number of clients, the same rows and the same MariaDB. The bare SQL is the
//! least that anything in front of it could cost; the ratio is what federation costs, and a number that
//! does not depend on the machine.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::system::System;

use crate::load::{Round, measure};
use crate::page::{PageLoad, check, operation};
use crate::{data, sql};

/// The required share of the rate of the bare statements.
const GOAL: f64 = 0.18;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    photos: u32,
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Seconds that each side is measured in each round.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let system = data::start(arguments.photos, &[]).await?;
    let result = compare(&system, &arguments).await;
    system.stop().await;
    result
}

async fn compare(system: &System, arguments: &Arguments) -> Result<()> {
    let operation = operation()?;
    let authority = system.base_url().trim_start_matches("http://").to_owned();
    check(&authority, &operation).await?;
    let time = Duration::from_secs(arguments.seconds);
    println!(
        "{} photos, {} connections, {} s a round",
        arguments.photos, arguments.connections, arguments.seconds
    );
    println!(
        "{:<8} {:>12} {:>10} {:>10} {:>14} {:>8}",
        "round", "pages/s", "p50 ms", "p99 ms", "bare SQL/s", "ratio"
    );

    let mut ratios = Vec::new();
    for round in 1..=arguments.rounds {
        let warm_up = Duration::from_secs(if round == 1 { 5 } else { 2 });
        let mut pages = Vec::new();
        for _ in 0..arguments.connections {
            pages.push(PageLoad::connect(&authority, &operation).await?);
        }
        let page = measure(pages, warm_up, time).await?;
        let mut statements = Vec::new();
        for _ in 0..arguments.connections {
            statements.push(sql::Statements::connect(&system.admin_database_url()).await?);
        }
        let bare = measure(statements, warm_up, time).await?;
        ratios.push(page.per_second / bare.per_second);
        report(round, &page, &bare);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("median ratio {median:.3} (goal: at least {GOAL})");
    ensure!(
        median >= GOAL,
        "the page is slower than it should be: {median:.3} of bare SQL instead of {GOAL}"
    );
    Ok(())
}

fn report(round: u32, page: &Round, bare: &Round) {
    println!(
        "{round:<8} {:>12.0} {:>10.2} {:>10.2} {:>14.0} {:>8.3}",
        page.per_second,
        page.p50.as_secs_f64() * 1e3,
        page.p99.as_secs_f64() * 1e3,
        bare.per_second,
        page.per_second / bare.per_second
    );
}
