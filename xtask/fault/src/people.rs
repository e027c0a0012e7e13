//! Simulated users. Each performs one random action after another, chosen by the seed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::history::{History, Operation, Outcome};
use crate::picture;
use crate::site::{OperationResult, SiteClient};

const TEST_PASSWORD: &str = "a password of the fault test";
/// The pause before the next click, in milliseconds.
const CLICK_PAUSE_MS: std::ops::Range<u64> = 10..60;
/// The number of attempts for idempotent operations.
const REQUEST_ATTEMPTS: u32 = 3;

/// The state that all users share.
#[derive(Debug)]
pub(crate) struct SharedState {
    pub(crate) site: SiteClient,
    pub(crate) history: History,
    pub(crate) stop: AtomicBool,
    /// Published photos without an attempt to delete them.
    photos: Mutex<Vec<Uuid>>,
    /// Photos whose deletion was acknowledged, with the folder of their files, and when.
    deleted: Mutex<Vec<(Uuid, Uuid, Instant)>>,
}

impl SharedState {
    pub(crate) fn new(site: SiteClient, history: History) -> Self {
        Self {
            site,
            history,
            stop: AtomicBool::new(false),
            photos: Mutex::default(),
            deleted: Mutex::default(),
        }
    }

    fn photos(&self) -> MutexGuard<'_, Vec<Uuid>> {
        self.photos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of photos to vote on.
    pub(crate) fn photo_count(&self) -> usize {
        self.photos().len()
    }

