//! Parses binary logs: the boundaries of events, and their transaction numbers.
//!
//! The format is MariaDB's, version 4: four bytes that mark the file, then events. An event begins with its time (4
//! bytes), kind (1), server (4), length with this header (4), end (4) and flags (2), all little-endian.

/// The GTID domain of replicated transactions, which have the same numbers on all nodes. Local transactions have
/// another domain.
pub const GTID_DOMAIN: u32 = 1;

/// Length of the magic number at the beginning of a file.
pub const MAGIC_LENGTH: usize = 4;

const EVENT_HEADER_LENGTH: usize = 19;
/// Event type: a transaction begins, with its GTID.
const GTID_EVENT: u8 = 162;
/// Event type: the GTIDs before this file.
const GTID_LIST_EVENT: u8 = 163;

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct BinlogEvent<'a> {
    /// Offset in the parsed bytes.
    pub at: usize,
    /// When the event was written, in seconds since 1970.
    pub time: u32,
    kind: u8,
    body: &'a [u8],
}

impl BinlogEvent<'_> {
    /// Returns the number of the cluster's transaction that begins here.
    pub fn transaction(&self) -> Option<u64> {
        if self.kind != GTID_EVENT || number32(self.body, 8)? != GTID_DOMAIN {
            return None;
        }
        number64(self.body, 0)
    }

    /// Whether a transaction begins here. Only then the bytes before can be replayed alone.
    pub fn begins_transaction(&self) -> bool {
        self.kind == GTID_EVENT
    }

    /// Returns the number of the cluster's last transaction before this file, if the event has it.
    pub fn before_this_file(&self) -> Option<u64> {
        if self.kind != GTID_LIST_EVENT {
            return None;
        }
        // The upper four bits of the count are flags.
        let count = number32(self.body, 0)? & 0x0fff_ffff;
        let last = (0..count as usize)
            .map(|index| 4 + index * 16)
            .filter(|at| number32(self.body, *at) == Some(GTID_DOMAIN))
            .filter_map(|at| number64(self.body, at + 8))
            .max();
        Some(last.unwrap_or(0))
    }
}

/// Iterates over the complete events in `bytes`, which begin with an event.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = BinlogEvent<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let (time, length) = (number32(rest, 0)?, number32(rest, 9)? as usize);
        let body = rest.get(EVENT_HEADER_LENGTH..length)?;
        let event = BinlogEvent {
            at,
            time,
            kind: *rest.get(4)?,
            body,
        };
        at += length;
        Some(event)
    })
}

/// Returns the cluster's transaction number in a GTID list such as `1-1-42,102-1-3`.
pub fn reached(positions: &str) -> u64 {
    positions
        .split(',')
        .filter_map(|position| {
            let (domain, rest) = position.trim().split_once('-')?;
            let (_, number) = rest.split_once('-')?;
            (domain.parse() == Ok(GTID_DOMAIN)).then(|| number.parse().ok())?
        })
        .max()
        .unwrap_or(0)
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(7_u32.to_le_bytes());
        bytes.push(kind);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(
            u32::try_from(EVENT_HEADER_LENGTH + body.len())
                .unwrap()
                .to_le_bytes(),
        );
        bytes.extend([0; 6]);
        bytes.extend(body);
        bytes
    }

    fn gtid(domain: u32, number: u64) -> Vec<u8> {
        let mut body = number.to_le_bytes().to_vec();
        body.extend(domain.to_le_bytes());
        body.push(0);
        event(GTID_EVENT, &body)
    }

    #[test]
    fn transactions_are_found_and_incomplete_events_ignored() {
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (domain, number) in [(101_u32, 9_u64), (GTID_DOMAIN, 41)] {
            list.extend(domain.to_le_bytes());
            list.extend(1_u32.to_le_bytes());
            list.extend(number.to_le_bytes());
        }
        let bytes = [
            event(GTID_LIST_EVENT, &list),
            gtid(GTID_DOMAIN, 42),
            event(16, &[0; 8]),
            gtid(101, 10),
            gtid(GTID_DOMAIN, 43),
        ]
        .concat();
        let seen: Vec<_> = events(&bytes).filter_map(|event| event.transaction()).collect();
        assert_eq!(seen, [42, 43]);
        let before: Vec<_> = events(&bytes)
            .filter_map(|event| event.before_this_file())
            .collect();
        assert_eq!(before, [41]);
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(events(cut).filter_map(|event| event.transaction()).count(), 1);
    }

    #[test]
    fn invalid_bytes_have_no_events() {
        assert_eq!(events(&[]).count(), 0);
        // A length of zero must not loop forever.
        assert_eq!(events(&[0; 64]).count(), 0);
        assert_eq!(events(&[0xff; 64]).count(), 0);
    }

    #[test]
    fn a_list_has_the_number_of_the_cluster() {
        assert_eq!(reached("1-1-42,102-1-300"), 42);
        assert_eq!(reached("102-1-300"), 0);
        assert_eq!(reached(""), 0);
    }
}
