//! The fault test itself: that it passes where it should, and fails where it must.

use std::process::Command;

/// Runs it, and shows what it says.
fn fault(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_fault"))
        .args(arguments)
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "fault ended with {}", output.status);
}

#[test]
fn a_killed_database_node_costs_nothing() {
    fault(&["--seed", "1", "--faults", "kill-one", "--seconds", "3"]);
}

/// One of each kind, on one cluster, and the control that takes the least time.
#[test]
#[ignore = "long: ./dev test --long"]
fn faults_of_all_kinds_cost_nothing() {
    let faults = "kill-all,cut-one,full-disk,stop-all,kill-services";
    fault(&[
        "--seed",
        "2",
        "--faults",
        faults,
        "--seconds",
        "3",
        "--control",
        "rmw",
        "--runs",
        "5",
    ]);
}
