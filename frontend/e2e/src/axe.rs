//! Runs axe-core, a checker of accessibility, in a page.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::browser::Browser;

/// A violated rule, the element, and how to fix it.
#[derive(Debug, Deserialize)]
struct Violation {
    rule: String,
    impact: Option<String>,
    target: String,
    summary: String,
}

/// Checks the current page by all rules of all impacts. Returns a line for each violation.
pub async fn violations(browser: &Browser, what: &str) -> Result<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&file)
        .with_context(|| format!("{} is missing: ./dev installs it", file.display()))?;
    // Rules of WCAG 2.2 alone are disabled by default.
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
        let impact = impact.unwrap_or_else(|| "unknown impact".to_owned());
        format!(
            "{what}: {rule} ({impact}) at {target}: {}",
            summary.replace('\n', " ")
        )
    });
    Ok(lines.collect())
}
