//! Load on the site during a change.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::STEP_TIMEOUT;
use crate::visit::{Visit, files, picture};
use seed::site::RequestError;

/// Minimum number of repetitions of each kind of work.
const MIN_REPETITIONS: u32 = 3;

/// The allowed outcomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requests {
    /// All requests succeed at the first attempt.
    NoneFails,
    /// Some fail, acknowledged writes are kept, and retries succeed.
    SomeMayFail,
}

/// Runs `work` under load, and then checks that every acknowledged write exists.
pub(super) async fn under_load(
    visit: &Visit<'_>,
    requests: Requests,
    work: impl Future<Output = Result<String>>,
) -> Result<String> {
    let load = Load {
        visit,
        done: AtomicBool::new(false),
        tallies: Mutex::default(),
    };
    let working = async {
        let said = work.await;
        load.done.store(true, Ordering::Relaxed);
        said
    };
    let (said, ..) = futures::try_join!(
        Box::pin(working),
        Box::pin(load.read()),
        Box::pin(load.fetch()),
        Box::pin(load.vote()),
        Box::pin(load.comment()),
        Box::pin(load.upload())
    )?;
    visit.check().await?;
    let tallies = load.tallies();
    let failed: u32 = tallies.0.values().map(|tally| tally.failed).sum();
    ensure!(
        requests == Requests::SomeMayFail || failed == 0,
        "{said}, but requests failed: {tallies}"
    );
    Ok(format!("{said}; nothing lost; {tallies}"))
}

struct Load<'a> {
    visit: &'a Visit<'a>,
    done: AtomicBool,
    tallies: Mutex<Tallies>,
}

#[derive(Default)]
struct Tallies(BTreeMap<&'static str, Tally>);

#[derive(Default)]
struct Tally {
    done: u32,
    /// Failed attempts, which were repeated.
    failed: u32,
    /// The maximum time of one piece of work with all its attempts.
    longest: Duration,
    first_failure: Option<String>,
}

impl Load<'_> {
    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn needs_more(&self, kind: &'static str) -> bool {
        let done = self.tallies().0.get(kind).map_or(0, |tally| tally.done);
        !self.done.load(Ordering::Relaxed) || done < MIN_REPETITIONS
    }

    /// Retries until `work` succeeds, and counts the attempts.
    async fn until_done<T>(&self, kind: &'static str, mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            let outcome = work().await;
            self.count(kind, began, &outcome);
            match outcome {
                // A stopped part may cause failures, but no internal errors.
                Err(error) if is_internal(&error) => bail!("{kind} were answered with INTERNAL: {error:#}"),
                Err(error) if began.elapsed() > STEP_TIMEOUT => bail!("{kind} never worked again: {error:#}"),
                Err(_) => pause(100).await,
                done => return done,
            }
        }
    }

    fn count<T>(&self, kind: &'static str, began: Instant, outcome: &Result<T>) {
        let mut tallies = self.tallies();
        let tally = tallies.0.entry(kind).or_default();
        tally.longest = tally.longest.max(began.elapsed());
        match outcome {
            Ok(_) => tally.done += 1,
            Err(error) => {
                tally.failed += 1;
                tally.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    async fn read(&self) -> Result<()> {
        const KIND: &str = "timelines";
        let mut fields = ["latestPhotos", "trendingPhotos"].iter().cycle();
        while self.needs_more(KIND) {
            let field = *fields.next().expect("a cycle has no end");
            let page = format!(
                "{{ {field}(first: 12) {{ nodes {{ id title author {{ displayName }} votes {{ up down }} \
                 viewerVote commentCount sources {{ srcset }} }} }} }}"
            );
            self.until_done(KIND, async || {
                let data = self.visit.voter.run_once(&page, json!({})).await?;
                let nodes = data[field]["nodes"].as_array().map_or(0, Vec::len);
                ensure!(nodes > 0, "a timeline without photos");
                Ok(())
            })
            .await?;
            pause(40).await;
        }
        Ok(())
    }

    async fn fetch(&self) -> Result<()> {
        const KIND: &str = "files";
        const LOOK: &str = "query($id: ID!) { photo(id: $id) { sources { srcset } } }";
        let photo = self.visit.photos().pop();
        let data: Value = self
            .until_done("timelines", async || {
                self.visit.voter.run_once(LOOK, json!({ "id": photo })).await
            })
            .await?;
        let files = files(&data["photo"]);
        ensure!(!files.is_empty(), "a photo without files: {data}");
        for path in files.iter().cycle() {
            if !self.needs_more(KIND) {
                break;
            }
            self.until_done(KIND, async || self.visit.author.site().fetch(path).await)
                .await?;
            pause(50).await;
        }
        Ok(())
    }

    async fn vote(&self) -> Result<()> {
        const KIND: &str = "votes";
        let photos = self.visit.photos();
        let choices = ["DOWN", "UP"].iter().cycle();
        for (round, choice) in choices.enumerate() {
            if !self.needs_more(KIND) {
                break;
            }
            // The number of photos is not a multiple of that of choices, so that votes change.
            let photo = &photos[(round / 2 + round) % photos.len()];
            self.until_done(KIND, async || self.visit.vote(photo, choice).await)
                .await?;
            pause(50).await;
        }
        Ok(())
    }

    async fn comment(&self) -> Result<()> {
        const KIND: &str = "comments";
        for photo in self.visit.photos().iter().cycle() {
            if !self.needs_more(KIND) {
                break;
            }
            let key = Uuid::now_v7();
            self.until_done(KIND, async || self.visit.comment(photo, key).await)
                .await?;
            pause(250).await;
        }
        Ok(())
    }

    async fn upload(&self) -> Result<()> {
        const KIND: &str = "uploads";
        for number in 0.. {
            if !self.needs_more(KIND) {
                break;
            }
            let upload = self
                .until_done(KIND, async || {
                    self.visit.author.upload(picture(number)?, "image/jpeg").await
                })
                .await?;
            let title = format!("Under load {number}");
            self.until_done("publishing", async || self.visit.publish(&upload, &title).await)
                .await?;
            pause(2_000).await;
        }
        Ok(())
    }
}

fn is_internal(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<RequestError>()
        .is_some_and(|refusal| refusal.code == "INTERNAL")
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

impl Display for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (kind, tally) in &self.0 {
            let longest = tally.longest.as_secs_f64();
            write!(f, "{separator}{} {kind}", tally.done)?;
            match &tally.first_failure {
                None => write!(f, " (≤ {longest:.1} s)")?,
                Some(failure) => write!(
                    f,
                    " (≤ {longest:.1} s, {} tries failed, first: {failure})",
                    tally.failed
                )?,
            }
            separator = ", ";
        }
        Ok(())
    }
}
