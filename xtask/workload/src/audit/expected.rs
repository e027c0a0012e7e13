//! The expected content, derived from the history alone.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

use uuid::Uuid;

use crate::history::{Operation, Record};

/// Seconds for which an operation of unknown outcome may still take effect: more than the timeouts of client, router,
/// service and database.
const MAX_EFFECT_DELAY: f64 = 15.0;

/// Whether an operation has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    Happened,
    Not,
    Maybe,
}

impl Expectation {
    fn of(record: &Record) -> Self {
        if record.is_ok() {
            Self::Happened
        } else if record.is_unknown() {
            Self::Maybe
        } else {
            Self::Not
        }
    }

    /// Whether an object that may have been deleted should exist.
    fn unless(self, deleted: Self) -> Self {
        match (self, deleted) {
            (made, Self::Not) => made,
            (_, Self::Happened) | (Self::Not, Self::Maybe) => Self::Not,
            (_, Self::Maybe) => Self::Maybe,
        }
    }
}

#[derive(Debug)]
pub(super) struct ExpectedAccount<'a> {
    pub(super) email: &'a str,
    pub(super) id: Option<Uuid>,
    pub(super) fate: Expectation,
    pub(super) record: usize,
}

#[derive(Debug)]
pub(super) struct Photo<'a> {
    pub(super) title: &'a str,
    pub(super) picture: u64,
    /// The folder of its files, if the response contained it.
    pub(super) key: Option<Uuid>,
    pub(super) published: Expectation,
    pub(super) deleted: Expectation,
    pub(super) records: Vec<usize>,
}

impl Photo<'_> {
    pub(super) fn fate(&self) -> Expectation {
        self.published.unless(self.deleted)
    }
}

#[derive(Debug)]
pub(super) struct Comment {
    pub(super) photo: Uuid,
    pub(super) id: Option<Uuid>,
    written: Expectation,
    pub(super) deleted: Expectation,
    pub(super) records: Vec<usize>,
}

impl Comment {
    pub(super) fn fate(&self) -> Expectation {
        self.written.unless(self.deleted)
    }
}

/// The possible final values of a vote; 0 is no vote.
#[derive(Debug)]
pub(super) struct AllowedVotes {
    pub(super) allowed: BTreeSet<i8>,
    pub(super) records: Vec<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) acknowledged: i64,
    pub(super) unknown: i64,
}

#[derive(Debug, Default)]
pub(super) struct ExpectedContent<'a> {
    pub(super) accounts: Vec<ExpectedAccount<'a>>,
    pub(super) photos: HashMap<Uuid, Photo<'a>>,
    pub(super) comments: HashMap<&'a str, Comment>,
    /// By photo and account.
    pub(super) votes: HashMap<(Uuid, Uuid), AllowedVotes>,
    pub(super) counters: HashMap<u32, Counter>,
}

impl<'a> ExpectedContent<'a> {
    pub(super) fn of(records: &'a [Record]) -> Self {
        let mut expected = Self::default();
        let mut votes: HashMap<_, Vec<(&Record, i8)>> = HashMap::new();
        for record in records {
            if let Operation::Vote {
                account,
                photo,
                value,
            } = record.operation
            {
                votes.entry((photo, account)).or_default().push((record, value));
            } else {
                expected.add(record);
            }
        }
        for (key, votes) in votes {
            let allowed = allowed(&votes);
            let records = votes.iter().map(|(record, _)| record.number).collect();
            expected.votes.insert(key, AllowedVotes { allowed, records });
        }
        expected
    }

    /// The possible numbers of upvotes on a photo (value 1) or of downvotes (value -1).
    pub(super) fn votes_on(&self, photo: Uuid, value: i8) -> RangeInclusive<i64> {
        let votes = self.votes.iter().filter(|((on, _), _)| *on == photo);
        count_range(votes.map(|(_, votes)| {
            if !votes.allowed.contains(&value) {
                Expectation::Not
            } else if votes.allowed.len() == 1 {
                Expectation::Happened
            } else {
                Expectation::Maybe
            }
        }))
    }

    /// The possible numbers of comments on a photo.
    pub(super) fn comments_on(&self, photo: Uuid) -> RangeInclusive<i64> {
        let comments = self.comments.values().filter(|comment| comment.photo == photo);
        count_range(comments.map(Comment::fate))
    }

