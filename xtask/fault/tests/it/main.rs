//! Runs the fault test on small clusters.

mod single;

use std::process::Command;

/// Runs the program, and prints its output.
fn fault(arguments: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_fault"))
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "fault ended with {}", output.status);
}

#[test]
fn no_writes_are_lost_when_a_database_node_is_killed() {
    fault("--seed 1 --faults kill-one --seconds 3");
}

/// The most destructive faults on one cluster, and the fastest control.
#[test]
#[ignore = "long: ./dev test --long"]
fn no_writes_are_lost_by_other_faults() {
    fault("--seed 2 --faults kill-all,full-disk,stop-all,kill-services --runs 4 --seconds 3 --control rmw");
}

/// Destroys the site, and restores it from the backup.
#[test]
#[ignore = "long: ./dev test --long"]
fn a_destroyed_site_is_restored_from_its_backup() {
    fault("drill --seed 3 --seconds 30");
}
