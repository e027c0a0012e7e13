//! Running other programs.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::root;

/// Returns a command that runs in the root of the repository.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Returns a cargo command of the pinned toolchain. Do not use `-p` for native programs: only builds of the whole
/// workspace have the same features, so that dependencies are compiled once.
pub fn cargo(arguments: &[&str]) -> Command {
    command("cargo", arguments)
}

/// Returns a program of the pinned npm tools.
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

/// Runs a command and shows its output.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start: {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}); see the output above");
    }
    Ok(())
}

/// Runs a command and returns its output. Its errors are shown.
pub fn output(what: &str, command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("could not start: {what}"))?;
    if !output.status.success() {
        bail!("{what} failed ({}); see the output above", output.status);
    }
    Ok(output.stdout)
}

/// Prints a progress message.
pub fn say(text: &str) {
    eprintln!("dev: {text}");
}
