//! Failed deploys: each gives a clear message, and the running site stays up.

use anyhow::{Context, Result, bail, ensure};
use harness::wait;

use crate::engine::{DockerEngine, STACK_POLL_INTERVAL};
use crate::steps::in_sync;
use crate::{STACK, STEP_TIMEOUT};

impl DockerEngine {
    /// The site starts automatically when the port is free.
    pub(super) async fn deploy_on_a_port_in_use(&self) -> Result<String> {
        const DATABASE_IMAGE: &str = "proofsheet/database:stack-test";
        let run = ["run", "--detach", "--rm", "--publish", "4999:4999"];
        let stranger = [&run[..], &["--entrypoint", "sleep", DATABASE_IMAGE, "600"]].concat();
        let stranger = self.docker(&stranger).await?;
        let refused = self.deploy(&["stack.yml", "local.override.yml"], &[]).await;
        let said = match refused {
            // Swarm rejects ports that it uses before it changes anything.
            Err(error) => format!("{error:#}"),
            Ok(()) => self.wait_for_task_error("router", "port").await?,
        };
        self.docker(&["rm", "--force", "--volumes", &stranger]).await?;
        let answers = self.deploy_here(1).await?;
        Ok(format!("{:?}; with the port free again, {answers}", last(&said)))
    }

    /// Deploys a stack without its secrets.
    pub(super) async fn without_a_secret(&self) -> Result<String> {
        let before = self.tasks().await?;
        let refused = self
            .deploy(&["stack.yml", "local.override.yml"], &[("STACK", "unmade")])
            .await;
        let Err(error) = refused else {
            bail!("it was deployed without secrets");
        };
        let said = format!("{error:#}");
        ensure!(
            said.contains("secret not found: unmade_"),
            "not the message: {said}"
        );
        ensure!(before == self.tasks().await?, "tasks were restarted");
        Ok(format!("refused, {:?}", last(&said)))
    }