    fn add(&mut self, record: &'a Record) {
        let fate = Expectation::of(record);
        match &record.operation {
            Operation::Register { email, account } => self.accounts.push(ExpectedAccount {
                email,
                id: *account,
                fate,
                record: record.number,
            }),
            Operation::Publish {
                photo,
                title,
                picture,
                key,
            } => {
                let published = Photo {
                    title,
                    picture: *picture,
                    key: *key,
                    published: fate,
                    deleted: Expectation::Not,
                    records: vec![record.number],
                };
                self.photos.insert(*photo, published);
            }
            Operation::DeletePhoto { photo } => {
                if let Some(photo) = self.photos.get_mut(photo) {
                    photo.deleted = fate;
                    photo.records.push(record.number);
                }
            }
            Operation::Comment { photo, body, comment } => {
                let written = Comment {
                    photo: *photo,
                    id: *comment,
                    written: fate,
                    deleted: Expectation::Not,
                    records: vec![record.number],
                };
                self.comments.insert(body, written);
            }
            Operation::DeleteComment { body, .. } => {
                if let Some(comment) = self.comments.get_mut(body.as_str()) {
                    comment.deleted = fate;
                    comment.records.push(record.number);
                }
            }
            Operation::Increment { counter, .. } => {
                let counter = self.counters.entry(*counter).or_default();
                counter.acknowledged += i64::from(fate == Expectation::Happened);
                counter.unknown += i64::from(fate == Expectation::Maybe);
            }
            Operation::Vote { .. }
            | Operation::Login { .. }
            | Operation::Refresh { .. }
            | Operation::Upload { .. }
            | Operation::Read { .. } => {}
        }
    }
}

fn count_range(fates: impl Iterator<Item = Expectation>) -> RangeInclusive<i64> {
    let (mut least, mut most) = (0, 0);
    for fate in fates {
        least += i64::from(fate == Expectation::Happened);
        most += i64::from(fate != Expectation::Not);
    }
    least..=most
}

/// The last acknowledged vote, or one of unknown outcome that may have taken effect after it. The votes of one user on
/// one photo are sequential.
fn allowed(votes: &[(&Record, i8)]) -> BTreeSet<i8> {
    let last = votes.iter().rposition(|(record, _)| record.is_ok());
    let (mut allowed, settled) = match last {
        Some(at) => (BTreeSet::from([votes[at].1]), votes[at].0.begun),
        None => (BTreeSet::from([0]), 0.0),
    };
    for (at, (record, value)) in votes.iter().enumerate() {
        let after = last.is_none_or(|last| at > last);
        let late = record
            .ended
            .is_none_or(|ended| ended + MAX_EFFECT_DELAY > settled);
        if record.is_unknown() && (after || late) {
            allowed.insert(*value);
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;

    fn vote(number: usize, at: f64, outcome: Outcome) -> Record {
        Record {
            number,
            run: 1,
            who: "a user".to_owned(),
            begun: at,
            ended: Some(at + 0.1),
            operation: Operation::Login { email: String::new() },
            outcome: Some(outcome),
        }
    }

    #[test]
    fn the_last_acknowledged_vote_and_later_unknown_ones_are_allowed() {
        let unknown = || Outcome::Unknown("no answer".to_owned());
        let refused = || Outcome::Failed("FORBIDDEN".to_owned());
        let [a, b, c] = [(0, Outcome::Ok), (1, unknown()), (2, Outcome::Ok)]
            .map(|(number, outcome)| vote(number, [0.0, 30.0, 60.0][number], outcome));
        assert_eq!(allowed(&[(&a, 1), (&b, -1)]), BTreeSet::from([1, -1]));
        assert_eq!(allowed(&[(&a, 1), (&b, -1), (&c, 0)]), BTreeSet::from([0]));
        let soon = vote(3, 31.0, Outcome::Ok);
        assert_eq!(allowed(&[(&b, -1), (&soon, 1)]), BTreeSet::from([-1, 1]));
        let refused = vote(4, 99.0, refused());
        assert_eq!(allowed(&[(&refused, 1)]), BTreeSet::from([0]));
    }

    #[test]
    fn unknown_votes_and_comments_widen_the_expected_counts() {
        let photo = Uuid::from_u128(1);
        let operations = [
            (1, Outcome::Ok),
            (1, Outcome::Unknown(String::new())),
            (-1, Outcome::Ok),
            (1, Outcome::Failed(String::new())),
        ];
        let records: Vec<_> = (0..)
            .zip(operations)
            .map(|(number, (value, outcome))| {
                let account = Uuid::from_u128(number);
                let operation = Operation::Vote {
                    account,
                    photo,
                    value,
                };
                let number = usize::try_from(number).unwrap();
                Record {
                    operation,
                    ..vote(number, 0.0, outcome)
                }
            })
            .collect();
        let expected = ExpectedContent::of(&records);
        assert_eq!(expected.votes_on(photo, 1), 1..=2);
        assert_eq!(expected.votes_on(photo, -1), 1..=1);
        assert_eq!(expected.comments_on(photo), 0..=0);
    }

    #[test]
    fn an_unknown_deletion_allows_both_outcomes() {
        assert_eq!(
            Expectation::Happened.unless(Expectation::Maybe),
            Expectation::Maybe
        );
        assert_eq!(
            Expectation::Happened.unless(Expectation::Happened),
            Expectation::Not
        );
        assert_eq!(
            Expectation::Happened.unless(Expectation::Not),
            Expectation::Happened
        );
        assert_eq!(Expectation::Not.unless(Expectation::Maybe), Expectation::Not);
    }
}
