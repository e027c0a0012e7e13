//! The list of services in `subgraphs/contracts/services.txt`.

use std::sync::LazyLock;

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry<'a> {
    /// The name of the crate, of the program, of the subgraph, and of the schema.
    pub name: &'a str,
    /// The port on which the service listens by default.
    pub port: u16,
    /// The services whose events it receives.
    pub senders: Vec<&'a str>,
}

impl ServiceEntry<'_> {
    /// The environment variable with the service's URL.
    pub fn url_variable(&self) -> String {
        format!("{}_URL", self.name.to_uppercase())
    }

    /// The URL of the service on this machine.
    pub fn local_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The services, in the order of the list.
pub fn all() -> &'static [ServiceEntry<'static>] {
    static ALL: LazyLock<Vec<ServiceEntry<'static>>> =
        LazyLock::new(|| parse(include_str!("../services.txt")).expect("the list of services is valid"));
    &ALL
}

/// The names of the services, in the order of the list.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> + Clone {
    all().iter().map(|service| service.name)
}

/// The service with this name.
pub fn find(name: &str) -> Option<&'static ServiceEntry<'static>> {
    all().iter().find(|service| service.name == name)
}

/// Parses a list of services. The error is the line that is malformed.
pub fn parse(list: &str) -> Result<Vec<ServiceEntry<'_>>, &str> {
    let lines = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut columns = line.split_whitespace();
            let entry = (columns.next(), columns.next(), columns.next(), columns.next());
            let (Some(name), Some(port), Some(senders), None) = entry else {
                return Err(line);
            };
            Ok(ServiceEntry {
                name,
                port: port.parse().map_err(|_| line)?,
                senders: senders.split(',').filter(|sender| *sender != "-").collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ports_are_unique_and_senders_exist() {
        let names: BTreeSet<_> = names().collect();
        let ports: BTreeSet<_> = all().iter().map(|service| service.port).collect();
        assert_eq!((names.len(), ports.len()), (all().len(), all().len()));
        for sender in all().iter().flat_map(|service| &service.senders) {
            assert!(names.contains(sender), "{sender}");
        }
    }

    #[test]
    fn a_malformed_line_is_returned() {
        assert_eq!(parse("# comment\n\nalbum 5007 -").unwrap()[0].senders, [""; 0]);
        for line in ["album", "album 5007", "album port -", "album 5007 - more"] {
            assert_eq!(parse(line), Err(line));
        }
    }
}
