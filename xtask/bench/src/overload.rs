//! Overload: requests at five times the rate that the site can serve. Accepted requests must be as fast as before, the
//! others must be refused at once, and the site must recover afterwards.
//!
//! First closed-loop clients measure the peak. Then an open-loop load requests pages at a fixed rate: at half of the
//! peak, at five times the peak, and at half again. Load and site share this machine's cores, so the load's own CPU
//! time is printed beside the result.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::system::System;
use hyper::StatusCode;
use serde_json::Value;

use crate::data;
use crate::load::{at, measure};
use crate::page::{PageLoad, check, is_whole, operation};

/// How much of the peak is still served to a crowd.
const GOODPUT: f64 = 0.9;
/// The longest time of an accepted request: the timeout of a service.
const LONGEST: Duration = Duration::from_secs(2);
/// The longest time until a refusal.
const LONGEST_REFUSAL: Duration = Duration::from_secs(1);
/// The timeout of a client, as of the app.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The clients that measure the peak.
const CONNECTIONS: usize = 16;
/// So many may wait at once; more means that nothing is answered any more.
const CROWD: usize = 6_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 2_000)]
    photos: u32,
    /// How often the peak is asked for.
    #[arg(long, default_value_t = 5.0)]
    times: f64,
    /// Seconds that each part takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many operations the router works on at once, if not as many as it does by itself. 0 takes the limit away, and
    /// then this must fail.
    #[arg(long)]
    max_concurrent_operations: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let at_once = arguments
        .max_concurrent_operations
        .as_ref()
        .map(|most| ("MAX_CONCURRENT_OPERATIONS", most.as_str()));
    let system = data::start(arguments.photos, at_once.as_slice()).await?;
    let result = overload(&system, &arguments).await;
    system.stop().await;
    result
}

async fn overload(system: &System, arguments: &Arguments) -> Result<()> {
    let operation = operation()?;
    let authority = system.base_url().trim_start_matches("http://").to_owned();
    check(&authority, &operation).await?;
    let time = Duration::from_secs(arguments.seconds);
    let mut pages = Vec::new();
    for _ in 0..CONNECTIONS {
        pages.push(PageLoad::connect(&authority, &operation).await?);
    }
    let peak = measure(pages, Duration::from_secs(5), time).await?;
    println!(
        "peak: {:.0} pages/s ({CONNECTIONS} connections, p50 {:.0} ms, p99 {:.0} ms)",
        peak.per_second,
        peak.p50.as_secs_f64() * 1e3,
        peak.p99.as_secs_f64() * 1e3
    );
    println!(
        "{:<8} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>12} {:>10}",
        "",
        "asked/s",
        "whole/s",
        "turned",
        "broken",
        "p50 ms",
        "p99 ms",
        "max ms",
        "away max ms",
        "crowd CPU"
    );

    let crowd = Arc::new(Crowd {
        authority,
        operation,
        idle: Mutex::default(),
    });
    let mut parts = Vec::new();
    for (name, share) in [("half", 0.5), ("crowd", arguments.times), ("after", 0.5)] {
        let part = crowd.ask(peak.per_second * share, time).await?;
        part.print(name);
        parts.push(part);
    }
    judge(peak.per_second, &parts)
}

fn judge(peak: f64, parts: &[Part]) -> Result<()> {
    let [before, crowd, after] = parts else {
        unreachable!("there are three parts")
    };
    let goodput = crowd.per_second(crowd.whole.len()) / peak;
    println!("goodput in the crowd: {goodput:.2} of the peak (goal: at least {GOODPUT})");
    for part in parts {
        ensure!(
            part.broken.is_empty(),
            "{} were neither served nor told why; the first: {}",
            part.broken.len(),
            part.broken[0]
        );
    }
    ensure!(goodput >= GOODPUT, "the crowd keeps the site from its work");
    let slowest = |times: &[Duration]| times.last().copied().unwrap_or_default();
    ensure!(slowest(&crowd.whole) <= LONGEST, "some were served too late");
    ensure!(
        slowest(&crowd.turned_away) <= LONGEST_REFUSAL,
        "some were turned away too late"
    );
    ensure!(
        after.turned_away.is_empty(),
        "some were still turned away afterwards"
    );
    let (before, after) = (at(&before.whole, 50), at(&after.whole, 50));
    ensure!(
        after <= before * 2,
        "pages are slower afterwards: {after:?} instead of {before:?}"
    );
    Ok(())
}

