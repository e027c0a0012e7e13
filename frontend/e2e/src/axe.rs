//! axe-core, run inside a page: what a program can see of whether everybody can use it.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::browser::Browser;

/// A rule that is broken, where, and what to do about it.
#[derive(Debug, Deserialize)]
struct Violation {
    rule: String,
    impact: Option<String>,
    target: String,
    summary: String,
}

/// Checks what the page shows now, by every rule and for every impact. Answers a line for each place that breaks one.
pub async fn complaints(browser: &Browser, what: &str) -> Result<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&file)
        .with_context(|| format!("{} is missing: ./dev installs it", file.display()))?;
    // The rules that belong to WCAG 2.2 alone are off unless one asks for them.
    let script = format!(
        "if (!window.axe) {{ {axe} }}
         const found = await axe.run(document, {{
             resultTypes: ['violations'],
             rules: {{ 'target-size': {{ enabled: true }} }},
         }});
         return found.violations.flatMap(({{ id, impact, nodes }}) => nodes.map(node => ({{
             rule: id,
             impact,
             target: node.target.join(' '),
             summary: node.failureSummary,
         }})));"
    );
    let violations: Vec<Violation> = browser
        .run(&format!("return (async () => {{ {script} }})()"))
        .await
        .with_context(|| format!("axe-core did not run on {what}"))?;
    let lines = violations.into_iter().map(|violation| {
        let Violation {
            rule,
            impact,
            target,
            summary,
        } = violation;
        let impact = impact.unwrap_or_else(|| "no impact given".to_owned());
        format!(
            "{what}: {rule} ({impact}) at {target}: {}",
            summary.replace('\n', " ")
        )
    });
    Ok(lines.collect())
}
