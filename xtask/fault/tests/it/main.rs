//! The fault test itself: that it passes where it should, and fails where it must.

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
fn a_killed_database_node_costs_nothing() {
    fault("--seed 1 --faults kill-one --seconds 3");
}

/// The ones that break most, on one cluster, and the control that takes the least time.
#[test]
#[ignore = "long: ./dev test --long"]
fn faults_of_all_kinds_cost_nothing() {
    fault("--seed 2 --faults kill-all,full-disk,stop-all,kill-services --runs 4 --seconds 3 --control rmw");
}

/// Everything is destroyed, and comes back from the backup.
#[test]
#[ignore = "long: ./dev test --long"]
fn a_site_comes_back_from_its_backup() {
    fault("drill --seed 3 --seconds 30");
}
