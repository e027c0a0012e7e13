//! `./dev new-subgraph` in a copy of the tree: the result is formatted and linted, passes its tests, composes with the
//! others, and answers through the router.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::system::{SERVICES, free_port};
use harness::workspace::{root, target_dir};
use serde_json::{Value, json};

/// The copy, and a target folder with the compiled dependencies of the original.
struct Checkout {
    folder: PathBuf,
}

impl Checkout {
    fn new() -> Self {
        let copy = Self {
            folder: target_dir().join("new-subgraph"),
        };
        let _ = fs::remove_dir_all(&copy.folder);
        copy_sources(root(), &copy.tree());
        for installed in ["xtask/node_modules", "router/playground/dist"] {
            if root().join(installed).exists() {
                symlink(root().join(installed), copy.tree().join(installed)).unwrap();
            }
        }
        for profile in ["debug", "xtask"] {
            link_dependencies(&target_dir().join(profile), &copy.target().join(profile));
        }
        let tools = target_dir().join("tools");
        if tools.exists() {
            symlink(tools, copy.target().join("tools")).unwrap();
        }
        copy
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        // Cargo sets these for the tests of the original.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.tree())
            .env("CARGO_TARGET_DIR", self.target())
            .env("SQLX_OFFLINE", "true");
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = self.command(program, arguments).status().unwrap();
        assert!(
            status.success(),
            "{program} {arguments:?} failed; see the output above"
        );
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Copies the sources.
fn copy_sources(from: &Path, to: &Path) {
    let is_source = |entry: &walkdir::DirEntry| {
        !matches!(
            entry.file_name().to_str(),
            Some(".git" | ".proofsheet" | "node_modules" | "target" | "dist")
        )
    };
    for entry in walkdir::WalkDir::new(from).into_iter().filter_entry(is_source) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Links the compiled packages of registries, which costs neither space nor time. The packages of this
/// workspace are left out: cargo would write the copy's into the same files.
fn link_dependencies(from: &Path, to: &Path) {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock
        .split("[[package]]")
        .filter(|package| !package.contains("\nsource = "));
    let own: BTreeSet<&str> = packages.filter_map(|package| package.split('"').nth(1)).collect();
    let mut own_hashes = BTreeSet::new();
    for folder in [".fingerprint", "build", "deps"] {
        for entry in fs::read_dir(from.join(folder)).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            // Folders are named by package and hash, files by target and hash.
            let (package, hash) = name.rsplit_once('-').unwrap_or((&name, ""));
            let hash = hash.split('.').next().unwrap_or_default().to_owned();
            if folder != "deps" && own.contains(package) {
                own_hashes.insert(hash);
            } else if !own_hashes.contains(&hash) {
                link(&entry.path(), &to.join(folder).join(name));
            }
        }
    }
}

/// Links a file, or the files of a folder.
fn link(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            let target = if entry.depth() == 0 {
                to.to_path_buf()
            } else {
                target
            };
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::hard_link(entry.path(), target).unwrap();
        }
    }
}

/// `./dev up` in the copy. Closes everything when dropped.
struct Site {
    process: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Site {
    fn start(copy: &Checkout) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = free_port().unwrap().to_string();
        let program = copy.target().join("debug/up").display().to_string();
        let mut process = copy
            .command(&program, &["--no-build", "--port", &port, "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let url = line
            .strip_prefix("ready: ")
            .expect("the site starts")
            .trim()
            .to_owned();
        Self {
            process,
            url,
            _data: data,
        }
    }

    async fn data(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.post(format!("{}/graphql", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let operation = json!({ "query": query, "variables": variables });
        let answer = request.json(&operation).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["errors"], Value::Null, "{query}");
        answer["data"].clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_new_subgraph_answers_through_the_router() {
    let copy = Checkout::new();
    copy.run("./dev", &["new-subgraph", "album"]);

    copy.run("cargo", &["fmt", "--all", "--check"]);
    copy.run("./dev", &["test", "comments", "names", "modules", "service list"]);
    let album = ["--bin", "album", "--test", "album"];
    copy.run(
        "cargo",
        &[&["clippy", "--no-deps"], &album[..], &["--", "-D", "warnings"]].concat(),
    );
    copy.run("cargo", &["test", "--test", "album"]);

    let mut build = vec!["build", "--bin", "up", "--bin", "router", "--bin", "album"];
    build.extend(SERVICES.iter().flat_map(|service| ["--bin", service]));
    copy.run("cargo", &build);
    let site = Site::start(&copy);

    let register = "mutation ($i: RegisterInput!) { register(input: $i) { accessToken } }";
    let input = json!({ "i": { "email": "ada@example.org", "password": "a long way to the sea" } });
    let registered = site.data(None, register, input).await;
    let token = registered["register"]["accessToken"].as_str();

    let create = "mutation { createAlbum(title: \"Herons\") { id owner { id username } } }";
    let created = site.data(token, create, Value::Null).await;
    // The name of the owner comes from another service.
    let username = created["createAlbum"]["owner"]["username"].as_str();
    assert!(
        username.is_some_and(|name| name.starts_with("guest-")),
        "{created}"
    );

    let id = &created["createAlbum"]["id"];
    let query = "query ($id: ID!) { album(id: $id) { title } }";
    let found = site.data(None, query, json!({ "id": id })).await;
    assert_eq!(found["album"]["title"], "Herons");
}
