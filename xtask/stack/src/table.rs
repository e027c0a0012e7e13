//! The table of results: step, time, outcome.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use xtask::tools::say;

#[derive(Default)]
pub(super) struct Table(Vec<Row>);

struct Row {
    name: String,
    time: Duration,
    said: String,
    failed: bool,
}

impl Table {
    /// Runs a step and records its outcome.
    pub(super) async fn step<T: Display>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        say(name);
        let began = Instant::now();
        let result = work.await;
        let said = match &result {
            Ok(said) => said.to_string(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        say(&format!("  {:.1} s: {said}", began.elapsed().as_secs_f64()));
        self.0.push(Row {
            name: name.to_owned(),
            time: began.elapsed(),
            said,
            failed: result.is_err(),
        });
        result
    }

    /// Runs a step whose failure does not end the run.
    pub(super) async fn try_step<T: Display>(&mut self, name: &str, work: impl Future<Output = Result<T>>) {
        // The table contains the errors.
        let _ = self.step(name, work).await;
    }

    pub(super) fn print(&self) {
        println!("{:<50} {:>8}  result", "step", "seconds");
        for row in &self.0 {
            println!("{:<50} {:>8.1}  {}", row.name, row.time.as_secs_f64(), row.said);
        }
    }

    /// Fails if steps failed, with their names.
    pub(super) fn verdict(&self) -> Result<()> {
        let failed: Vec<_> = self
            .0
            .iter()
            .filter(|row| row.failed)
            .map(|row| row.name.as_str())
            .collect();
        ensure!(failed.is_empty(), "these steps failed: {}", failed.join("; "));
        Ok(())
    }
}