    /// Returns the deletions since the last call.
    pub(crate) fn take_deleted(&self) -> Vec<(Uuid, Uuid, Instant)> {
        std::mem::take(&mut *self.deleted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A user with an account.
#[derive(Debug)]
pub(crate) struct SimulatedUser {
    shared: Arc<SharedState>,
    name: String,
    rng: StdRng,
    account: Option<Uuid>,
    email: String,
    access: String,
    refresh: String,
    /// Number of issued refresh tokens.
    tokens: u32,
    photos: Vec<(Uuid, Uuid)>,
    comments: Vec<(Uuid, String)>,
    /// Makes names unique.
    count: u32,
}

impl SimulatedUser {
    /// Creates a user. `name` must be unique over all runs.
    pub(crate) fn new(shared: &Arc<SharedState>, name: String, seed: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            name,
            rng: StdRng::seed_from_u64(seed),
            account: None,
            email: String::new(),
            access: String::new(),
            refresh: String::new(),
            tokens: 0,
            photos: Vec::new(),
            comments: Vec::new(),
            count: 0,
        }
    }

    /// Runs until the load ends.
    pub(crate) fn start(mut self) -> JoinHandle<Self> {
        tokio::spawn(async move {
            while !self.shared.is_over() {
                self.click().await;
                let pause = self.rng.random_range(CLICK_PAUSE_MS);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            self
        })
    }

    /// Whether the session still works; `None` without a session.
    pub(crate) async fn is_signed_in(&mut self) -> Option<Outcome> {
        self.account?;
        Some(self.refresh().await)
    }

    async fn click(&mut self) {
        let Some(account) = self.account else {
            return self.register().await;
        };
        match self.rng.random_range(0..100) {
            0..10 => self.publish().await,
            10..13 => self.delete_photo().await,
            13..35 => self.comment().await,
            35..42 => self.delete_comment().await,
            42..50 => {
                self.refresh().await;
            }
            50..52 => self.register().await,
            52..72 => self.look().await,
            _ => self.vote(account).await,
        }
    }

    /// Reads a timeline. Fields may be null during a fault; internal errors are recorded by the client.
    async fn look(&mut self) {
        const TIMELINE_FIELDS: &str =
            "{ nodes { id title updatedAt author { username } votes { up down } commentCount } }";
        let timelines = ["latestPhotos", "hotPhotos", "trendingPhotos"];
        let timeline = timelines.choose(&mut self.rng).copied().unwrap_or("latestPhotos");
        self.ask(
            &format!("{{ {timeline}(first: 24) {TIMELINE_FIELDS} }}"),
            json!({}),
        )
        .await;
    }

    fn unique(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what} {} of {}", self.count, self.name)
    }

    async fn ask(&self, operation: &str, variables: Value) -> OperationResult {
        self.shared
            .site
            .ask(Some(&self.access), operation, variables)
            .await
    }

    fn begin(&self, operation: &Operation) -> usize {
        self.shared.history.invoke(&self.name, operation.clone())
    }

    fn end(&self, number: usize, operation: Operation, outcome: Outcome) {
        self.shared.history.complete(number, operation, outcome);
    }

    /// Registers a new account, and continues with its session.
    async fn register(&mut self) {
        const REGISTER: &str = "mutation($input: RegisterInput!) {
            register(input: $input) { accessToken refreshToken viewer { id } } }";
        self.count += 1;
        let email = format!("{}-{}@fault.example", self.name, self.count);
        let number = self.begin(&Operation::Register {
            email: email.clone(),
            account: None,
        });
        let input = json!({ "input": { "email": email, "password": TEST_PASSWORD } });
        let answer = self.shared.site.ask(None, REGISTER, input).await;
        let account = id(&answer.value["viewer"]["id"]);
        let done = Operation::Register {
            email: email.clone(),
            account,
        };
        self.end(number, done, answer.outcome);
        if account.is_some() {
            self.account = account;
            self.email = email;
            // Only the author may delete, and the new account is not the author.
            self.photos.clear();
            self.comments.clear();
            self.keep(&answer.value);
        }
    }

    fn keep(&mut self, session: &Value) {
        let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
        self.access = text("accessToken");
        self.refresh = text("refreshToken");
        self.tokens += 1;
    }

    /// Refreshes the tokens. If the response is lost, the old token must still work.
    async fn refresh(&mut self) -> Outcome {
        const REFRESH: &str =
            "mutation($token: String!) { refreshSession(refreshToken: $token) { accessToken refreshToken } }";
        let operation = Operation::Refresh {
            account: self.account.unwrap_or_default(),
            token: self.tokens,
        };
        let number = self.begin(&operation);
        let token = json!({ "token": self.refresh });
        let answer = self.shared.site.ask(None, REFRESH, token).await;
        self.end(number, operation, answer.outcome.clone());
        if answer.is_ok() {
            self.keep(&answer.value);
        } else if matches!(&answer.outcome, Outcome::Failed(why) if why.starts_with("UNAUTHENTICATED")) {
            // The audit reports this. The user signs in again to continue.
            self.login().await;
        }
        answer.outcome
    }

    async fn login(&mut self) {
        const LOGIN_WITH_REFRESH: &str =
            "mutation($input: LoginInput!) { login(input: $input) { accessToken refreshToken } }";
        let operation = Operation::Login {
            email: self.email.clone(),
        };
        let number = self.begin(&operation);
        let input = json!({ "input": { "email": self.email, "password": TEST_PASSWORD } });
        let answer = self.shared.site.ask(None, LOGIN_WITH_REFRESH, input).await;
        self.end(number, operation, answer.outcome.clone());
        if answer.is_ok() {
            self.keep(&answer.value);
        }
    }

    async fn publish(&mut self) {
        const PUBLISH: &str = "mutation($input: PublishPhotoInput!) {
            publishPhoto(input: $input) { id renditions { url } } }";
        let picture = self.rng.random();
        let upload = self
            .shared
            .site
            .upload(&self.access, picture::jpeg(picture))
            .await;
        let Some(photo) = id(&upload.value) else {
            return;
        };
        let title = self.unique("photo");
        let operation = |key| Operation::Publish {
            photo,
            title: title.clone(),
            picture,
            key,
        };
        let number = self.begin(&operation(None));
        let input = json!({ "input": { "uploadId": photo.to_string(), "title": title } });
        let answer = self.try_again(PUBLISH, &input).await;
        // /media/<key>/<file>
        let url = answer.value["renditions"][0]["url"].as_str().unwrap_or_default();
        let key = url.split('/').find_map(|part| Uuid::try_parse(part).ok());
        if answer.is_ok() {
            self.photos.push((photo, key.unwrap_or_default()));
            self.shared.photos().push(photo);
        }
        self.end(number, operation(key), answer.outcome);
    }

