//! `./dev stack-test`: the stack on a real Docker engine, from nothing to nothing, with what may happen to it in between.
//!
//! Where no engine runs, one is started that disturbs nothing (`compose/engine`); where no image can be pulled, its
//! bases are made from Debian's packages (`compose/base`). Both stay in cargo's target folder for the next time.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use uuid::Uuid;
use xtask::workspace::{root, target_dir};

use crate::seed::people::PEOPLE;
use crate::seed::site::{Member, Site};
use crate::tools::{command, output, run, say};

const STACK: &str = "proofsheet-test";
/// The machine may have two cores, and three databases start on them.
const PATIENCE: Duration = Duration::from_secs(150);
const PHOTOS: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the programs to pack. Without it: what ./dev builds.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Leaves the stack running at the end, and says how to reach it.
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn stack_test(arguments: Arguments) -> Result<()> {
    let binaries = arguments.binaries.unwrap_or_else(xtask::workspace::binaries);
    let mut engine = Engine::new();
    let mut table = Table::default();
    let result = walk(&mut engine, &mut table, &binaries).await;
    if arguments.keep {
        say(&format!(
            "it runs at {}; DOCKER_HOST={}",
            engine.url(),
            engine.host.as_deref().unwrap_or("(the machine's own)")
        ));
    } else {
        let taken_down = table
            .step("take everything down", async { engine.take_down() })
            .await;
        table.print();
        return result.and(taken_down);
    }
    table.print();
    result
}

async fn walk(engine: &mut Engine, table: &mut Table, binaries: &Path) -> Result<()> {
    table
        .step("an engine and a Swarm", async { engine.start() })
        .await?;
    table.step("base images", async { engine.make_bases() }).await?;
    table.step("images", async { engine.pack(binaries) }).await?;
    table.step("secrets", async { engine.secrets() }).await?;
    table
        .step("deploy, until the site answers", engine.deploy(1))
        .await?;

    let site = Site::new(&engine.url())?;
    let members = table
        .step_of("register, upload, vote, comment", journey(&site))
        .await?;
    let visit = &members;

    // What follows goes on after a step that failed: one run shows everything.
    let steps = [
        table
            .step("scale the database to 3", engine.scale_database(3))
            .await,
        table
            .step("services start anew, and spread", engine.spread())
            .await,
        table
            .step(
                "kill a database node under votes",
                under_votes(visit, engine.kill_database()),
            )
            .await,
        table
            .step(
                "kill the vote service under votes",
                under_votes(visit, engine.kill("vote")),
            )
            .await,
        table
            .step(
                "update the vote service under votes",
                under_votes(visit, engine.update("vote")),
            )
            .await,
        table
            .step("comment to zero and back: a hole", engine.without_comments(visit))
            .await,
        table
            .step("four vote services, and one", engine.scale_and_back("vote", 4))
            .await,
        table
            .step("stack rm and deploy", engine.remove_and_deploy(3))
            .await,
        table.step("all data are there", visit.check()).await,
        table
            .step("the database back to 1", engine.scale_database(1))
            .await,
        table.step("and to 3 again", engine.scale_database(3)).await,
        table.step("all data are still there", visit.check()).await,
    ];
    steps.into_iter().collect()
}

/// What was done, how long it took, and what came of it.
#[derive(Default)]
struct Table(Vec<(String, Duration, String)>);

impl Table {
    async fn step(&mut self, name: &str, work: impl Future<Output = Result<String>>) -> Result<()> {
        say(name);
        let began = Instant::now();
        let result = work.await;
        let said = match &result {
            Ok(said) => said.clone(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        say(&format!("  {:.1} s: {said}", began.elapsed().as_secs_f64()));
        self.0.push((name.to_owned(), began.elapsed(), said));
        result.map(drop)
    }

    async fn step_of<'a>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<Visit<'a>>>,
    ) -> Result<Visit<'a>> {
        let mut made = None;
        self.step(name, async {
            let visit = work.await?;
            let said = format!("{} photos, votes and comments", visit.photos.len());
            made = Some(visit);
            Ok(said)
        })
        .await?;
        made.context("a step that went well made something")
    }

    fn print(&self) {
        println!("{:<40} {:>8}  result", "step", "seconds");
        for (name, time, said) in &self.0 {
            println!("{name:<40} {:>8.1}  {said}", time.as_secs_f64());
        }
    }
}

/// Who is signed in, and what they were told is kept.
struct Visit<'a> {
    author: Member<'a>,
    voter: Member<'a>,
    photos: Vec<String>,
    /// The last vote on each photo that was acknowledged.
    votes: Mutex<BTreeMap<String, &'static str>>,
    /// How often a vote had to be sent again.
    repeated: Mutex<u32>,
}