    pub(super) async fn with_a_wrong_password(&self) -> Result<String> {
        let secret = format!("{STACK}_wrong_url");
        let mut create = self.command("docker", &["secret", "create", &secret, "-"]);
        create
            .args(["--label", &format!("org.proofsheet.stack={STACK}")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null());
        let mut child = create.spawn()?;
        let stdin = child.stdin.take().context("docker reads")?;
        std::io::Write::write_all(&mut &stdin, b"mysql://vote:wrong@tasks.db:3306/vote")?;
        drop(stdin);
        ensure!(child.wait()?.success(), "the wrong secret was not made");
        let add = format!("source={secret},target=database_url,uid=65532,gid=65532,mode=0400");
        let rm = format!("{STACK}_vote_database_url");
        let refusal = self
            .update_that_rolls_back("vote", &["--secret-rm", &rm, "--secret-add", &add])
            .await?;
        let logs = self.logs("vote").await?;
        let said = logs.lines().rfind(|line| line.contains("password"));
        let said = said.context("no line of the log says that the password is wrong")?;
        Ok(format!("{refusal:?}; the log: {said:?}"))
    }

    pub(super) async fn with_an_image_that_does_not_start(&self) -> Result<String> {
        let dockerfile = "FROM proofsheet/vote:stack-test\nENTRYPOINT [\"/nothing\"]\n";
        self.image("proofsheet/broken:stack-test", dockerfile)?;
        let image = ["--no-resolve-image", "--image", "proofsheet/broken:stack-test"];
        let said = self.update_that_rolls_back("vote", &image).await?;
        Ok(format!("{said:?}"))
    }

    pub(super) async fn with_an_update_that_never_becomes_healthy(&self) -> Result<String> {
        let dockerfile = "FROM proofsheet/vote:stack-test\n\
            HEALTHCHECK --interval=1s --start-period=2s --retries=2 \
            CMD [\"/service\", \"healthcheck\", \"--listen\", \"127.0.0.1:9\"]\n";
        self.image("proofsheet/unhealthy:stack-test", dockerfile)?;
        let image = ["--no-resolve-image", "--image", "proofsheet/unhealthy:stack-test"];
        let said = self.update_that_rolls_back("vote", &image).await?;
        Ok(format!("{said:?}"))
    }

    /// Deploys another service on the port of the site.
    pub(super) async fn another_on_the_port(&self) -> Result<String> {
        let name = format!("{STACK}_second");
        let create = ["service", "create", "--detach", "--quiet", "--no-resolve-image"];
        let port = ["--publish", "mode=host,target=4999,published=4999"];
        let image = ["--name", &name, "proofsheet/router:stack-test"];
        let created = self.docker(&[&create[..], &port, &image].concat()).await;
        let said = if let Err(error) = created {
            format!("{error:#}")
        } else {
            let said = self.wait_for_task_error("second", "port").await?;
            self.docker(&["service", "rm", &name]).await?;
            said
        };
        Ok(format!("the second says {:?}", last(&said)))
    }

    /// Gives the third node a volume that is too small for the data. The others continue. Then the node gets a larger
    /// one.
    pub(super) async fn database_without_space(&self) -> Result<String> {
        let volume = format!("{STACK}_db-3");
        // The previous task may still be stopping.
        self.until("the third volume is free", async || {
            Ok(self.docker(&["volume", "rm", &volume]).await.is_ok())
        })
        .await?;
        let size = "o=size=48m,uid=65532,gid=65532,mode=0700";
        let tmpfs = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", size];
        self.docker(&[&["volume", "create"], &tmpfs[..], &[&volume]].concat())
            .await?;
        self.scale("db", 3).await?;
        let said = wait::until_every(
            STACK_POLL_INTERVAL,
            "an agent that says that it has no space",
            STEP_TIMEOUT,
            || async {
                let nodes = self.database_nodes().await?;
                let mut says = nodes.iter().filter_map(|node| node["message"].as_str());
                let found = says.find(|message| message.contains("space"));
                Ok(found.context("none does")?.to_owned())
            },
        )
        .await?;
        self.until("the two others continue", async || {
            let mut nodes = self.database_nodes().await?;
            nodes.retain(|node| node["slot"] != 3);
            Ok(in_sync(&nodes, 2))
        })
        .await?;
        self.scale_database(2).await?;
        self.until("the small volume is free", async || {
            Ok(self.docker(&["volume", "rm", &volume]).await.is_ok())
        })
        .await?;
        Ok(format!("the third says {said:?}; two went on"))
    }

    /// Changes a service in a way that must fail, and waits for the rollback. Returns Swarm's message and the new task.
    async fn update_that_rolls_back(&self, service: &str, changes: &[&str]) -> Result<String> {
        let before = self.task_errors(service).await?;
        let Err(refusal) = self.update(service, changes).await else {
            bail!("the update went through");
        };
        let refusal = format!("{refusal:#}");
        ensure!(refusal.starts_with("rollback_completed"), "{refusal}");
        let complaints = self.task_errors(service).await?;
        // A task that is only unhealthy ends without an error.
        let new = complaints.iter().find(|(task, _)| !before.contains_key(*task));
        Ok(new.map_or(refusal.clone(), |(_, why)| format!("{refusal}\n{why}")))
    }

    /// Waits until a task of a service has an error that contains `about`.
    async fn wait_for_task_error(&self, service: &str, about: &str) -> Result<String> {
        let complaint = async || {
            let complaints = self.task_errors(service).await?;
            anyhow::Ok(complaints.into_values().find(|why| why.contains(about)))
        };
        self.until(&format!("{service} complains about {about}"), async || {
            Ok(complaint().await?.is_some())
        })
        .await?;
        complaint().await?.context("the complaint is gone")
    }
}

/// Returns the last line, which has the reason.
fn last(said: &str) -> &str {
    said.lines().next_back().unwrap_or(said)
}
