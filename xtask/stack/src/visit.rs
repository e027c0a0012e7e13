//! Two test users, and all their acknowledged writes.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::Cursor;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use uuid::Uuid;

use seed::people::PEOPLE;
use seed::site::{Member, Site};

const VISIT_PHOTOS: usize = 4;
/// Maximum number of concurrent checks of photos.
const MAX_CONCURRENT_CHECKS: usize = 8;

pub(super) struct Visit<'a> {
    pub(super) author: Member<'a>,
    pub(super) voter: Member<'a>,
    kept: Mutex<AcknowledgedWrites>,
}

/// The acknowledged writes.
#[derive(Debug, Clone, Default)]
struct AcknowledgedWrites {
    /// The published photos by id, in order.
    photos: Vec<String>,
    /// The last vote on each photo.
    votes: BTreeMap<String, &'static str>,
    /// The number of comments on each photo.
    comments: BTreeMap<String, u64>,
}

impl<'a> Visit<'a> {
    /// Registers, uploads, votes and comments, and checks the result.
    pub(super) async fn begin(site: &'a Site) -> Result<Self> {
        let visit = Self {
            author: site.join(&PEOPLE[0]).await?,
            voter: site.join(&PEOPLE[1]).await?,
            kept: Mutex::default(),
        };
        visit.add(0).await?;
        Ok(visit)
    }

    /// Publishes pictures, beginning with number `first`.
    async fn add(&self, first: usize) -> Result<()> {
        for number in first..first + VISIT_PHOTOS {
            let title = format!("Sheet {number}");
            let photo = self
                .author
                .publish(picture(number)?, "image/jpeg", &title, None)
                .await?;
            self.acknowledged().photos.push(photo.clone());
            self.vote(&photo, "UP").await?;
            self.comment(&photo, Uuid::now_v7()).await?;
        }
        self.check().await.map(drop)
    }

    /// Continues the visit at another address of the site.
    pub(super) async fn moved_to<'b>(&self, site: &'b Site) -> Result<Visit<'b>> {
        let visit = Visit {
            author: site.join(&PEOPLE[0]).await?,
            voter: site.join(&PEOPLE[1]).await?,
            kept: Mutex::new(self.acknowledged().clone()),
        };
        visit.add(VISIT_PHOTOS).await?;
        Ok(visit)
    }

    /// Makes both users sign in before their next request.
    pub(super) async fn sign_in_again(&self) {
        self.author.sign_in_again().await;
        self.voter.sign_in_again().await;
    }

    fn acknowledged(&self) -> MutexGuard<'_, AcknowledgedWrites> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn photos(&self) -> Vec<String> {
        self.acknowledged().photos.clone()
    }

    /// Votes. May be repeated, because votes are absolute.
    pub(super) async fn vote(&self, photo: &str, choice: &'static str) -> Result<()> {
        const CAST: &str =
            "mutation($photo: ID!, $vote: VoteChoice!) { castVote(photoId: $photo, vote: $vote) { id } }";
        let variables = json!({ "photo": photo, "vote": choice });
        let data = self.voter.run_once(CAST, variables).await?;
        ensure!(data["castVote"]["id"] == photo, "a vote was answered with {data}");
        self.acknowledged().votes.insert(photo.to_owned(), choice);
        Ok(())
    }

    /// Comments. May be repeated with the same key.
    pub(super) async fn comment(&self, photo: &str, key: Uuid) -> Result<()> {
        const ADD: &str = "mutation($input: AddCommentInput!) { addComment(input: $input) { id } }";
        let input = json!({ "photoId": photo, "body": "Seen.", "idempotencyKey": key });
        self.voter.run_once(ADD, json!({ "input": input })).await?;
        *self.acknowledged().comments.entry(photo.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Publishes an upload. May be repeated.
    pub(super) async fn publish(&self, upload: &str, title: &str) -> Result<()> {
        const PUBLISH: &str = "mutation($input: PublishPhotoInput!) { publishPhoto(input: $input) { id } }";
        let input = json!({ "uploadId": upload, "title": title });
        let data = self.author.run_once(PUBLISH, json!({ "input": input })).await?;
        let photo = data["publishPhoto"]["id"]
            .as_str()
            .context("publishing gave no id")?;
        self.acknowledged().photos.push(photo.to_owned());
        Ok(())
    }

    /// Checks that all acknowledged writes and all files exist.
    pub(super) async fn check(&self) -> Result<String> {
        let kept = self.acknowledged().clone();
        stream::iter(&kept.photos)
            .map(|photo| self.check_photo(photo, &kept))
            .buffer_unordered(MAX_CONCURRENT_CHECKS)
            .try_collect::<()>()
            .await?;
        let published = self.author.photos().await?.len();
        ensure!(
            published == kept.photos.len(),
            "{published} photos and not {}",
            kept.photos.len()
        );
        Ok(format!("{kept}: all there"))
    }

    async fn check_photo(&self, photo: &str, kept: &AcknowledgedWrites) -> Result<()> {
        const LOOK: &str =
            "query($id: ID!) { photo(id: $id) { title viewerVote commentCount sources { srcset } } }";
        let data = self.voter.run(LOOK, json!({ "id": photo })).await?;
        let found = &data["photo"];
        ensure!(found["title"].is_string(), "photo {photo} is not there: {data}");
        let vote = kept.votes.get(photo).copied();
        ensure!(
            found["viewerVote"].as_str() == vote,
            "an acknowledged vote on {photo} is lost: {data}, not {vote:?}"
        );
        let comments = kept.comments.get(photo).copied().unwrap_or_default();
        ensure!(
            found["commentCount"] == comments,
            "{comments} comments on {photo} were acknowledged: {data}"
        );
        for path in files(found) {
            let fetched = self.author.site().fetch(&path).await;
            fetched.with_context(|| format!("a file of {photo}"))?;
        }
        Ok(())
    }
}

impl Display for Visit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acknowledged().fmt(f)
    }
}

impl Display for AcknowledgedWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (photos, votes) = (self.photos.len(), self.votes.len());
        let comments: u64 = self.comments.values().sum();
        write!(f, "{photos} photos, votes on {votes}, {comments} comments")
    }
}

/// Returns the paths of all files in the `sources` of a photo.
pub(super) fn files(photo: &Value) -> Vec<String> {
    let sources = photo["sources"].as_array().into_iter().flatten();
    sources
        .flat_map(|source| source["srcset"].as_str().unwrap_or_default().split(", "))
        .filter_map(|file| Some(file.split_once(' ')?.0.to_owned()))
        .collect()
}

/// Returns a small picture that is unique for `number`.
pub(super) fn picture(number: usize) -> Result<Vec<u8>> {
    let shade = u8::try_from(number * 50 % 256)?;
    let picture = RgbImage::from_fn(400, 300, |x, y| {
        Rgb([
            shade,
            u8::try_from(x * 255 / 400).unwrap_or(0),
            u8::try_from(y * 255 / 300).unwrap_or(0),
        ])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}