async fn journey(site: &Site) -> Result<Visit<'_>> {
    let author = site.join(&PEOPLE[0]).await?;
    let voter = site.join(&PEOPLE[1]).await?;
    let mut photos = Vec::new();
    for number in 0..PHOTOS {
        let title = format!("Sheet {number}");
        photos.push(
            author
                .publish(picture(number)?, "image/jpeg", &title, None)
                .await?,
        );
    }
    let visit = Visit {
        author,
        voter,
        photos,
        votes: Mutex::default(),
        repeated: Mutex::new(0),
    };
    for photo in &visit.photos {
        visit.vote(photo, "UP").await?;
        let input = json!({ "photoId": photo, "body": "Seen.", "idempotencyKey": Uuid::now_v7() });
        visit
            .voter
            .run(
                "mutation($input: AddCommentInput!) { addComment(input: $input) { id } }",
                json!({ "input": input }),
            )
            .await
            .context("commenting")?;
    }
    visit.check().await?;
    Ok(visit)
}

/// A small picture of its own.
fn picture(number: usize) -> Result<Vec<u8>> {
    let shade = u8::try_from(number * 50 % 256)?;
    let picture = RgbImage::from_fn(400, 300, |x, y| {
        Rgb([
            shade,
            u8::try_from(x * 255 / 400).unwrap_or(0),
            u8::try_from(y * 255 / 300).unwrap_or(0),
        ])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

impl Visit<'_> {
    /// Votes until it is acknowledged: a vote says what it is, so saying it twice is saying it once.
    async fn vote(&self, photo: &str, choice: &'static str) -> Result<()> {
        const CAST: &str =
            "mutation($photo: ID!, $vote: VoteChoice!) { castVote(photoId: $photo, vote: $vote) { id } }";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let variables = json!({ "photo": photo, "vote": choice });
            match self.voter.run_once(CAST, variables).await {
                Ok(data) if data["castVote"]["id"] == photo => break,
                outcome if Instant::now() > deadline => bail!("a vote was never taken: {outcome:?}"),
                _ => *self.repeated.lock().expect("no panic while locked") += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut votes = self.votes.lock().expect("no panic while locked");
        votes.insert(photo.to_owned(), choice);
        Ok(())
    }

    /// Looks for everything that was acknowledged.
    async fn check(&self) -> Result<String> {
        const LOOK: &str =
            "query($id: ID!) { photo(id: $id) { title viewerVote commentCount sources { srcset } } }";
        let votes = self.votes.lock().expect("no panic while locked").clone();
        for photo in &self.photos {
            let data = self.voter.run(LOOK, json!({ "id": photo })).await?;
            let found = &data["photo"];
            ensure!(found["title"].is_string(), "photo {photo} is not there: {data}");
            ensure!(
                found["viewerVote"].as_str() == votes.get(photo).copied(),
                "an acknowledged vote on {photo} is lost: {data}, not {:?}",
                votes.get(photo)
            );
            for source in found["sources"].as_array().into_iter().flatten() {
                for file in source["srcset"].as_str().unwrap_or_default().split(", ") {
                    let path = file.split(' ').next().unwrap_or(file);
                    self.author
                        .site()
                        .fetch(path)
                        .await
                        .with_context(|| format!("a file of {photo}"))?;
                }
            }
            ensure!(found["commentCount"] == 1, "a comment on {photo} is lost: {data}");
        }
        let published = self.author.photos().await?.len();
        ensure!(
            published == self.photos.len(),
            "{published} photos and not {}",
            self.photos.len()
        );
        Ok(format!(
            "{published} photos, {} votes, {published} comments: all there",
            votes.len()
        ))
    }
}

/// Does something to the site while somebody votes, and looks whether every acknowledged vote is there.
async fn under_votes(visit: &Visit<'_>, work: impl Future<Output = Result<String>>) -> Result<String> {
    let done = AtomicBool::new(false);
    *visit.repeated.lock().expect("no panic while locked") = 0;
    let voting = async {
        let mut count = 0;
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) || count < 10 {
            let photo = &visit.photos[count % visit.photos.len()];
            let choice = if (count / visit.photos.len()).is_multiple_of(2) {
                "DOWN"
            } else {
                "UP"
            };
            let began = Instant::now();
            visit.vote(photo, choice).await?;
            longest = longest.max(began.elapsed());
            count += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok((count, longest))
    };
    let working = async {
        let said = work.await;
        done.store(true, Ordering::Relaxed);
        said
    };
    let ((count, longest), said) = futures::try_join!(voting, working)?;
    visit.check().await?;
    let repeated = *visit.repeated.lock().expect("no panic while locked");
    Ok(format!(
        "{said}; {count} votes, 0 lost, {repeated} sent again, the longest took {:.1} s",
        longest.as_secs_f64()
    ))
}

/// A Docker engine: the machine's, or one of ours.
struct Engine {
    dir: PathBuf,
    /// Ours, if we started it.
    host: Option<String>,
    address: String,
    started_swarm: bool,
}

impl Engine {
    fn new() -> Self {
        Self {
            dir: target_dir().join("stack-test/engine"),
            host: None,
            address: "127.0.0.1".to_owned(),
            started_swarm: false,
        }
    }

    fn url(&self) -> String {
        format!("http://{}:4999", self.address)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = command(program, arguments);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
            .env("STACK", STACK)
            .env("TAG", "stack-test")
            .env("SECRETS", self.dir.with_file_name("secrets"));
        command
    }

    /// What docker prints; its complaints are part of the error.
    fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .command("docker", arguments)
            .output()
            .context("could not start docker")?;
        if !output.status.success() {
            bail!(
                "docker {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn start(&mut self) -> Result<String> {
        if self.docker(&["version"]).is_err() {
            let mut start = self.command("compose/engine", &["start"]);
            start.arg(&self.dir);
            let host = output("an engine", &mut start)?;
            self.host = Some(String::from_utf8(host)?.trim().to_owned());
            let address = output("its address", &mut self.command("compose/engine", &["address"]))?;
            String::from_utf8(address)?.trim().clone_into(&mut self.address);
        }
        if self.docker(&["info", "--format", "{{.Swarm.LocalNodeState}}"])? == "inactive" {
            // On a busy machine a node that is late with its heartbeat would have all its tasks started anew.
            self.docker(&[
                "swarm",
                "init",
                "--advertise-addr",
                &self.address,
                "--dispatcher-heartbeat",
                "30s",
            ])?;
            self.started_swarm = true;
        }
        ensure!(
            !self.docker(&["stack", "ls"])?.contains(STACK),
            "a stack {STACK} runs already: docker stack rm {STACK}"
        );
        let version = self.docker(&["version", "--format", "{{.Server.Version}}"])?;
        let whose = if self.host.is_some() {
            "one of our own"
        } else {
            "the machine's"
        };
        Ok(format!("Docker {version}, {whose}"))
    }

    fn make_bases(&self) -> Result<String> {
        let mut made = Vec::new();
        for (image, what) in [
            ("proofsheet/base", "programs"),
            ("proofsheet/base-database", "database"),
        ] {
            if self.docker(&["image", "inspect", image]).is_err() {
                run("making a base image", &mut self.command("compose/base", &[what]))?;
                made.push(image);
            }
        }
        Ok(if made.is_empty() {
            "made before".to_owned()
        } else {
            format!("made {}", made.join(" and "))
        })
    }

    fn pack(&self, binaries: &Path) -> Result<String> {
        let mut pack = self.command("compose/images", &["pack"]);
        pack.arg(binaries)
            .env("BASE", "proofsheet/base")
            .env("BASE_DATABASE", "proofsheet/base-database");
        let sizes = String::from_utf8(output("packing the images", &mut pack)?)?;
        let mut said = Vec::new();
        for line in sizes.lines() {
            let Some((name, size)) = line.split_once(":stack-test") else {
                continue;
            };
            let name = name.rsplit('/').next().unwrap_or(name);
            let size: u32 = size.trim().trim_end_matches(" MB").parse()?;
            let limit = match name {
                "router" => 130,
                "database" => u32::MAX,
                _ => 60,
            };
            ensure!(size <= limit, "{name} has {size} MB, more than {limit}");
            said.push(format!("{name} {size} MB"));
        }
        Ok(said.join(", "))
    }

    fn secrets(&self) -> Result<String> {
        output("the secrets", &mut self.command("compose/secrets", &[STACK]))?;
        let again = output(
            "the secrets again",
            &mut self.command("compose/secrets", &[STACK]),
        )?;
        let again = String::from_utf8(again)?;
        ensure!(
            again.starts_with("0 secrets made"),
            "a second run made more: {again}"
        );
        Ok("made once, and not again".to_owned())
    }

    async fn deploy(&self, databases: u32) -> Result<String> {
        let has_ipvs = Path::new("/proc/net/ip_vs").exists()
            || Command::new("modprobe")
                .args(["--quiet", "ip_vs"])
                .status()
                .is_ok_and(|status| status.success());
        let mut deploy = self.command("docker", &["stack", "deploy", "--resolve-image", "never"]);
        for file in ["stack.yml", "local.override.yml"] {
            deploy
                .arg("--compose-file")
                .arg(root().join("compose").join(file));
        }
        if !has_ipvs {
            deploy
                .arg("--compose-file")
                .arg(root().join("compose/no-ipvs.yml"));
        }
        deploy.arg(STACK).env("DB_REPLICAS", databases.to_string());
        output("docker stack deploy", &mut deploy)?;
        self.until("the site answers", || async {
            self.answers("latestPhotos").await
        })
        .await?;
        Ok(format!(
            "{} answers{}",
            self.url(),
            if has_ipvs {
                ""
            } else {
                " (no IPVS: dnsrr and host ports)"
            }
        ))
    }

    /// Whether a timeline comes, from whatever services that takes.
    async fn answers(&self, field: &str) -> Result<bool> {
        let query = format!("{{ {field}(first: 5) {{ nodes {{ id title votes {{ up }} }} }} }}");
        let answer = self.ask(&query).await?;
        Ok(answer["errors"].is_null() && answer["data"][field]["nodes"].is_array())
    }

    async fn ask(&self, query: &str) -> Result<Value> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let request = client
            .post(format!("{}/graphql", self.url()))
            .json(&json!({ "query": query }));
        Ok(request.send().await?.json().await?)
    }

    async fn until<F: Future<Output = Result<bool>>>(&self, what: &str, look: impl Fn() -> F) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            match look().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let tasks = self.docker(&[
            "stack",
            "ps",
            STACK,
            "--format",
            "{{.Name}} {{.CurrentState}} {{.Error}}",
        ])?;
        bail!(
            "waited {} s, and not: {what} (last: {last:?}). The tasks:\n{tasks}",
            PATIENCE.as_secs()
        )
    }

    fn containers(&self, service: &str) -> Result<Vec<String>> {
        let filter = format!("label=com.docker.swarm.service.name={STACK}_{service}");
        let ids = self.docker(&["ps", "--quiet", "--filter", &filter])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    fn scale(&self, service: &str, count: u32) -> Result<()> {
        self.docker(&[
            "service",
            "scale",
            "--detach=true",
            &format!("{STACK}_{service}={count}"),
        ])
        .map(drop)
    }

    async fn scale_database(&self, count: u32) -> Result<String> {
        self.scale("db", count)?;
        self.database_has(count).await
    }

    /// Waits until so many nodes are in step, by what each of them says.
    async fn database_has(&self, count: u32) -> Result<String> {
        let wanted = Value::from(count.to_string());
        self.until(&format!("{count} database nodes are Synced"), || async {
            let containers = self.containers("db")?;
            let synced = containers
                .iter()
                .filter(|container| {
                    self.docker(&["exec", container, "/service", "status"])
                        .ok()
                        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
                        .is_some_and(|status| {
                            status["wsrep"]["cluster_size"] == wanted && status["says"] == "running: Synced"
                        })
                })
                .count();
            Ok(containers.len() == count as usize && synced == containers.len())
        })
        .await?;
        Ok(format!("wsrep_cluster_size = {count}, all Synced"))
    }

    /// Starts the services anew, whose connections would otherwise spread within five minutes.
    async fn spread(&self) -> Result<String> {
        let services = ["profile", "photo", "vote", "comment"];
        for service in services {
            self.begin_update(service)?;
        }
        for service in services {
            self.updated(service).await?;
        }
        for _ in 0..20 {
            let pages = (0..8).map(|_| self.answers("latestPhotos"));
            futures::future::join_all(pages).await;
        }
        let mut counts = Vec::new();
        for container in self.containers("db")? {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE user IN ('profile', 'photo', 'vote', 'comment', 'authentication')";
            // The account that made the database is known by its user, who is the container's.
            let arguments = [
                "exec",
                &container,
                "mariadb",
                "--no-defaults",
                "--user=proofsheet",
                "--socket=/var/lib/proofsheet/mariadb.sock",
            ];
            let count =
                self.docker(&[&arguments[..], &["--skip-column-names", "--execute", sql]].concat())?;
            counts.push(count);
        }
        Ok(format!(
            "connections of services on the nodes: {}",
            counts.join(", ")
        ))
    }

    async fn kill_database(&self) -> Result<String> {
        let victim = self.containers("db")?.pop().context("there is a database node")?;
        self.docker(&["kill", "--signal", "KILL", &victim])?;
        let began = Instant::now();
        // Swarm notices, and starts another.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.database_has(3).await?;
        Ok(format!(
            "three in step again after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    async fn kill(&self, service: &str) -> Result<String> {
        let victim = self.containers(service)?.pop().context("there is a task")?;
        self.docker(&["kill", "--signal", "KILL", &victim])?;
        self.has(service, 1).await?;
        Ok("it is back".to_owned())
    }

    async fn update(&self, service: &str) -> Result<String> {
        self.begin_update(service)?;
        self.updated(service).await?;
        Ok("a new task took over".to_owned())
    }

    fn begin_update(&self, service: &str) -> Result<()> {
        let name = format!("{STACK}_{service}");
        self.docker(&["service", "update", "--quiet", "--force", "--detach=true", &name])
            .map(drop)
    }

    async fn updated(&self, service: &str) -> Result<()> {
        // It may still say how the update before this one ended.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let name = format!("{STACK}_{service}");
        let state = ["service", "inspect", "--format", "{{.UpdateStatus.State}}", &name];
        self.until("the update is complete", || async {
            Ok(self.docker(&state)? == "completed")
        })
        .await
    }

    async fn has(&self, service: &str, count: usize) -> Result<()> {
        self.until(&format!("{count} of {service} run"), || async {
            let filter = format!("name={STACK}_{service}");
            let replicas =
                self.docker(&["service", "ls", "--filter", &filter, "--format", "{{.Replicas}}"])?;
            Ok(replicas.starts_with(&format!("{count}/{count}")) && self.containers(service)?.len() == count)
        })
        .await
    }

    async fn without_comments(&self, visit: &Visit<'_>) -> Result<String> {
        self.scale("comment", 0)?;
        self.has("comment", 0).await?;
        let answer = self
            .ask("{ latestPhotos(first: 20) { nodes { title commentCount votes { up down } } } }")
            .await?;
        let nodes = answer["data"]["latestPhotos"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(
            nodes.len() == visit.photos.len(),
            "not every photo is there without comments: {answer}"
        );
        ensure!(
            answer["errors"].is_array(),
            "nobody says that comments are missing: {answer}"
        );
        self.scale("comment", 1)?;
        self.has("comment", 1).await?;
        self.until("comments are there again", || async {
            Ok(visit.check().await.is_ok())
        })
        .await?;
        Ok("every photo was there, and an error said what was missing".to_owned())
    }

    async fn scale_and_back(&self, service: &str, count: u32) -> Result<String> {
        self.scale(service, count)?;
        self.has(service, count as usize).await?;
        let all = (0..20).map(|_| self.answers("trendingPhotos"));
        let all = futures::future::join_all(all).await;
        ensure!(
            all.into_iter().all(|answer| answer.is_ok_and(|it| it)),
            "not every page came"
        );
        self.scale(service, 1)?;
        self.has(service, 1).await?;
        Ok(format!("{count} of {count}, then 1 of 1"))
    }

    async fn remove_and_deploy(&self, databases: u32) -> Result<String> {
        self.remove()?;
        let began = Instant::now();
        self.deploy(databases).await?;
        let answered = began.elapsed().as_secs_f64();
        let said = self.database_has(databases).await?;
        Ok(format!(
            "the site answers {answered:.1} s after the deploy; {said}"
        ))
    }

    /// Removes the stack, and waits until nothing of it is left but volumes and secrets.
    fn remove(&self) -> Result<()> {
        self.docker(&["stack", "rm", STACK])?;
        let label = format!("label=com.docker.stack.namespace={STACK}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let containers = self.docker(&["ps", "--quiet", "--all", "--filter", &label])?;
            let networks = self.docker(&["network", "ls", "--quiet", "--filter", &label])?;
            if containers.is_empty() && networks.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the stack does not go away: {containers} {networks}"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn take_down(&self) -> Result<String> {
        if self
            .docker(&["stack", "ls"])
            .is_ok_and(|stacks| stacks.contains(STACK))
        {
            self.remove()?;
        }
        for (kind, filter) in [
            ("secret", format!("label=org.proofsheet.stack={STACK}")),
            ("volume", format!("name={STACK}_")),
        ] {
            let names = self
                .docker(&[kind, "ls", "--quiet", "--filter", &filter])
                .unwrap_or_default();
            for name in names.lines() {
                self.docker(&[kind, "rm", name])?;
            }
        }
        if self.started_swarm {
            self.docker(&["swarm", "leave", "--force"])?;
        }
        let secrets = self.dir.with_file_name("secrets");
        if secrets.exists() {
            std::fs::remove_dir_all(secrets)?;
        }
        if self.host.is_some() {
            let mut stop = self.command("compose/engine", &["stop"]);
            run("stopping the engine", stop.arg(&self.dir))?;
        }
        Ok("nothing is left".to_owned())
    }
}