    /// Retries an idempotent operation: publishing an upload, or a comment with a key.
    async fn try_again(&self, operation: &str, variables: &Value) -> OperationResult {
        let mut tries = 1;
        let mut maybe = false;
        loop {
            let answer = self.ask(operation, variables.clone()).await;
            match &answer.outcome {
                Outcome::Unknown(_) if tries < REQUEST_ATTEMPTS => {
                    tries += 1;
                    maybe = true;
                }
                // After an attempt of unknown outcome, a refusal is inconclusive.
                Outcome::Failed(why) if maybe => {
                    return OperationResult {
                        value: Value::Null,
                        outcome: Outcome::Unknown(format!("at last {why}")),
                    };
                }
                _ => return answer,
            }
        }
    }

    async fn delete_photo(&mut self) {
        const DELETE: &str = "mutation($id: ID!) { deletePhoto(id: $id) }";
        if self.photos.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.photos.len());
        let (photo, key) = self.photos.swap_remove(at);
        self.shared.photos().retain(|other| *other != photo);
        let operation = Operation::DeletePhoto { photo };
        let number = self.begin(&operation);
        let answer = self.ask(DELETE, json!({ "id": photo.to_string() })).await;
        if answer.is_ok() {
            let mut deleted = self.shared.deleted.lock().unwrap_or_else(PoisonError::into_inner);
            deleted.push((photo, key, Instant::now()));
        }
        self.end(number, operation, answer.outcome);
    }

    /// A photo of another user, if one is known.
    fn random_photo(&mut self) -> Option<Uuid> {
        let photos = self.shared.photos().clone();
        let own = |photo: &Uuid| self.photos.iter().any(|(own, _)| own == photo);
        let others: Vec<_> = photos.into_iter().filter(|photo| !own(photo)).collect();
        others.choose(&mut self.rng).copied()
    }

    async fn vote(&mut self, account: Uuid) {
        const VOTE: &str =
            "mutation($photo: ID!, $vote: VoteChoice!) { castVote(photoId: $photo, vote: $vote) { id } }";
        let Some(photo) = self.random_photo() else {
            return;
        };
        let value: i8 = self.rng.random_range(-1..=1);
        let choice = ["DOWN", "NONE", "UP"][usize::from(value.cast_unsigned().wrapping_add(1))];
        let operation = Operation::Vote {
            account,
            photo,
            value,
        };
        let number = self.begin(&operation);
        let variables = json!({ "photo": photo.to_string(), "vote": choice });
        let answer = self.ask(VOTE, variables).await;
        self.end(number, operation, answer.outcome);
    }

    async fn comment(&mut self) {
        const COMMENT: &str = "mutation($input: AddCommentInput!) { addComment(input: $input) { id } }";
        let Some(photo) = self.random_photo() else {
            return;
        };
        let body = self.unique("comment");
        let key = Uuid::from_bytes(self.rng.random()).to_string();
        let operation = |comment| Operation::Comment {
            photo,
            body: body.clone(),
            comment,
        };
        let number = self.begin(&operation(None));
        let input = json!({ "input": { "photoId": photo.to_string(), "body": body, "idempotencyKey": key } });
        let answer = self.try_again(COMMENT, &input).await;
        let comment = id(&answer.value["id"]);
        self.comments
            .extend(comment.map(|comment| (comment, body.clone())));
        self.end(number, operation(comment), answer.outcome);
    }

    async fn delete_comment(&mut self) {
        const DELETE: &str = "mutation($id: ID!) { deleteComment(id: $id) }";
        if self.comments.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.comments.len());
        let (comment, body) = self.comments.swap_remove(at);
        let operation = Operation::DeleteComment { comment, body };
        let number = self.begin(&operation);
        let answer = self.ask(DELETE, json!({ "id": comment.to_string() })).await;
        self.end(number, operation, answer.outcome);
    }
}

fn id(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}
