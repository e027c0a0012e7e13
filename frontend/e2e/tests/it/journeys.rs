//! Several journeys through one system: one that fails does not keep the others from being walked.

use anyhow::{Result, bail};

#[derive(Default)]
pub(crate) struct Journeys {
    failed: Vec<String>,
}

impl Journeys {
    /// Walks one, and says how long it took or how it ended.
    pub(crate) async fn walk(&mut self, name: &str, journey: impl Future<Output = Result<()>>) {
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
