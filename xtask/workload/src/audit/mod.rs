//! Checks that every acknowledged write exists, on every database node and through the public API.

mod expected;
mod files;
mod found;
mod quiet;
mod served;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Result;
use harness::api::Site;
use harness::topology::Topology;
use sqlx::MySqlPool;
use uuid::Uuid;

use crate::databases;
use crate::history::{Operation, Outcome, Record};

use expected::{Expectation, ExpectedContent};
use files::ExpectedFiles;
use found::NodeContent;

pub(crate) use files::{folder, is_in_use};
pub use quiet::wait_for_quiet;

/// The kind of a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefectKind {
    /// An acknowledged write is missing.
    Lost,
    /// A write is present twice.
    Duplicate,
    /// Any other defect: a wrong tally, different nodes, a deleted object that still exists.
    Wrong,
}

/// A defect, with the operations that show it.
#[derive(Clone, Debug)]
pub struct Finding {
    pub kind: DefectKind,
    pub what: String,
    pub records: Vec<usize>,
}

/// Collects defects.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, kind: DefectKind, what: String, records: &[usize]) {
        self.0.push(Finding {
            kind,
            what,
            records: records.to_vec(),
        });
    }
}

/// The places that are compared with the history.
#[derive(Debug)]
pub struct Audited<'a> {
    pub site: &'a Site,
    /// The database nodes. Without one, only the site is compared, and then all photos and files.
    pub pools: Vec<MySqlPool>,
    /// The folder of the photos' files.
    pub files: Option<PathBuf>,
    /// Accounts with a token, whose own votes are compared too.
    pub viewers: Vec<(Uuid, String)>,
}

impl<'a> Audited<'a> {
    /// Everything that this machine can read of a running site.
    pub fn all_of(topology: &impl Topology, site: &'a Site) -> Result<Self> {
        Ok(Self {
            site,
            pools: databases::pools(&topology.databases())?,
            files: topology.files(),
            viewers: Vec::new(),
        })
    }
}

/// Caches immutable data between audits.
#[derive(Debug, Default)]
pub struct Auditor {
    files: ExpectedFiles,
}

impl Auditor {
    /// Compares the history with all nodes, the files, and the responses of the site.
    pub async fn audit(&mut self, records: &[Record], audited: &Audited<'_>) -> Result<Vec<Finding>> {
        let expected = ExpectedContent::of(records);
        let mut findings = Findings::default();
        let mut nodes: Vec<NodeContent> = Vec::new();
        for pool in &audited.pools {
            let mut connection = databases::connection(pool).await?;
            nodes.push(NodeContent::read(&mut connection).await?);
        }
        for (slot, found) in (1..).zip(&nodes) {
            judge(&expected, found, &format!("db-{slot}"), &mut findings);
            if let Some(difference) = found.differs_from(&nodes[0]) {
                let what = format!("db-{slot} and db-1 differ in {difference}");
                findings.add(DefectKind::Wrong, what, &[]);
            }
        }
        if let (Some(found), Some(files)) = (nodes.first(), &audited.files) {
            self.files.judge(&expected, found, files, &mut findings)?;
            self.files
                .judge_served(&expected, found, audited.site, &mut findings)
                .await;
        }
        served::judge(&expected, nodes.first(), audited, &mut findings).await;
        for record in records.iter().filter(|record| is_lost_session(record)) {
            let what = format!("{} was signed out", record.who);
            findings.add(DefectKind::Lost, what, &[record.number]);
        }
        Ok(findings.0)
    }
}

/// Whether a refresh with the last issued token failed, which must always work.
fn is_lost_session(record: &Record) -> bool {
    let is_refresh = matches!(record.operation, Operation::Refresh { .. });
    is_refresh && matches!(&record.outcome, Some(Outcome::Failed(why)) if why.starts_with("UNAUTHENTICATED"))
}

fn judge(expected: &ExpectedContent<'_>, found: &NodeContent, node: &str, findings: &mut Findings) {
    judge_accounts(expected, found, node, findings);
    judge_photos(expected, found, node, findings);
    judge_comments(expected, found, node, findings);
    judge_votes(expected, found, node, findings);
    judge_tallies(found, node, findings);
    for (counter, expected) in &expected.counters {
        let value = found.counters.get(counter).copied().unwrap_or_default();
        if value < expected.acknowledged {
            let lost = expected.acknowledged - value;
            let what = format!(
                "{node}: counter {counter} lost {lost} of {} counts",
                expected.acknowledged
            );
            findings.add(DefectKind::Lost, what, &[]);
        } else if value > expected.acknowledged + expected.unknown {
            let what = format!("{node}: counter {counter} is {value}, which is too high");
            findings.add(DefectKind::Duplicate, what, &[]);
        }
    }
}

