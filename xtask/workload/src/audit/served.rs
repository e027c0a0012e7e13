//! Compares the responses of the public API with the history and, if one can be read, with a database node.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures::StreamExt as _;
use harness::api::operations;
use serde_json::Value;
use uuid::Uuid;

use super::expected::{Expectation, ExpectedContent, Photo};
use super::found::NodeContent;
use super::{Audited, DefectKind, Findings};

/// Number of latest photos that are checked if a database node is compared with all photos.
const AUDITED_PHOTOS: usize = 60;
const MAX_CONCURRENT_CHECKS: usize = 8;
/// Attempts to read a photo, because the site may still be recovering.
const READ_ATTEMPTS: u32 = 6;
const READ_PAUSE: Duration = Duration::from_millis(300);

const PHOTO_FIELDS: &str = "title votes { up down } viewerVote commentCount sources { srcset }";

pub(super) async fn judge(
    expected: &ExpectedContent<'_>,
    node: Option<&NodeContent>,
    audited: &Audited<'_>,
    findings: &mut Findings,
) {
    let mut photos: Vec<_> = expected.photos.iter().collect();
    photos.sort_by_key(|(_, photo)| Reverse(photo.records[0]));
    if node.is_some() {
        photos.truncate(AUDITED_PHOTOS);
    }
    let checks = photos
        .into_iter()
        .enumerate()
        .map(|(number, (id, photo))| async move {
            let viewer = audited.viewers.get(number % audited.viewers.len().max(1));
            let answer = read(audited, *id, viewer).await;
            let complaint = match answer {
                Err(error) => Some(error),
                Ok(said) => {
                    let content = match node {
                        Some(node) => ExpectedPhoto::in_node(node, *id),
                        None => ExpectedPhoto::in_history(expected, *id, photo),
                    };
                    let mut complaint = content.complaint(&said);
                    if let Some((account, _)) = viewer {
                        complaint = complaint.or_else(|| vote_complaint(expected, *id, *account, &said));
                    }
                    if node.is_none() && complaint.is_none() {
                        complaint = file_complaint(audited, &said).await;
                    }
                    complaint.map(|complaint| format!("{said}: {complaint}"))
                }
            };
            complaint.map(|complaint| {
                (
                    format!("the site says of photo {id}: {complaint}"),
                    &photo.records,
                )
            })
        });
    // Boxed, because the futures would be very large.
    let mut checks = futures::stream::iter(checks)
        .buffer_unordered(MAX_CONCURRENT_CHECKS)
        .boxed_local();
    while let Some(complaint) = checks.next().await {
        if let Some((what, records)) = complaint {
            findings.add(DefectKind::Wrong, what, records);
        }
    }
}

async fn read(audited: &Audited<'_>, id: Uuid, viewer: Option<&(Uuid, String)>) -> Result<Value, String> {
    let request = operations::photo(&id.to_string(), PHOTO_FIELDS);
    let token = viewer.map(|(_, token)| token.as_str());
    let mut attempt = 1;
    loop {
        match audited.site.run(token, &request).await {
            Ok(mut data) => return Ok(data["photo"].take()),
            Err(error) if attempt == READ_ATTEMPTS => return Err(error.to_string()),
            Err(_) => attempt += 1,
        }
        tokio::time::sleep(READ_PAUSE).await;
    }
}

/// The expected content of a photo's page.
struct ExpectedPhoto<'a> {
    fate: Expectation,
    title: &'a str,
    up: RangeInclusive<i64>,
    down: RangeInclusive<i64>,
    comments: RangeInclusive<i64>,
}

impl<'a> ExpectedPhoto<'a> {
    fn in_history(expected: &ExpectedContent<'_>, id: Uuid, photo: &Photo<'a>) -> Self {
        Self {
            fate: photo.fate(),
            title: photo.title,
            up: expected.votes_on(id, 1),
            down: expected.votes_on(id, -1),
            comments: expected.comments_on(id),
        }
    }

    fn in_node(node: &'a NodeContent, id: Uuid) -> Self {
        let exactly = |count| count..=count;
        let comments = exactly(node.comments_on(id));
        match (node.photos.get(&id), node.scores.get(&id)) {
            (Some(photo), Some(score)) => Self {
                fate: Expectation::Happened,
                title: &photo.title,
                up: exactly(score.up),
                down: exactly(score.down),
                comments,
            },
            _ => Self {
                fate: Expectation::Not,
                title: "",
                up: exactly(0),
                down: exactly(0),
                comments,
            },
        }
    }

    fn complaint(&self, said: &Value) -> Option<String> {
        if said.is_null() {
            return (self.fate == Expectation::Happened).then(|| "it is missing".to_owned());
        }
        let counts = [
            ("upvotes", &said["votes"]["up"], &self.up),
            ("downvotes", &said["votes"]["down"], &self.down),
            ("comments", &said["commentCount"], &self.comments),
        ];
        let wrong = |(_, said, range): &(_, &Value, &RangeInclusive<i64>)| {
            !said.as_i64().is_some_and(|count| range.contains(&count))
        };
        if self.fate == Expectation::Not {
            Some("it must not exist".to_owned())
        } else if said["title"] != self.title {
            Some(format!("the title is {:?}", self.title))
        } else {
            let (what, _, range) = counts.into_iter().find(wrong)?;
            Some(format!("{range:?} {what} are expected"))
        }
    }
}

fn vote_complaint(expected: &ExpectedContent<'_>, id: Uuid, account: Uuid, said: &Value) -> Option<String> {
    if said.is_null() {
        return None;
    }
    let value = match said["viewerVote"].as_str() {
        Some("UP") => 1,
        Some("DOWN") => -1,
        _ => 0,
    };
    let allowed = expected.votes.get(&(id, account)).map(|votes| &votes.allowed);
    let is_allowed = allowed.map_or(value == 0, |allowed| allowed.contains(&value));
    (!is_allowed).then(|| format!("the viewer {account} has voted {allowed:?}"))
}

async fn file_complaint(audited: &Audited<'_>, said: &Value) -> Option<String> {
    let sources = said["sources"].as_array().into_iter().flatten();
    let srcsets = sources.filter_map(|source| source["srcset"].as_str());
    for path in srcsets
        .flat_map(|srcset| srcset.split(", "))
        .filter_map(|file| file.split(' ').next())
    {
        if let Err(error) = audited.site.fetch(path).await {
            return Some(format!("the file {path} is missing: {error:#}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_and_wrong_content_is_reported() {
        let photo = |fate| ExpectedPhoto {
            fate,
            title: "Dunes",
            up: 1..=2,
            down: 0..=0,
            comments: 3..=3,
        };
        let page = |title, up, comments| {
            let votes = json!({ "up": up, "down": 0 });
            json!({ "title": title, "votes": votes, "commentCount": comments })
        };
        let expected = photo(Expectation::Happened);
        assert_eq!(expected.complaint(&page("Dunes", 2, 3)), None);
        for wrong in [
            page("Lost", 2, 3),
            page("Dunes", 0, 3),
            page("Dunes", 3, 3),
            page("Dunes", 1, 2),
            Value::Null,
        ] {
            assert!(expected.complaint(&wrong).is_some(), "{wrong}");
        }
        let maybe = photo(Expectation::Maybe);
        assert_eq!(maybe.complaint(&Value::Null), None);
        assert!(maybe.complaint(&page("Dunes", 0, 3)).is_some());
        let deleted = photo(Expectation::Not);
        assert_eq!(deleted.complaint(&Value::Null), None);
        assert!(deleted.complaint(&page("Dunes", 1, 3)).is_some());
    }
}
