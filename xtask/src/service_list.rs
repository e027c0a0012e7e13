//! Writes the sections of other files that are generated from `subgraphs/contracts/services.txt`.
//!
//! A section begins with a comment that holds its template, and ends with the comment `end`:
//!
//! ```text
//! # each service: {NAME}_URL: http://{name}:{port}
//! PHOTO_URL: http://photo:5002
//! # end
//! ```
//!
//! A template of several lines stands in the comment lines that follow. `each service but vote, comment` leaves services
//! out, `the service photo` is only this one.

use std::fs;

use anyhow::{Context, Result, anyhow, bail};
use contracts::services::{self, ServiceEntry};
use xtask::tools::say;
use xtask::workspace::root;

/// The files with generated sections.
const FILES_WITH_SECTIONS: [&str; 9] = [
    "compose/docker-bake.hcl",
    "compose/local.override.yml",
    "compose/no-ipvs.yml",
    "compose/observe.yml",
    "compose/observe/alerts.yml",
    "compose/observe/alerts_test.yml",
    "compose/observe/prometheus.yml",
    "compose/stack.yml",
    "xtask/steps.txt",
];

const END: &str = "# end";

/// Writes all sections.
pub(crate) fn write() -> Result<()> {
    for (file, current) in stale()? {
        fs::write(root().join(&file), current)?;
        say(&format!("wrote {file}"));
    }
    Ok(())
}

/// Fails if a section is stale.
pub(crate) fn check() -> Result<()> {
    let stale: Vec<_> = stale()?.into_iter().map(|(file, _)| file).collect();
    if !stale.is_empty() {
        bail!(
            "{} differ from subgraphs/contracts/services.txt: run ./dev service-list and commit the result",
            stale.join(", ")
        );
    }
    Ok(())
}

/// The files that are not current, with their current text.
fn stale() -> Result<Vec<(String, String)>> {
    let list = fs::read_to_string(root().join("subgraphs/contracts/services.txt"))?;
    let services = parse(&list)?;
    let mut stale = Vec::new();
    for file in FILES_WITH_SECTIONS {
        let text = fs::read_to_string(root().join(file)).context(file)?;
        let current = with_sections(&text, &services).context(file)?;
        if text != current {
            stale.push((file.to_owned(), current));
        }
    }
    Ok(stale)
}

/// Reads the list as it is now: it may have changed since this program was compiled.
pub(crate) fn parse(list: &str) -> Result<Vec<ServiceEntry<'_>>> {
    services::parse(list).map_err(|line| {
        anyhow!(
            "subgraphs/contracts/services.txt: a line has a name, a port, and senders or -, unlike this one: {line}"
        )
    })
}

/// The text with current sections.
fn with_sections(text: &str, services: &[ServiceEntry<'_>]) -> Result<String> {
    let mut written = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        written.push(line.to_owned());
        let Some((chosen, first)) = header(line, services) else {
            continue;
        };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let mut template: Vec<&str> = first.into_iter().collect();
        if first.is_none() {
            while let Some(comment) = lines.next_if(|line| line.trim() != END && is_comment(line)) {
                written.push(comment.to_owned());
                let comment = comment.trim_start().trim_start_matches('#');
                template.push(comment.strip_prefix(' ').unwrap_or(comment));
            }
        }
        for service in chosen {
            for line in &template {
                let line = format!("{indentation}{}", fill(line, service, services));
                written.push(line.trim_end().to_owned());
            }
        }
        let end = lines.find(|line| line.trim() == END);
        let end = end.with_context(|| format!("the section {:?} has no {END:?}", line.trim()))?;
        written.push(end.to_owned());
    }
    written.push(String::new());
    Ok(written.join("\n"))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The services of a section and the template on its first line, if this is such a line.
fn header<'s, 'l>(
    line: &'l str,
    services: &'s [ServiceEntry<'s>],
) -> Option<(Vec<&'s ServiceEntry<'s>>, Option<&'l str>)> {
    let (selection, template) = line.trim_start().strip_prefix("# ")?.split_once(':')?;
    let is_chosen: Box<dyn Fn(&str) -> bool> = if selection == "each service" {
        Box::new(|_| true)
    } else if let Some(others) = selection.strip_prefix("each service but ") {
        Box::new(|name| others.split(", ").all(|other| other != name))
    } else {
        let only = selection.strip_prefix("the service ")?;
        Box::new(move |name| only == name)
    };
    let chosen = services.iter().filter(|service| is_chosen(service.name));
    let template = Some(template.trim()).filter(|template| !template.is_empty());
    Some((chosen.collect(), template))
}

/// Replaces the placeholders of a template.
fn fill(template: &str, service: &ServiceEntry<'_>, services: &[ServiceEntry<'_>]) -> String {
    let name = service.name;
    let receives = |other: &&ServiceEntry<'_>| other.senders.contains(&name);
    let subscribers: Vec<_> = services
        .iter()
        .filter(receives)
        .map(|other| format!("{0}=http://{0}:{1}", other.name, other.port))
        .collect();
    template
        .replace("{name}", name)
        .replace("{name:19}", &format!("{name:<19}"))
        .replace("{NAME}", &name.to_uppercase())
        .replace("{port}", &service.port.to_string())
        .replace("{subscribers}", &subscribers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "photo 5002 -\nvote 5003 photo\ncomment 5004 photo\n";

    fn sections(text: &str) -> Result<String> {
        with_sections(text, &services::parse(LIST).unwrap())
    }

    #[test]
    fn a_section_is_its_template_for_each_service() {
        let text = "\
a: 1
  # each service: {NAME}_URL: http://{name}:{port}
  STALE_URL: http://stale
  # end
# each service but photo, comment:
# {name}:
#   image: {name}
# end
# the service photo: {subscribers}
# end
b: 2
";
        let expected = "\
a: 1
  # each service: {NAME}_URL: http://{name}:{port}
  PHOTO_URL: http://photo:5002
  VOTE_URL: http://vote:5003
  COMMENT_URL: http://comment:5004
  # end
# each service but photo, comment:
# {name}:
#   image: {name}
vote:
  image: vote
# end
# the service photo: {subscribers}
vote=http://vote:5003,comment=http://comment:5004
# end
b: 2
";
        assert_eq!(sections(text).unwrap(), expected);
        assert_eq!(sections(expected).unwrap(), expected);
    }

    #[test]
    fn a_section_without_an_end_is_an_error() {
        let error = sections("# each service: {name}\nphoto\n").unwrap_err();
        assert!(error.to_string().contains("has no \"# end\""), "{error}");
    }
}
