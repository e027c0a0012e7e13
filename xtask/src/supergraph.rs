//! `./dev supergraph`: composes the SDL of the subgraphs into `supergraph.graphql`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use contracts::services;
use serde_json::json;
use xtask::SERVICES;
use xtask::workspace::{root, target_dir};

use xtask::tools::{cargo, command, output, run, say};

fn committed() -> PathBuf {
    root().join("supergraph.graphql")
}

/// Writes the supergraph.
pub(crate) fn write() -> Result<()> {
    let supergraph = compose()?;
    fs::write(committed(), supergraph)?;
    say("wrote supergraph.graphql");
    Ok(())
}

/// Fails if the committed supergraph is not current.
pub(crate) fn check() -> Result<()> {
    if fs::read_to_string(committed())? != compose()? {
        bail!("supergraph.graphql is stale: run ./dev supergraph and commit the result");
    }
    Ok(())
}

fn compose() -> Result<String> {
    let mut build = cargo(&["build"]);
    for service in SERVICES.iter() {
        build.args(["--bin", service]);
    }
    run("building the services", &mut build)?;

    let mut services = Vec::from(services::all());
    services.sort_by_key(|service| service.name);
    let subgraphs = services
        .iter()
        .map(|service| {
            let name = service.name;
            let program = target_dir().join("debug").join(name);
            let mut schema = std::process::Command::new(&program);
            schema.arg("schema").current_dir(root());
            let sdl = String::from_utf8(output(&format!("{name} schema"), &mut schema)?)?;
            // A placeholder: the router replaces the URLs by its configuration.
            let url = format!("http://{name}:{}/graphql", service.port);
            Ok(json!({ "name": name, "url": url, "sdl": sdl }))
        })
        .collect::<Result<Vec<_>>>()?;

    let mut composition = command("node", &["xtask/supergraph.mjs"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start node")?;
    let mut input = composition.stdin.take().expect("the standard input is a pipe");
    let request = serde_json::to_vec(&subgraphs)?;
    // Written from a thread, so that neither side waits for the other's pipe to drain.
    let writing = std::thread::spawn(move || input.write_all(&request));
    let answer = composition.wait_with_output()?;
    writing
        .join()
        .expect("writing to a pipe does not panic")
        .context("the composition did not read its input")?;
    if !answer.status.success() {
        bail!("the subgraphs do not compose; see the output above");
    }
    Ok(String::from_utf8(answer.stdout)?)
}
