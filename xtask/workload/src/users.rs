//! Simulated users. Each performs one random action after another, chosen by the seed.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::api::operations::{self, NewComment};
use harness::api::{GraphqlRequest, RequestError, Site};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::history::{History, Operation, Outcome};
use crate::picture;

/// The password of all simulated users.
pub const USER_PASSWORD: &str = "a password of the fault test";
/// Age at which a user refreshes the session. Tokens are valid for ten minutes.
const SESSION_AGE: Duration = Duration::from_mins(8);

/// An action of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Publish,
    DeletePhoto,
    Comment,
    DeleteComment,
    Refresh,
    Register,
    ReadTimeline,
    ReadFile,
    Vote,
}

/// How often users do what.
#[derive(Debug)]
pub struct Mix {
    /// Each action with its share.
    pub actions: &'static [(Action, u32)],
    pub timelines: &'static [&'static str],
    /// The pause before the next action, in milliseconds.
    pub pause: Range<u64>,
    /// The number of attempts for idempotent operations.
    pub attempts: u32,
}

/// Everything, fast.
pub const ALL_ACTIONS: Mix = Mix {
    actions: &[
        (Action::Publish, 10),
        (Action::DeletePhoto, 3),
        (Action::Comment, 22),
        (Action::DeleteComment, 7),
        (Action::Refresh, 8),
        (Action::Register, 2),
        (Action::ReadTimeline, 20),
        (Action::Vote, 28),
    ],
    timelines: &["latestPhotos", "hotPhotos", "trendingPhotos"],
    pause: 10..60,
    attempts: 3,
};

/// A site, the history of the operations on it, and the state that its users share.
#[derive(Debug)]
pub struct Workload {
    site: Mutex<Arc<Site>>,
    pub history: History,
    mix: &'static Mix,
    is_over: AtomicBool,
    /// Published photos without an attempt to delete them.
    photos: Mutex<Vec<Uuid>>,
    /// The paths of the files of published photos.
    files: Mutex<Vec<String>>,
    /// Photos whose deletion was acknowledged, with the folder of their files, and when.
    deleted: Mutex<Vec<(Uuid, Uuid, Instant)>>,
}

impl Workload {
    pub fn new(site: Site, history: History, mix: &'static Mix) -> Arc<Self> {
        Arc::new(Self {
            site: Mutex::new(Arc::new(site)),
            history,
            mix,
            is_over: AtomicBool::new(false),
            photos: Mutex::default(),
            files: Mutex::default(),
            deleted: Mutex::default(),
        })
    }

    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&lock(&self.site))
    }

    /// Continues with another client of the same site.
    pub fn move_to(&self, site: Site) {
        *lock(&self.site) = Arc::new(site);
    }

    fn photos(&self) -> MutexGuard<'_, Vec<Uuid>> {
        lock(&self.photos)
    }

    /// Number of photos to vote on.
    pub fn photo_count(&self) -> usize {
        self.photos().len()
    }

    /// Returns the deletions since the last call.
    pub(crate) fn take_deleted(&self) -> Vec<(Uuid, Uuid, Instant)> {
        std::mem::take(&mut *lock(&self.deleted))
    }

    /// Makes users and counters act until [`Self::end`].
    pub fn begin(&self) {
        self.is_over.store(false, Ordering::Relaxed);
    }

    /// Makes users and counters stop after their current action.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A user with an account.
#[derive(Debug)]
pub struct SimulatedUser {
    workload: Arc<Workload>,
    name: String,
    rng: StdRng,
    account: Option<Uuid>,
    pub email: String,
    pub access_token: String,
    refresh_token: String,
    session_began: Instant,
    /// Number of issued refresh tokens.
    tokens: u32,
    photos: Vec<(Uuid, Uuid)>,
    comments: Vec<(Uuid, String)>,
    /// Makes names unique.
    count: u32,
}

