//! The IP address of a client.

use std::net::IpAddr;

use ipnet::IpNet;

/// Returns the peer's address, or the one that trusted proxies report.
///
/// `forwarded_for` is read from the right, because trusted proxies append there. The first address that is not a
/// trusted proxy is the client.
pub(crate) fn address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    for entry in forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&client) {
            break;
        }
        match entry.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded_for: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        address(peer.parse().unwrap(), forwarded_for.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn untrusted_peers_cannot_set_their_address() {
        assert_eq!(client("192.0.2.9", &["198.51.100.1"], &[]), "192.0.2.9");
        assert_eq!(
            client("192.0.2.9", &["198.51.100.1"], &["10.0.0.0/8"]),
            "192.0.2.9"
        );
    }

    #[test]
    fn the_last_untrusted_address_is_the_client() {
        let trusted = &["10.0.0.0/8"];
        assert_eq!(
            client("10.0.0.1", &["203.0.113.5, 198.51.100.1, 10.0.0.7"], trusted),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["203.0.113.5", "198.51.100.1"], trusted),
            "198.51.100.1"
        );
        assert_eq!(
            client("::ffff:10.0.0.1", &["198.51.100.1"], trusted),
            "198.51.100.1"
        );
    }

    #[test]
    fn a_malformed_address_ends_the_search() {
        assert_eq!(
            client("10.0.0.1", &["198.51.100.1, unknown"], &["10.0.0.0/8"]),
            "10.0.0.1"
        );
    }
}
