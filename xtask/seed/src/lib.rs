//! `./dev seed`: creates users, photos, votes and comments through the public API.
//!
//! All data is derived from names, so that a second run changes nothing: photos are found by author and title, votes
//! are absolute, and comments have idempotency keys.

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "colours and places are small numbers, and a wrong last digit is grain"
)]
mod paint;
mod people;
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::unreadable_literal,
    reason = "pixels are counted in small numbers, and designers write colours without separators"
)]
mod pictures;
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "colours and places are small numbers; the colours that are compared come from one palette"
)]
mod scenes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use harness::api::operations::{self, GraphqlRequest, NewComment};
use harness::api::{Member, Site};
use people::{PEOPLE, Person, REMARKS, REPLIES};
use pictures::{PAINTINGS, Painting};
use xtask::tools::say;

/// Number of concurrent uploads, which take CPU time of the site.
const SEED_CONCURRENT_UPLOADS: usize = 2;
const SEED_CONCURRENT_REQUESTS: usize = 8;
/// Timeout of a request, long enough for uploads to a busy site.
const SEED_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A folder with photos (JPEG, PNG, WebP), including subfolders. By default pictures are generated.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// The site to fill.
    #[arg(long, default_value = "http://localhost:4999")]
    pub url: String,
}

/// A picture to publish.
struct Picture {
    title: String,
    alt_text: Option<&'static str>,
    source: Source,
}

enum Source {
    Painted(&'static Painting),
    File(PathBuf, &'static str),
}

/// A published picture.
struct Published {
    id: String,
    title: String,
    author: usize,
}

pub async fn seed(arguments: Arguments) -> Result<()> {
    let pictures = match &arguments.from {
        Some(folder) => photographs(folder)?,
        None => PAINTINGS
            .iter()
            .map(|painting| Picture {
                title: painting.title.to_owned(),
                alt_text: Some(painting.alt_text),
                source: Source::Painted(painting),
            })
            .collect(),
    };
    let url = arguments.url.trim_end_matches('/').to_owned();
    let site = Site::new(vec![url], SEED_REQUEST_TIMEOUT)?;
    site.check().await?;

    say(&format!("signing {} people in", PEOPLE.len()));
    let members: Vec<Member<'_>> = futures::stream::iter(&PEOPLE)
        .map(|person| join(&site, person))
        .buffered(4)
        .try_collect()
        .await?;

    let published = publish(&members, &pictures).await?;
    vote(&members, &published).await?;
    comment(&members, &published).await?;
    say(&format!(
        "done. Sign in as {}, for one, with the password \"{}\"",
        PEOPLE[0].email(),
        people::SEED_PASSWORD
    ));
    Ok(())
}

/// Signs a user in, with the username and the profile of the person.
async fn join<'a>(site: &'a Site, person: &Person) -> Result<Member<'a>> {
    let member = site.join(person.email(), people::SEED_PASSWORD).await?;
    let profile = GraphqlRequest::new("{ viewer { user { username displayName } } }", json!({}));
    let data = member.run(&profile).await?;
    let user = &data["viewer"]["user"];
    if user["username"] != person.username
        && let Err(error) = member.run(&operations::claim_username(person.username)).await
    {
        say(&format!("{} keeps another name: {error:#}", person.username));
    }
    if user["displayName"] != person.display_name {
        let changes = json!({ "displayName": person.display_name, "bio": person.bio });
        member.run(&operations::update_profile(&changes)).await?;
    }
    Ok(member)
}

/// Returns the pictures in a folder, sorted by name.
fn photographs(folder: &Path) -> Result<Vec<Picture>> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let pictures: Vec<_> = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let path = entry.into_path();
            let media_type = match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
                "jpg" | "jpeg" => "image/jpeg",
                "png" => "image/png",
                "webp" => "image/webp",
                _ => return None,
            };
            let title = title_from(path.file_stem()?.to_str()?);
            Some(Picture {
                title,
                alt_text: None,
                source: Source::File(path, media_type),
            })
        })
        .collect();
    if pictures.is_empty() {
        bail!("{} holds no JPEG, PNG or WebP file", folder.display());
    }
    Ok(pictures)
}

