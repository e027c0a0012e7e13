//! Builds and runs the programs of this workspace.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use xtask::SERVICES;
use xtask::tools::{cargo, command, run, say};
use xtask::workspace::target_dir;

/// Returns the path of a development build.
pub(crate) fn path(name: &str) -> PathBuf {
    target_dir().join("debug").join(name)
}

/// Builds programs in one build, so that cargo compiles them in parallel.
pub(crate) fn build(names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    compile(names, false)
}

pub(crate) fn build_all() -> Result<()> {
    run("compiling", &mut cargo(&["build", "--bins"]))
}

/// Builds the services, the router and these programs in release mode.
pub(crate) fn build_release(names: &[&str]) -> Result<()> {
    compile(&[&services(), names].concat(), true)
}

/// Builds the services, the router, the bundle of the app, and these programs.
pub(crate) fn build_system(names: &[&str], release: bool) -> Result<()> {
    say("compiling the services and the router");
    let mut programs = [names, &["bundle"]].concat();
    if release {
        build_release(&[])?;
    } else {
        programs.extend(services());
    }
    build(&programs)?;
    bundle()
}

/// Builds the services, the router and the bundle that is quick to build.
pub(crate) fn build_for_watching() -> Result<()> {
    say("compiling the services and the router");
    build(&[&services(), &["up", "bundle"][..]].concat())?;
    let bundle = path("bundle").display().to_string();
    run("bundling", &mut command(&bundle, &["--development"]))
}

/// Returns the programs of the running system.
pub(crate) fn services() -> Vec<&'static str> {
    [&SERVICES[..], &["router"]].concat()
}

pub(crate) fn compile(names: &[&str], release: bool) -> Result<()> {
    let mut build = cargo(&["build"]);
    for name in names {
        build.args(["--bin", name]);
    }
    if release {
        build.arg("--release");
    }
    run("compiling", &mut build)
        .context("Did a query change? Then run ./dev prepare first, which asks MariaDB about it.")
}

/// Bundles the app and the playground.
pub(crate) fn bundle() -> Result<()> {
    build_and_run("bundle", &[])
}

/// Builds a program and runs it until it ends.
pub(crate) fn build_and_run(name: &str, arguments: &[&str]) -> Result<()> {
    build(&[name])?;
    let program = path(name);
    run(name, &mut command(&program.display().to_string(), arguments))
}

pub(crate) fn build_and_exec(name: &str, arguments: &[OsString]) -> Result<()> {
    build(&[name])?;
    exec(name, arguments)
}

/// Replaces this process by a program.
pub(crate) fn exec(name: &str, arguments: &[OsString]) -> Result<()> {
    become_program(&path(name), arguments)
}

pub(crate) fn exec_release(name: &str, arguments: &[OsString]) -> Result<()> {
    become_program(&target_dir().join("release").join(name), arguments)
}

fn become_program(program: &Path, arguments: &[OsString]) -> Result<()> {
    let error = Command::new(program).args(arguments).exec();
    Err(anyhow!(error).context(format!("could not start {}", program.display())))
}
