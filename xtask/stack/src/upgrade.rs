//! An upgrade, and the replacement of a leaked key.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::GraphqlRequest;
use harness::api::operations;
use serde_json::{Value, json};
use uuid::Uuid;
use workload::load::SiteLoad;
use workload::users::USER_PASSWORD;

use crate::STACK;
use crate::engine::DockerEngine;

const NEXT_TAG: &str = "stack-test-next";
/// The time after which no service accepts a withdrawn key.
const WITHDRAWAL_TIMEOUT: Duration = Duration::from_secs(330);

impl DockerEngine {
    /// Deploys all images with another tag, after the migration of vote.
    pub(super) async fn upgrade(&self) -> Result<String> {
        let ours = ["image", "ls", "--filter", "reference=proofsheet/*:stack-test"];
        let images = self
            .docker(&[&ours[..], &["--format", "{{.Repository}}"]].concat())
            .await?;
        for image in images.lines() {
            self.docker(&[
                "tag",
                &format!("{image}:stack-test"),
                &format!("{image}:{NEXT_TAG}"),
            ])
            .await?;
        }
        self.migrate_before().await?;
        let began = Instant::now();
        self.deploy(
            &["stack.yml", "local.override.yml"],
            &[("DB_REPLICAS", "3"), ("TAG", NEXT_TAG)],
        )
        .await?;
        self.settled().await?;
        self.database_has(3).await?;
        let running = ["stack", "ps", STACK, "--filter", "desired-state=running"];
        let old = self
            .docker(&[&running[..], &["--format", "{{.Name}} {{.Image}}"]].concat())
            .await?;
        let old: Vec<_> = old.lines().filter(|task| !task.ends_with(NEXT_TAG)).collect();
        ensure!(old.is_empty(), "these are of the old release: {old:?}");
        let migrations = self.migrations_of_next().await?;
        ensure!(
            migrations.len() == 1,
            "vote was migrated again by the deploy: {migrations:?}"
        );
        Ok(format!(
            "the migration of vote before it; every task is of the new release after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    async fn migrate_before(&self) -> Result<()> {
        let image = format!("proofsheet/vote:{NEXT_TAG}");
        let name = format!("{STACK}_migrate_vote");
        let update = ["service", "update", "--detach", "--no-resolve-image", "--image"];
        self.docker(&[&update[..], &[image.as_str(), name.as_str()]].concat())
            .await?;
        self.until("the migration is complete", async || {
            let tasks = self.migrations_of_next().await?;
            Ok(tasks.iter().any(|state| state.starts_with("Complete")))
        })
        .await
    }

    /// The states of the tasks that migrate vote for the next release.
    async fn migrations_of_next(&self) -> Result<Vec<String>> {
        let name = format!("{STACK}_migrate_vote");
        let columns = ["--format", "{{.Image}} {{.CurrentState}}"];
        let tasks = self
            .docker(&[&["service", "ps", name.as_str()], &columns[..]].concat())
            .await?;
        let next = format!("proofsheet/vote:{NEXT_TAG} ");
        let states = tasks.lines().filter_map(|task| task.strip_prefix(&next));
        Ok(states.map(str::to_owned).collect())
    }

    /// Withdraws all keys but a new one. Tokens become invalid, and sessions continue.
    pub(super) async fn withdraw_keys(&self, load: &SiteLoad) -> Result<String> {
        let site = self.site()?;
        let (email, photo) = load.voter().await?;
        let login = operations::login(&email, USER_PASSWORD);
        let mut session = site.run(None, &login).await?["login"].take();
        let old = session["accessToken"].clone();
        ensure!(
            self.accepting_services(&old, &photo).await? == 2,
            "a new token is refused"
        );
        self.run_in("authentication", &["rotate-keys", "--at-once"])
            .await?;
        let began = Instant::now();
        while self.accepting_services(&old, &photo).await? > 0 {
            ensure!(began.elapsed() < WITHDRAWAL_TIMEOUT, "the old token still works");
            tokio::time::sleep(Duration::from_secs(2)).await;
            // Like other requests: a service that does not know a key loads all keys again.
            let refresh = operations::refresh_session(session["refreshToken"].as_str().unwrap_or_default());
            session = site.run(None, &refresh).await?["refreshSession"].take();
            let goes_on = self.accepting_services(&session["accessToken"], &photo).await? == 2;
            ensure!(goes_on, "the session does not continue");
        }
        let after = began.elapsed().as_secs_f64();
        load.refresh_sessions().await?;
        load.check().await?;
        Ok(format!(
            "the old token stops working after {after:.0} s, and the session continues with new ones"
        ))
    }

    /// Returns how many of two services accept a token: authentication, which issued it, and vote.
    async fn accepting_services(&self, token: &Value, photo: &Uuid) -> Result<usize> {
        let token = token.as_str().context("signing in gave no token")?;
        let look = format!("{{ viewer {{ id }} photo(id: \"{photo}\") {{ viewerVote }} }}");
        let answer = self
            .site()?
            .ask(Some(token), &GraphqlRequest::new(look, json!({})))
            .await?;
        let data = &answer.0["data"];
        ensure!(data["photo"].is_object(), "{answer:?}");
        let believing = [&data["viewer"]["id"], &data["photo"]["viewerVote"]];
        Ok(believing.iter().filter(|it| it.is_string()).count())
    }
}