fn judge_accounts(expected: &ExpectedContent<'_>, found: &NodeContent, node: &str, findings: &mut Findings) {
    for account in &expected.accounts {
        let there = found.accounts.get(account.email);
        let records = [account.record];
        match (account.fate, there) {
            (Expectation::Happened, None) => {
                findings.add(
                    DefectKind::Lost,
                    format!("{node}: no account {}", account.email),
                    &records,
                );
            }
            (Expectation::Happened, Some(id)) if Some(*id) != account.id => {
                let what = format!("{node}: the account {} has another id", account.email);
                findings.add(DefectKind::Wrong, what, &records);
            }
            (Expectation::Happened, Some(id)) if !found.profiles.contains(id) => {
                findings.add(
                    DefectKind::Lost,
                    format!("{node}: no profile of {}", account.email),
                    &records,
                );
            }
            (Expectation::Not, Some(_)) => {
                let what = format!("{node}: the account {} was refused and exists", account.email);
                findings.add(DefectKind::Wrong, what, &records);
            }
            _ => {}
        }
    }
}

fn judge_photos(expected: &ExpectedContent<'_>, found: &NodeContent, node: &str, findings: &mut Findings) {
    let mut titles: HashMap<&str, u32> = HashMap::new();
    for photo in found.photos.values() {
        *titles.entry(&photo.title).or_default() += 1;
    }
    for (id, photo) in &expected.photos {
        let mut add = |kind, what: &str| {
            findings.add(
                kind,
                format!("{node}: photo {id} ({}) {what}", photo.title),
                &photo.records,
            );
        };
        if titles.get(photo.title).is_some_and(|count| *count > 1) {
            add(DefectKind::Duplicate, "exists twice");
        }
        let Some(there) = found.photos.get(id) else {
            match photo.fate() {
                Expectation::Happened => add(DefectKind::Lost, "is missing"),
                // A photo that was certainly published was then deleted, and must be deleted everywhere.
                _ if photo.published == Expectation::Happened && !found.is_deleted_everywhere(*id) => {
                    add(DefectKind::Wrong, "is deleted, but not everywhere");
                }
                _ => {}
            }
            continue;
        };
        if photo.fate() == Expectation::Not {
            let kind = if photo.deleted == Expectation::Happened {
                DefectKind::Lost
            } else {
                DefectKind::Wrong
            };
            add(kind, "still exists");
        }
        if there.title != photo.title {
            add(DefectKind::Wrong, "has another title");
        }
        if !found.is_published_everywhere(*id) {
            add(DefectKind::Wrong, "is not known to every service");
        }
    }
}

fn judge_comments(expected: &ExpectedContent<'_>, found: &NodeContent, node: &str, findings: &mut Findings) {
    for (body, comment) in &expected.comments {
        let mut add = |kind, what: &str| {
            findings.add(kind, format!("{node}: \"{body}\" {what}"), &comment.records);
        };
        let there = found.comments.get(*body).map_or(&[][..], Vec::as_slice);
        if there.len() > 1 {
            add(DefectKind::Duplicate, "exists more than once");
        }
        let photo_is_there = found.photos.contains_key(&comment.photo);
        match (comment.fate(), there.first()) {
            (Expectation::Happened, None) if photo_is_there => add(DefectKind::Lost, "is missing"),
            (Expectation::Not, Some(_)) if comment.deleted == Expectation::Happened => {
                add(DefectKind::Lost, "was deleted and exists");
            }
            (Expectation::Not, Some(_)) => add(DefectKind::Wrong, "was refused and exists"),
            (_, Some(_)) if !photo_is_there => add(DefectKind::Wrong, "exists without its photo"),
            (_, Some(id)) if comment.id.is_some_and(|known| known != *id) => {
                add(DefectKind::Wrong, "has another id");
            }
            _ => {}
        }
    }
}

fn judge_votes(expected: &ExpectedContent<'_>, found: &NodeContent, node: &str, findings: &mut Findings) {
    for ((photo, account), votes) in &expected.votes {
        let there = found.votes.get(&(*photo, *account)).copied();
        if !found.photos.contains_key(photo) {
            if there.is_some() {
                let what = format!("{node}: a vote on the missing photo {photo}");
                findings.add(DefectKind::Wrong, what, &votes.records);
            }
        } else if !votes.allowed.contains(&there.unwrap_or(0)) {
            let what = format!(
                "{node}: the vote of {account} on photo {photo} is {there:?}, and not one of {:?}",
                votes.allowed
            );
            findings.add(DefectKind::Lost, what, &votes.records);
        }
    }
    for (photo, account) in &found.duplicate_votes {
        let what = format!("{node}: {account} has two votes on photo {photo}");
        findings.add(DefectKind::Duplicate, what, &[]);
    }
}

/// Checks the tallies of all photos, also of earlier runs.
fn judge_tallies(found: &NodeContent, node: &str, findings: &mut Findings) {
    let mut sums: HashMap<Uuid, (i64, i64)> = HashMap::new();
    for ((photo, _), value) in &found.votes {
        let sum = sums.entry(*photo).or_default();
        sum.0 += i64::from(*value > 0);
        sum.1 += i64::from(*value < 0);
    }
    for (photo, score) in found.scores.iter().filter(|(_, score)| !score.deleted) {
        let sum = sums.get(photo).copied().unwrap_or_default();
        if (score.up, score.down) != sum {
            let what = format!(
                "{node}: the tally of photo {photo} is {} and {}, but its votes are {} and {}",
                score.up, score.down, sum.0, sum.1
            );
            findings.add(DefectKind::Wrong, what, &[]);
        }
    }
}
