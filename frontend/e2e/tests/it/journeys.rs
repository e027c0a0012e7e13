//! Runs several journeys on one system. A failed journey does not stop the others.

use anyhow::{Result, bail};

#[derive(Default)]
pub(crate) struct Journeys {
    failed: Vec<String>,
}

impl Journeys {
    /// Runs a journey, and prints its duration or records its error.
    pub(crate) async fn run(&mut self, name: &str, journey: impl Future<Output = Result<()>>) {
        let started = std::time::Instant::now();
        match journey.await {
            Ok(()) => println!("{name}: {:.1} s", started.elapsed().as_secs_f32()),
            Err(error) => self.failed.push(format!("{name}: {error:?}")),
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("{} failed\n\n{}", self.failed.len(), self.failed.join("\n\n"))
    }
}