/// `2024_harbour-at_dawn` becomes `2024 harbour at dawn`: at most 120 characters, at least one.
fn title_from(stem: &str) -> String {
    let spaced: String = stem
        .chars()
        .map(|character| {
            if matches!(character, '_' | '-') || character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    let title: String = spaced
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(120)
        .collect();
    if title.is_empty() {
        "Untitled".to_owned()
    } else {
        title
    }
}

async fn publish(members: &[Member<'_>], pictures: &[Picture]) -> Result<Vec<Published>> {
    let mut existing = Vec::new();
    for member in members {
        existing.push(member.photos().await?);
    }
    let progress = progress("photos", pictures.len());
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let published: Vec<Option<Published>> = futures::stream::iter(pictures)
        .map(|picture| {
            let (progress, existing, refused) = (&progress, &existing, &refused);
            async move {
                let author = choose(&[&picture.title, "author"], members.len());
                let known = existing[author].iter().find(|(title, _)| *title == picture.title);
                let id = match known {
                    Some((_, id)) => Some(id.clone()),
                    None => match upload(&members[author], picture).await {
                        Ok(id) => Some(id),
                        // A broken file does not end the run.
                        Err(error) if matches!(picture.source, Source::File(..)) => {
                            progress.suspend(|| say(&format!("{}: {error:#}", picture.title)));
                            refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            None
                        }
                        Err(error) => return Err(error.context(format!("publishing \"{}\"", picture.title))),
                    },
                };
                progress.inc(1);
                anyhow::Ok(id.map(|id| Published {
                    id,
                    title: picture.title.clone(),
                    author,
                }))
            }
        })
        .buffered(SEED_CONCURRENT_UPLOADS)
        .try_collect()
        .await?;
    progress.finish();
    let refused = refused.into_inner();
    if refused > 0 {
        say(&format!("{refused} files were not published"));
    }
    Ok(published.into_iter().flatten().collect())
}

async fn upload(member: &Member<'_>, picture: &Picture) -> Result<String> {
    let (bytes, media_type) = match &picture.source {
        Source::Painted(painting) => {
            let painting: &'static Painting = painting;
            (
                tokio::task::spawn_blocking(|| painting.jpeg()).await??,
                "image/jpeg",
            )
        }
        Source::File(path, media_type) => {
            let bytes = tokio::fs::read(path)
                .await
                .with_context(|| format!("could not read {}", path.display()))?;
            (bytes, *media_type)
        }
    };
    member
        .publish(bytes, media_type, &picture.title, picture.alt_text)
        .await
}

/// Photos get different shares of upvotes, so that the rankings are interesting.
async fn vote(members: &[Member<'_>], photos: &[Published]) -> Result<()> {
    let mut votes = Vec::new();
    for photo in photos {
        let appeal = 45 + choose(&[&photo.title, "appeal"], 55);
        for (voter, member) in members.iter().enumerate() {
            let mood = choose(&[&photo.title, PEOPLE[voter].username], 100);
            let choice = if mood < appeal { "UP" } else { "DOWN" };
            let abstains = choose(&[&photo.title, PEOPLE[voter].username, "abstains"], 100) < 25;
            if voter != photo.author && !abstains {
                votes.push((member, operations::cast_vote(&photo.id, choice)));
            }
        }
    }
    let progress = progress("votes", votes.len());
    futures::stream::iter(votes)
        .map(Ok)
        .try_for_each_concurrent(SEED_CONCURRENT_REQUESTS, |(member, vote)| {
            let progress = &progress;
            async move {
                member.run(&vote).await.context("voting")?;
                progress.inc(1);
                anyhow::Ok(())
            }
        })
        .await?;
    progress.finish();
    Ok(())
}

async fn comment(members: &[Member<'_>], photos: &[Published]) -> Result<()> {
    let progress = progress("conversations", photos.len());
    futures::stream::iter(photos)
        .map(Ok)
        .try_for_each_concurrent(SEED_CONCURRENT_REQUESTS / 2, |photo| {
            let progress = &progress;
            async move {
                for number in 0..choose(&[&photo.title, "comments"], 5) {
                    let about = [photo.title.as_str(), "comment", &number.to_string()];
                    let author = choose(&about, members.len());
                    let remark = choose(&[&photo.title, "remark"], REMARKS.len()) + number * 3;
                    let remark = operations::add_comment(&NewComment {
                        photo_id: &photo.id,
                        body: REMARKS[remark % REMARKS.len()],
                        reply_to_id: None,
                        idempotency_key: Some(key(&[&photo.id, "comment", &number.to_string()]).to_string()),
                    });
                    let data = members[author].run(&remark).await.context("commenting")?;
                    if author != photo.author && number % 2 == 0 {
                        let reply = choose(&[&photo.title, "reply"], REPLIES.len()) + number;
                        let reply = operations::add_comment(&NewComment {
                            photo_id: &photo.id,
                            body: REPLIES[reply % REPLIES.len()],
                            reply_to_id: data["addComment"]["id"].as_str(),
                            idempotency_key: Some(
                                key(&[&photo.id, "reply", &number.to_string()]).to_string(),
                            ),
                        });
                        members[photo.author].run(&reply).await.context("replying")?;
                    }
                }
                progress.inc(1);
                anyhow::Ok(())
            }
        })
        .await?;
    progress.finish();
    Ok(())
}

fn hash(parts: &[&str]) -> [u8; 32] {
    Sha256::digest(parts.join("\u{0}").as_bytes()).into()
}

/// Returns a deterministic choice for `parts`.
fn choose(parts: &[&str], choices: usize) -> usize {
    let bytes = hash(parts);
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) % choices
}

/// Returns a deterministic idempotency key for `parts`.
fn key(parts: &[&str]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash(parts)[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A progress bar on a terminal; otherwise occasional lines.
struct Progress {
    what: &'static str,
    bar: ProgressBar,
}

fn progress(what: &'static str, count: usize) -> Progress {
    let style = ProgressStyle::with_template("{msg:>14} {bar:40} {pos}/{len} {eta}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(count as u64)
        .with_style(style)
        .with_message(what);
    bar.enable_steady_tick(Duration::from_millis(500));
    Progress { what, bar }
}

impl Progress {
    fn inc(&self, by: u64) {
        let before = self.bar.position();
        self.bar.inc(by);
        let (now, count) = (self.bar.position(), self.bar.length().unwrap_or(1).max(1));
        if self.bar.is_hidden() && (before * 8 / count != now * 8 / count) {
            say(&format!("{}: {now} of {count}", self.what));
        }
    }

    fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    fn finish(&self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_becomes_a_title() {
        assert_eq!(title_from("2024_harbour-at__dawn"), "2024 harbour at dawn");
        assert_eq!(title_from("___"), "Untitled");
        assert_eq!(title_from(&"é".repeat(300)).chars().count(), 120);
    }

    #[test]
    fn choices_and_keys_are_the_same_on_every_run() {
        assert_eq!(choose(&["Still", "author"], 8), choose(&["Still", "author"], 8));
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
    }
}
