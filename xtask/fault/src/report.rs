//! The result table, and the evidence of failures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use workload::audit::DefectKind;

use crate::plan::Fault;
use crate::run::Outcomes;

/// Maximum number of findings printed per run.
const MAX_PRINTED_FINDINGS: usize = 10;

/// The summary line of a run.
pub(crate) fn line(outcomes: &Outcomes) -> String {
    format!(
        "{:<14} {:>6} acknowledged, {} refused, {} unknown; {} lost, {} duplicate, {} wrong; longest gap {:.1} s, three in sync {:.1} s",
        outcomes.plan.fault.name(),
        outcomes.acknowledged,
        outcomes.refused,
        outcomes.unknown,
        outcomes.count(DefectKind::Lost),
        outcomes.count(DefectKind::Duplicate),
        outcomes.count(DefectKind::Wrong),
        outcomes.gap,
        outcomes.struck.recovery(),
    )
}

/// The findings, and the operations that show them.
pub(crate) fn evidence(outcomes: &Outcomes) -> String {
    let mut text = String::new();
    for finding in outcomes.findings.iter().take(MAX_PRINTED_FINDINGS) {
        let _ = writeln!(text, "  {:?}: {}", finding.kind, finding.what);
        for record in outcomes
            .evidence
            .iter()
            .filter(|record| finding.records.contains(&record.number))
            .take(6)
        {
            let line = serde_json::to_string(record).unwrap_or_default();
            let _ = writeln!(text, "    {line}");
        }
    }
    if outcomes.findings.len() > MAX_PRINTED_FINDINGS {
        let _ = writeln!(
            text,
            "  … and {} more",
            outcomes.findings.len() - MAX_PRINTED_FINDINGS
        );
    }
    text
}

/// All runs of one fault.
#[derive(Debug, Default)]
struct Row {
    runs: usize,
    acknowledged: usize,
    unknown: usize,
    lost: usize,
    duplicate: usize,
    wrong: usize,
    gaps: Vec<f64>,
    recoveries: Vec<f64>,
}

impl Row {
    fn add(&mut self, outcomes: &Outcomes) {
        self.runs += 1;
        self.acknowledged += outcomes.acknowledged;
        self.unknown += outcomes.unknown;
        self.lost += outcomes.count(DefectKind::Lost);
        self.duplicate += outcomes.count(DefectKind::Duplicate);
        self.wrong += outcomes.count(DefectKind::Wrong);
        self.gaps.push(outcomes.gap);
        self.recoveries.push(outcomes.struck.recovery());
    }
}

/// The table of all runs, as Markdown.
pub(crate) fn table(runs: &[Outcomes]) -> String {
    let mut rows: BTreeMap<usize, Row> = BTreeMap::new();
    let mut all = Row::default();
    for run in runs.iter().filter(|run| run.control.is_none()) {
        let place = Fault::ALL.iter().position(|fault| *fault == run.plan.fault);
        rows.entry(place.unwrap_or(usize::MAX)).or_default().add(run);
        all.add(run);
    }
    let mut text = String::new();
    if all.runs > 0 {
        text.push_str(
            "| fault | runs | acknowledged | unknown | lost | duplicate | wrong | longest gap, s: median, worst | three in sync, s: median, worst |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for (place, row) in rows {
            let name = Fault::ALL
                .get(place)
                .map_or("nothing", |fault| fault.description());
            write_row(&mut text, name, &row);
        }
        write_row(&mut text, "all", &all);
        text.push_str(&goals(runs));
    }
    let controls: Vec<_> = runs.iter().filter_map(|run| Some((run, run.control?))).collect();
    if !controls.is_empty() {
        text.push_str(
            "\n| negative control (detected) | acknowledged | lost | duplicate | wrong |\n|---|--:|--:|--:|--:|\n",
        );
        for (run, control) in controls {
            let lost = run.count(DefectKind::Lost);
            let _ = writeln!(
                text,
                "| `{}`: {} | {} | {lost} | {} | {} |",
                control.name(),
                control.description(),
                run.acknowledged,
                run.count(DefectKind::Duplicate),
                run.count(DefectKind::Wrong),
            );
        }
    }
    text
}

