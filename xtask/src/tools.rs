//! Running other programs.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::root;

/// A command in the root of the repository.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// cargo, of the pinned toolchain. Never with `-p` for what runs on this machine: a build of the whole
/// workspace has one set of features, and everything compiles once.
pub fn cargo(arguments: &[&str]) -> Command {
    command("cargo", arguments)
}

/// A program of the pinned npm tools.
pub fn npm_tool(name: &str) -> Result<Command> {
    let file = root().join("xtask/node_modules/.bin").join(name);
    if !file.exists() {
        bail!(
            "{} is missing. Run ./dev, which installs the front-end tools.",
            file.display()
        );
    }
    let mut command = Command::new(file);
    command.current_dir(root());
    Ok(command)
}

/// Runs a command whose output the person at the terminal sees.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start: {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}); the lines above say why");
    }
    Ok(())
}

/// Runs a command for what it prints; its errors are shown.
pub fn output(what: &str, command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("could not start: {what}"))?;
    if !output.status.success() {
        bail!("{what} failed ({}); the lines above say why", output.status);
    }
    Ok(output.stdout)
}

/// Prints a progress message.
pub fn say(text: &str) {
    eprintln!("dev: {text}");
}
