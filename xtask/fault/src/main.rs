//! `./dev fault`: injects faults into a running cluster and checks that no acknowledged write is lost.

mod controls;
mod drill;
mod nemesis;
mod plan;
mod report;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use harness::cluster::NODES;
use harness::workspace;
use tokio::signal::unix::{SignalKind, signal};
use workload::audit::DefectKind;

use controls::Control;
use plan::{Fault, Plan};
use run::{Outcomes, SMALL_VOLUME, TestCluster};

/// Injects faults into a running cluster and checks that no acknowledged write is lost. Needs root.
#[derive(Debug, Parser)]
#[command(name = "./dev fault", bin_name = "./dev fault", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    instead: Option<Subcommand>,
    /// The seed of the first run; later runs increment it. Random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of runs, which cycle through the faults. By default one of each, or none with --control.
    #[arg(long)]
    runs: Option<usize>,
    /// The faults to inject; all by default.
    #[arg(long, value_delimiter = ',', value_enum)]
    faults: Vec<Fault>,
    /// Negative controls: deliberate defects that the audit must detect.
    #[arg(long, value_delimiter = ',', value_enum)]
    control: Vec<Control>,
    /// Seconds of load after recovery.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Also writes the table to this file, with the command.
    #[arg(long)]
    table: Option<PathBuf>,
    /// The folder of data and logs. Temporary by default.
    #[arg(long)]
    data: Option<PathBuf>,
}

/// Other commands of this program.
#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    Drill(drill::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tokio::select! {
        outcome = run(&arguments) => match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("fault: {error:#}");
                ExitCode::FAILURE
            }
        },
        // The cluster stops when this function returns.
        () = interrupted() => ExitCode::FAILURE,
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.instead {
        Some(Subcommand::Drill(drill)) => drill::drill(drill).await,
        None => run_all(arguments).await,
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Runs all requested controls and faults.
async fn run_all(arguments: &Arguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut test = Test {
        arguments,
        history: workspace::target_dir().join("fault"),
        grounds: 0,
        done: Vec::new(),
        failures: Vec::new(),
    };
    std::fs::create_dir_all(&test.history)?;
    let faults = if arguments.faults.is_empty() {
        &Fault::ALL[..]
    } else {
        &arguments.faults
    };
    let default = if arguments.control.is_empty() {
        faults.len()
    } else {
        0
    };
    let runs = arguments.runs.unwrap_or(default);
    let plans = (seed..).zip(faults.iter().cycle()).take(runs);
    test.run_faults(
        plans
            .map(|(seed, fault)| Plan::new(seed, *fault, SMALL_VOLUME.0))
            .collect(),
    )
    .await?;
    for control in &arguments.control {
        test.run_control(*control, seed).await?;
    }
    println!("\n{}", report::table(&test.done));
    if !test.failures.is_empty() {
        bail!("{}", test.failures.join("; "));
    }
    Ok(())
}

/// Attempts per control, because a defect does not always lose a write.
const CONTROL_ATTEMPTS: u64 = 3;

struct Test<'a> {
    arguments: &'a Arguments,
    /// The folder of histories.
    history: PathBuf,
    grounds: u32,
    done: Vec<Outcomes>,
    failures: Vec<String>,
}

impl Test<'_> {
    /// All runs use one cluster; after a defect a new one is started.
    async fn run_faults(&mut self, plans: Vec<Plan>) -> Result<()> {
        let mut ground = None;
        for plan in plans {
            println!("{plan}");
            let mut on = match ground.take() {
                Some(ground) => ground,
                None => self.ground().await?,
            };
            match on
                .run(&plan, None, Duration::from_secs(self.arguments.seconds))
                .await
            {
                Ok(outcomes) => {
                    println!("  {}", report::line(&outcomes));
                    if outcomes.findings.is_empty() {
                        ground = Some(on);
                    } else {
                        print!("{}", report::evidence(&outcomes));
                        self.keep_logs(&on)?;
                        self.failures
                            .push(format!("{plan}: {} defects", outcomes.findings.len()));
                    }
                    self.done.push(outcomes);
                    self.write_table()?;
                }
                Err(error) => {
                    self.failures.push(format!("{plan}: {error:#}"));
                    println!("  FAILED: {error:#}");
                    self.keep_logs(&on)?;
                }
            }
        }
        if let Some(ground) = ground {
            ground.stop().await?;
        }
        Ok(())
    }

    /// Runs a control on a separate cluster, which cannot be used afterwards.
    async fn run_control(&mut self, control: Control, seed: u64) -> Result<()> {
        let fault = match control {
            Control::Rmw => Fault::Nothing,
            Control::Flush0 => Fault::KillAll,
            Control::PlainRestart => Fault::PlainRestart,
        };
        let mut ground = self.ground().await?;
        let mut seeds = seed..seed + CONTROL_ATTEMPTS;
        let outcomes = loop {
            let Some(seed) = seeds.next() else {
                self.failures
                    .push(format!("the control {} was not detected", control.name()));
                return Ok(());
            };
            let plan = Plan::new(seed, fault, SMALL_VOLUME.0);
            println!("control {}, {plan}", control.name());
            let outcomes = ground
                .run(&plan, Some(control), Duration::from_secs(self.arguments.seconds))
                .await?;
            println!("  {}", report::line(&outcomes));
            if outcomes.count(DefectKind::Lost) > 0 {
                break outcomes;
            }
        };
        print!("{}", report::evidence(&outcomes));
        self.done.push(outcomes);
        self.write_table()
    }

    async fn ground(&mut self) -> Result<TestCluster> {
        self.grounds += 1;
        let history = self
            .history
            .join(format!("history-{}-{}.jsonl", std::process::id(), self.grounds));
        println!("  a new cluster; its history: {}", history.display());
        let data = self.arguments.data.as_ref();
        TestCluster::start(&history, data.map(|data| data.join(self.grounds.to_string()))).await
    }

    /// Keeps the logs, because the folder of the cluster may be temporary.
    fn keep_logs(&self, ground: &TestCluster) -> Result<()> {
        let kept = self
            .history
            .join(format!("logs-{}-{}", std::process::id(), self.grounds));
        std::fs::create_dir_all(&kept)?;
        for log in std::fs::read_dir(ground.folder().join("logs"))? {
            let log = log?;
            std::fs::copy(log.path(), kept.join(log.file_name()))?;
        }
        // Keeps the binary logs for mariadb-binlog -v.
        for slot in 1..=NODES {
            let data = ground.folder().join(format!("volume-{slot}/data"));
            for file in std::fs::read_dir(data)? {
                let (path, name) = file.map(|file| (file.path(), file.file_name()))?;
                let name = name.to_string_lossy().into_owned();
                if name.starts_with("binlog.0") {
                    std::fs::copy(path, kept.join(format!("db-{slot}-{name}")))?;
                }
            }
        }
        println!("  the logs: {}", kept.display());
        Ok(())
    }

    fn write_table(&self) -> Result<()> {
        let Some(file) = &self.arguments.table else {
            return Ok(());
        };
        let words: Vec<_> = std::env::args().skip(1).collect();
        report::write(file, &format!("./dev fault {}", words.join(" ")), &self.done)
    }
}