/// Many clients, who ask when they like.
struct Crowd {
    authority: String,
    operation: String,
    /// Idle connections.
    idle: Mutex<Vec<PageLoad>>,
}

/// The outcome of one request.
enum Outcome {
    Whole(Duration),
    TurnedAway(Duration),
    Broken(String),
}

/// The outcomes of all requests.
struct Part {
    /// In their order, as are the other times.
    whole: Vec<Duration>,
    turned_away: Vec<Duration>,
    broken: Vec<String>,
    took: Duration,
    /// How many cores the crowd itself has used.
    cores: f64,
}

impl Crowd {
    /// Has so many pages asked for in a second, for `time`, and waits for the last one.
    async fn ask(self: &Arc<Self>, per_second: f64, time: Duration) -> Result<Part> {
        let (began, worked) = (Instant::now(), own_work()?);
        let mut asking = tokio::task::JoinSet::new();
        let mut outcomes = Vec::new();
        let mut asked = 0.0;
        while began.elapsed() < time {
            while asked < began.elapsed().as_secs_f64() * per_second {
                asked += 1.0;
                if asking.len() < CROWD {
                    let crowd = Arc::clone(self);
                    asking.spawn(async move { crowd.ask_once().await });
                } else {
                    outcomes.push(Outcome::Broken(format!("{CROWD} wait already")));
                }
            }
            while let Some(outcome) = asking.try_join_next() {
                outcomes.push(outcome?);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = began.elapsed();
        let cores = own_work()?.saturating_sub(worked).as_secs_f64() / took.as_secs_f64();
        outcomes.extend(asking.join_all().await);
        Ok(Part::of(outcomes, took, cores))
    }

    async fn ask_once(&self) -> Outcome {
        let began = Instant::now();
        match tokio::time::timeout(RESPONSE_TIMEOUT, self.fetch()).await {
            Ok(Ok((StatusCode::OK, body))) if is_whole(&body) => Outcome::Whole(began.elapsed()),
            Ok(Ok((_, body))) if is_refusal(&body) => Outcome::TurnedAway(began.elapsed()),
            Ok(Ok((status, body))) => {
                Outcome::Broken(format!("{status}: {}", String::from_utf8_lossy(&body)))
            }
            Ok(Err(error)) => Outcome::Broken(format!("{error:#}")),
            Err(_) => Outcome::Broken(format!("nothing within {RESPONSE_TIMEOUT:?}")),
        }
    }

    async fn fetch(&self) -> Result<(StatusCode, bytes::Bytes)> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut page = match idle {
            Some(page) => page,
            None => PageLoad::connect(&self.authority, &self.operation).await?,
        };
        let answer = page.ask().await?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(page);
        Ok(answer)
    }
}

/// Whether this says to come back later, in a way that the app and people understand.
fn is_refusal(body: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let error = &answer["errors"][0];
    answer["data"].is_null() && error["extensions"]["code"] == "UNAVAILABLE" && error["message"].is_string()
}

impl Part {
    fn of(outcomes: Vec<Outcome>, took: Duration, cores: f64) -> Self {
        let mut part = Self {
            whole: Vec::new(),
            turned_away: Vec::new(),
            broken: Vec::new(),
            took,
            cores,
        };
        for outcome in outcomes {
            match outcome {
                Outcome::Whole(time) => part.whole.push(time),
                Outcome::TurnedAway(time) => part.turned_away.push(time),
                Outcome::Broken(why) => part.broken.push(why),
            }
        }
        part.whole.sort_unstable();
        part.turned_away.sort_unstable();
        part
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody asks 2^52 times")]
    fn per_second(&self, count: usize) -> f64 {
        count as f64 / self.took.as_secs_f64()
    }

    fn print(&self, name: &str) {
        let all = self.whole.len() + self.turned_away.len() + self.broken.len();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{name:<8} {:>9.0} {:>9.0} {:>9} {:>8} {:>8.0} {:>8.0} {:>8.0} {:>12.0} {:>10.2}",
            self.per_second(all),
            self.per_second(self.whole.len()),
            self.turned_away.len(),
            self.broken.len(),
            ms(at(&self.whole, 50)),
            ms(at(&self.whole, 99)),
            ms(at(&self.whole, 100)),
            ms(at(&self.turned_away, 100)),
            self.cores
        );
    }
}

/// How long this process has worked, in all its threads.
fn own_work() -> Result<Duration> {
    /// The unit of the kernel's CPU times (`USER_HZ`).
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, which may have anything in it, ends at the last bracket.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u32>().ok());
    let ticks = ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default();
    Ok(TICK * ticks)
}