impl SimulatedUser {
    /// Creates a user. `name` must be unique over all runs.
    pub fn new(workload: &Arc<Workload>, name: String, seed: u64) -> Self {
        Self {
            workload: Arc::clone(workload),
            name,
            rng: StdRng::seed_from_u64(seed),
            account: None,
            email: String::new(),
            access_token: String::new(),
            refresh_token: String::new(),
            session_began: Instant::now(),
            tokens: 0,
            photos: Vec::new(),
            comments: Vec::new(),
            count: 0,
        }
    }

    /// Creates `count` users whose names end with `suffix`.
    pub fn several(workload: &Arc<Workload>, count: u64, suffix: &str, seed: u64) -> Vec<Self> {
        (1..=count)
            .map(|number| {
                let seed = seed.wrapping_mul(1_000).wrapping_add(number);
                Self::new(workload, format!("p{number}-{suffix}"), seed)
            })
            .collect()
    }

    /// Runs until the load ends.
    pub fn start(mut self) -> JoinHandle<Self> {
        tokio::spawn(async move {
            while !self.workload.is_over() {
                self.act().await;
                let pause = self.rng.random_range(self.workload.mix.pause.clone());
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            self
        })
    }

    pub fn account(&self) -> Option<Uuid> {
        self.account
    }

    /// Whether the session still works; `None` without a session.
    pub async fn is_signed_in(&mut self) -> Option<Outcome> {
        self.account?;
        Some(self.refresh().await)
    }

    async fn act(&mut self) {
        if self.account.is_none() {
            return self.register().await;
        }
        self.refresh_if_old().await;
        let actions = self.workload.mix.actions;
        let mut number = self
            .rng
            .random_range(0..actions.iter().map(|(_, share)| share).sum::<u32>());
        for (action, share) in actions {
            if number < *share {
                return self.perform(*action).await;
            }
            number -= share;
        }
    }

    pub(crate) async fn refresh_if_old(&mut self) {
        if self.session_began.elapsed() > SESSION_AGE {
            self.refresh().await;
        }
    }

    /// Performs an action, if its objects exist, such as another user's photo.
    pub(crate) async fn perform(&mut self, action: Action) {
        match action {
            Action::Publish => self.publish().await,
            Action::DeletePhoto => self.delete_photo().await,
            Action::Comment => self.comment().await,
            Action::DeleteComment => self.delete_comment().await,
            Action::Refresh => {
                self.refresh().await;
            }
            Action::Register => self.register().await,
            Action::ReadTimeline => self.read_timeline().await,
            Action::ReadFile => self.read_file().await,
            Action::Vote => self.vote().await,
        }
    }

    /// Reads a timeline. Each field must be there, which is not expected during a fault.
    async fn read_timeline(&mut self) {
        const TIMELINE_FIELDS: &str = "id title updatedAt author { username } votes { up down } viewerVote commentCount sources { srcset }";
        let has_photos = self.workload.photo_count() > 0;
        let timelines = self.workload.mix.timelines;
        let timeline = timelines.choose(&mut self.rng).copied().unwrap_or("latestPhotos");
        let request = operations::timeline(timeline, 24, TIMELINE_FIELDS);
        let operation = Operation::Read {
            what: timeline.to_owned(),
        };
        let number = self.begin(&operation);
        let response = self.workload.site().run(Some(&self.access_token), &request).await;
        let is_empty = |data: &Value| data[timeline]["nodes"].as_array().is_none_or(Vec::is_empty);
        let outcome = match &response {
            Ok(data) if has_photos && is_empty(data) => Outcome::Failed("no photos".to_owned()),
            response => Outcome::from(response),
        };
        self.end(number, operation, outcome);
    }

    async fn read_file(&mut self) {
        let Some(path) = lock(&self.workload.files).choose(&mut self.rng).cloned() else {
            return;
        };
        let operation = Operation::Read { what: path.clone() };
        let number = self.begin(&operation);
        let outcome = match self.workload.site().fetch(&path).await {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        self.end(number, operation, outcome);
    }

    fn unique(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what} {} of {}", self.count, self.name)
    }

    async fn ask(&self, request: &GraphqlRequest) -> Result<Value, RequestError> {
        ask(&self.workload.site(), Some(&self.access_token), request).await
    }

    fn begin(&self, operation: &Operation) -> usize {
        self.workload.history.invoke(&self.name, operation.clone())
    }

    fn end(&self, number: usize, operation: Operation, outcome: Outcome) {
        self.workload.history.complete(number, operation, outcome);
    }

    /// Registers a new account, and continues with its session.
    pub(crate) async fn register(&mut self) {
        self.count += 1;
        let email = format!("{}-{}@fault.example", self.name, self.count);
        let number = self.begin(&Operation::Register {
            email: email.clone(),
            account: None,
        });
        let register = operations::register(&email, USER_PASSWORD);
        let answer = ask(&self.workload.site(), None, &register).await;
        let account = id_of(&answer, |session| &session["viewer"]["id"]);
        let done = Operation::Register {
            email: email.clone(),
            account,
        };
        self.end(number, done, (&answer).into());
        if let (Some(account), Ok(session)) = (account, answer) {
            self.account = Some(account);
            self.email = email;
            // Only the author may delete, and the new account is not the author.
            self.photos.clear();
            self.comments.clear();
            self.keep(&session);
        }
    }

    fn keep(&mut self, session: &Value) {
        let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
        self.access_token = text("accessToken");
        self.refresh_token = text("refreshToken");
        self.session_began = Instant::now();
        self.tokens += 1;
    }

    /// Refreshes the tokens. If the response is lost, the old token must still work.
    pub(crate) async fn refresh(&mut self) -> Outcome {
        let operation = Operation::Refresh {
            account: self.account.unwrap_or_default(),
            token: self.tokens,
        };
        let number = self.begin(&operation);
        let refresh = operations::refresh_session(&self.refresh_token);
        let answer = ask(&self.workload.site(), None, &refresh).await;
        self.end(number, operation, (&answer).into());
        let outcome = (&answer).into();
        match answer {
            Ok(session) => self.keep(&session),
            // The audit reports this. The user signs in again to continue.
            Err(error) if error.is("UNAUTHENTICATED") => self.login().await,
            Err(_) => {}
        }
        outcome
    }

    async fn login(&mut self) {
        let operation = Operation::Login {
            email: self.email.clone(),
        };
        let number = self.begin(&operation);
        let login = operations::login(&self.email, USER_PASSWORD);
        let answer = ask(&self.workload.site(), None, &login).await;
        self.end(number, operation, (&answer).into());
        if let Ok(session) = answer {
            self.keep(&session);
        }
    }

    async fn publish(&mut self) {
        let picture = self.rng.random();
        let uploading = Operation::Upload { picture };
        let number = self.begin(&uploading);
        let upload = self
            .workload
            .site()
            .upload(&self.access_token, picture::jpeg(picture), "image/jpeg")
            .await;
        self.end(number, uploading, (&upload).into());
        let Some((upload, photo)) = upload
            .ok()
            .and_then(|id| Some((id.clone(), Uuid::try_parse(&id).ok()?)))
        else {
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
        let answer = self
            .ask_repeatedly(&operations::publish_photo(&upload, &title, None))
            .await;
        let key = if let Ok(published) = &answer {
            let renditions = published["renditions"].as_array().into_iter().flatten();
            let urls: Vec<_> = renditions
                .filter_map(|rendition| Some(rendition["url"].as_str()?.to_owned()))
                .collect();
            // /media/<key>/<file>
            let key = urls
                .first()
                .and_then(|url| url.split('/').find_map(|part| Uuid::try_parse(part).ok()));
            self.photos.push((photo, key.unwrap_or_default()));
            self.workload.photos().push(photo);
            lock(&self.workload.files).extend(urls);
            key
        } else {
            None
        };
        self.end(number, operation(key), (&answer).into());
    }

    /// Retries an idempotent operation: publishing an upload, or a comment with a key.
    async fn ask_repeatedly(&self, request: &GraphqlRequest) -> Result<Value, RequestError> {
        let mut attempt = 1;
        loop {
            match self.ask(request).await {
                Err(error) if attempt < self.workload.mix.attempts && !error.had_no_effect => attempt += 1,
                // After an attempt of unknown outcome, a refusal is inconclusive.
                Err(error) if attempt > 1 => return Err(error.without_certainty()),
                outcome => return outcome,
            }
        }
    }

    async fn delete_photo(&mut self) {
        if self.photos.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.photos.len());
        let (photo, key) = self.photos.swap_remove(at);
        self.workload.photos().retain(|other| *other != photo);
        let operation = Operation::DeletePhoto { photo };
        let number = self.begin(&operation);
        let answer = self.ask(&operations::delete_photo(&photo.to_string())).await;
        if answer.is_ok() {
            lock(&self.workload.deleted).push((photo, key, Instant::now()));
        }
        self.end(number, operation, (&answer).into());
    }

    /// A photo of another user, if one is known.
    fn random_photo(&mut self) -> Option<Uuid> {
        let photos = self.workload.photos().clone();
        let own = |photo: &Uuid| self.photos.iter().any(|(own, _)| own == photo);
        let others: Vec<_> = photos.into_iter().filter(|photo| !own(photo)).collect();
        others.choose(&mut self.rng).copied()
    }

    async fn vote(&mut self) {
        let value = self.rng.random_range(-1..=1);
        self.vote_with(value).await;
    }

    /// Votes on another user's photo, and returns it: 1 is `UP`, 0 `NONE`, and -1 `DOWN`.
    pub(crate) async fn vote_with(&mut self, value: i8) -> Option<Uuid> {
        let (photo, account) = (self.random_photo()?, self.account?);
        let choice = ["DOWN", "NONE", "UP"][usize::from(value.cast_unsigned().wrapping_add(1))];
        let operation = Operation::Vote {
            account,
            photo,
            value,
        };
        let number = self.begin(&operation);
        let answer = self.ask(&operations::cast_vote(&photo.to_string(), choice)).await;
        self.end(number, operation, (&answer).into());
        Some(photo)
    }

    async fn comment(&mut self) {
        let Some(photo) = self.random_photo() else {
            return;
        };
        let body = self.unique("comment");
        let key = Uuid::from_bytes(self.rng.random());
        let operation = |comment| Operation::Comment {
            photo,
            body: body.clone(),
            comment,
        };
        let number = self.begin(&operation(None));
        let add = operations::add_comment(&NewComment {
            photo_id: &photo.to_string(),
            body: &body,
            reply_to_id: None,
            idempotency_key: Some(key.to_string()),
        });
        let answer = self.ask_repeatedly(&add).await;
        let comment = id_of(&answer, |comment| &comment["id"]);
        self.comments
            .extend(comment.map(|comment| (comment, body.clone())));
        self.end(number, operation(comment), (&answer).into());
    }

    async fn delete_comment(&mut self) {
        if self.comments.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.comments.len());
        let (comment, body) = self.comments.swap_remove(at);
        let operation = Operation::DeleteComment { comment, body };
        let number = self.begin(&operation);
        let answer = self.ask(&operations::delete_comment(&comment.to_string())).await;
        self.end(number, operation, (&answer).into());
    }
}

async fn ask(site: &Site, token: Option<&str>, request: &GraphqlRequest) -> Result<Value, RequestError> {
    site.ask(token, request).await?.into_value()
}

fn id_of(answer: &Result<Value, RequestError>, field: impl Fn(&Value) -> &Value) -> Option<Uuid> {
    Uuid::try_parse(field(answer.as_ref().ok()?).as_str()?).ok()
}
