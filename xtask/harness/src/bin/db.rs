//! `./dev db`: a database for `cargo test`.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use harness::system::{TemporaryDatabase, write_private};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use xtask::tools::say;
use xtask::workspace::test_database_url;

/// Runs a database for `cargo test`, and prints its URL. Ctrl-C stops it and deletes its data.
#[derive(Debug, Parser)]
#[command(name = "./dev db", bin_name = "./dev db", max_term_width = 100)]
struct Arguments {
    /// For `./dev test`: a database for the caller only, which stops when the standard input ends.
    #[arg(long, hide = true)]
    attached: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = if Arguments::parse().attached {
        run_attached().await
    } else {
        run(&test_database_url()).await
    };
    xtask::exit_code(result)
}

/// Runs a database, and writes its URL to `file`, where tests find it.
async fn run(file: &Path) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    if let Ok(url) = fs::read_to_string(file)
        && let Some((_, address)) = url.rsplit_once('@')
        && TcpStream::connect(address).is_ok()
    {
        bail!("A test database is running already: {url}");
    }
    let database = TemporaryDatabase::start().await?;
    write_private(file, database.url())?;
    println!("{}", database.url());
    say("cargo test uses this database; Ctrl-C stops it");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    fs::remove_file(file)?;
    Ok(())
}

async fn run_attached() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let database = TemporaryDatabase::start().await?;
    println!("{}", database.url());
    let mut rest = Vec::new();
    let mut input = tokio::io::stdin();
    tokio::select! {
        _ = input.read_to_end(&mut rest) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(database);
    // Reading the standard input cannot be cancelled, and the runtime would wait for it.
    std::process::exit(0);
}