fn write_row(text: &mut String, name: &str, row: &Row) {
    let _ = writeln!(
        text,
        "| {name} | {} | {} | {} | {} | {} | {} | {:.1}, {:.1} | {:.1}, {:.1} |",
        row.runs,
        row.acknowledged,
        row.unknown,
        row.lost,
        row.duplicate,
        row.wrong,
        quantile(&row.gaps, 0.5),
        quantile(&row.gaps, 1.0),
        quantile(&row.recoveries, 0.5),
        quantile(&row.recoveries, 1.0),
    );
}

/// Returns the table of measured times and their goals.
fn goals(runs: &[Outcomes]) -> String {
    let of = |faults: &[Fault], value: fn(&Outcomes) -> f64| -> Vec<f64> {
        let runs = runs.iter().filter(|run| run.control.is_none());
        runs.filter(|run| faults.contains(&run.plan.fault))
            .map(value)
            .collect()
    };
    let collect = |of: fn(&Outcomes) -> &Vec<f64>| -> Vec<f64> {
        let runs = runs.iter().filter(|run| run.control.is_none());
        runs.flat_map(of).copied().collect()
    };
    let recovery = |run: &Outcomes| run.struck.recovery();
    let calm = collect(|run| &run.calm);
    let figures = [
        (
            "writes stall when a database node fails",
            "≤ 3 s",
            of(&[Fault::KillOne, Fault::KillServer], |run| run.gap),
        ),
        (
            "all three killed → three in sync",
            "≤ 15 s",
            of(&[Fault::KillAll], recovery),
        ),
        (
            "all stopped and started again → three in sync",
            "≤ 60 s",
            of(&[Fault::StopAll], recovery),
        ),
        (
            "a deletion is complete everywhere, before the fault",
            "99 % ≤ 5 s",
            calm,
        ),
        (
            "a deletion is complete everywhere, after recovery",
            "≤ 60 s",
            collect(|run| &run.disturbed),
        ),
    ];
    let mut text =
        "\n| figure | goal | cases | median | 99 % | worst |\n|---|---|--:|--:|--:|--:|\n".to_owned();
    for (what, goal, values) in figures.iter().filter(|(.., values)| !values.is_empty()) {
        let _ = writeln!(
            text,
            "| {what} | {goal} | {} | {:.1} s | {:.1} s | {:.1} s |",
            values.len(),
            quantile(values, 0.5),
            quantile(values, 0.99),
            quantile(values, 1.0),
        );
    }
    text
}

/// The quantile: the smallest value that the fraction `part` of all values does not exceed.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small number of runs"
    )]
    let at = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// Writes the table with its command, versions and date.
pub(crate) fn write(file: &Path, command: &str, runs: &[Outcomes]) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let text = format!(
        "# What faults do\n\n\
         Made by `{command}` on {cores} cores. Each run has its own seed, and the same seed is the same schedule.\n\
         The whole system runs: three database nodes on their own network, two processes of each service, the router,\n\
         an object store. Eight people register, publish, vote, comment, delete and refresh their sessions through the\n\
         router, and three writers count past it, while the fault happens; then the audit compares what was acknowledged\n\
         with every node, with the files, and with what the site says. A write whose answer was lost is *unknown*: it may\n\
         be there or not. *Lost* is an acknowledged write that is not there on some node, or a session that does not work;\n\
         *duplicate* what is there twice; *wrong* anything else, such as a tally that is not the sum of its votes or nodes\n\
         that differ. The gap is the longest time without any acknowledged write. *Three in sync* counts from a kill, from\n\
         the first SIGTERM, or from the end of what lasts some seconds.\n\n{}",
        table(runs)
    );
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values = [3.0, 1.0, 2.0];
        assert!((quantile(&values, 0.5) - 2.0).abs() < f64::EPSILON);
        assert!((quantile(&values, 1.0) - 3.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
    }
}
