//! A client of the public API.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::people::{Person, SEED_PASSWORD};

/// Age at which an access token is renewed. Tokens are valid for ten minutes.
const TOKEN_LIFE: Duration = Duration::from_mins(8);
const SEND_ATTEMPTS: u32 = 6;

pub struct Site {
    client: reqwest::Client,
    /// The addresses of the site.
    urls: Vec<String>,
    /// The index of the last used address.
    turn: AtomicUsize,
}

/// A signed-in user.
pub struct Member<'a> {
    site: &'a Site,
    person: &'a Person,
    token: Mutex<Option<(String, Instant)>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Uploaded {
    upload_id: String,
}

/// An error, by the API's code.
#[derive(Debug)]
pub struct RequestError {
    pub code: String,
    message: String,
    retry_after: Option<u64>,
}

impl std::error::Error for RequestError {}

impl Site {
    pub fn new(url: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(120))
            .build()?;
        Ok(Self::of(client, vec![url.trim_end_matches('/').to_owned()]))
    }

    /// Creates a client of a site with several addresses. A request is retried at another address if the first one is
    /// unreachable or closes an idle connection, as in browsers. `timeout` limits a request.
    pub fn over(urls: Vec<String>, timeout: Duration) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            .timeout(timeout)
            .build()?;
        Ok(Self::of(client, urls))
    }

    /// Creates a client of a site with the HTTP client `client`.
    pub fn of(client: reqwest::Client, urls: Vec<String>) -> Self {
        Self {
            client,
            urls,
            turn: AtomicUsize::new(0),
        }
    }

    /// Sends the request that `request` creates for an address.
    async fn reach(
        &self,
        request: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> reqwest::Result<reqwest::Response> {
        let mut left = self.urls.len();
        loop {
            let turn = self.turn.load(Ordering::Relaxed);
            left -= 1;
            match request(&self.client, &self.urls[turn % self.urls.len()])
                .send()
                .await
            {
                Err(error) if left > 0 && (error.is_connect() || was_closed(&error)) => {
                    self.turn.store(turn + 1, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
    }

    /// Checks that the site responds. The error says what to do.
    pub async fn check(&self) -> Result<()> {
        let answer = self
            .reach(|client, url| client.get(format!("{url}/health")))
            .await;
        answer
            .and_then(reqwest::Response::error_for_status)
            .map(drop)
            .with_context(|| {
                format!(
                    "No site answers at {}. Start it with ./dev up, or give another --url.",
                    self.urls.join(", ")
                )
            })
    }

    /// Downloads a file.
    pub async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self
            .reach(|client, url| client.get(format!("{url}{path}")))
            .await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Sends an operation until it succeeds or is refused permanently.
    async fn send(
        &self,
        token: Option<&str>,
        operation: &str,
        variables: &Value,
    ) -> Result<Result<Value, RequestError>> {
        self.send_up_to(SEND_ATTEMPTS, token, operation, variables).await
    }

    async fn send_up_to(
        &self,
        attempts: u32,
        token: Option<&str>,
        operation: &str,
        variables: &Value,
    ) -> Result<Result<Value, RequestError>> {
        let mut attempt = 0;
        loop {
            let body = json!({ "query": operation, "variables": variables });
            let answer = self
                .reach(|client, url| {
                    let request = client.post(format!("{url}/graphql")).json(&body);
                    match token {
                        Some(token) => request.bearer_auth(token),
                        None => request,
                    }
                })
                .await
                .context("the site stopped answering")?;
            let status = answer.status();
            let body: Value = answer
                .json()
                .await
                .with_context(|| format!("the answer ({status}) is not JSON"))?;
            let Some(error) = body["errors"].get(0) else {
                return Ok(Ok(body["data"].clone()));
            };
            let extensions = &error["extensions"];
            let found = RequestError {
                code: extensions["code"].as_str().unwrap_or("INTERNAL").to_owned(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                retry_after: extensions["retryAfterSeconds"].as_u64(),
            };
            attempt += 1;
            if attempt == attempts || !matches!(found.code.as_str(), "RATE_LIMITED" | "UNAVAILABLE") {
                return Ok(Err(found));
            }
            let pause = found.retry_after.unwrap_or(1 << (attempt - 1));
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    /// Signs a user in, and registers the user first if needed.
    pub async fn join<'a>(&'a self, person: &'a Person) -> Result<Member<'a>> {
        const REGISTER: &str = "mutation($input: RegisterInput!) { register(input: $input) { accessToken } }";
        let input = json!({ "input": { "email": person.email(), "password": SEED_PASSWORD } });
        let token = match self.send(None, REGISTER, &input).await? {
            Ok(data) => data["register"]["accessToken"]
                .as_str()
                .map(|token| (token.to_owned(), Instant::now())),
            Err(refusal) if refusal.code == "CONFLICT" => None,
            Err(refusal) => bail!("{} could not register: {refusal}", person.username),
        };
        let member = Member {
            site: self,
            person,
            token: Mutex::new(token),
        };
        member.introduce().await?;
        Ok(member)
    }
}

impl Member<'_> {
    /// Returns the site of this user.
    pub fn site(&self) -> &Site {
        self.site
    }

    /// Signs in before the next operation.
    pub async fn sign_in_again(&self) {
        *self.token.lock().await = None;
    }

    async fn token(&self) -> Result<String> {
        const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }";
        let mut held = self.token.lock().await;
        if let Some((token, since)) = &*held
            && since.elapsed() < TOKEN_LIFE
        {
            return Ok(token.clone());
        }
        let input = json!({ "input": { "email": self.person.email(), "password": SEED_PASSWORD } });
        let data = self.site.send(None, LOGIN, &input).await?.map_err(|refusal| {
            anyhow!(
                "{} could not sign in: {refusal}. Was the password changed?",
                self.person.username
            )
        })?;
        let token = data["login"]["accessToken"]
            .as_str()
            .context("signing in gave no token")?
            .to_owned();
        *held = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    /// Runs an operation as this user.
    pub async fn run(&self, operation: &str, variables: Value) -> Result<Value> {
        let token = self.token().await?;
        let answer = self.site.send(Some(&token), operation, &variables).await?;
        answer.map_err(|refusal| anyhow!("{refusal}"))
    }

    /// Runs an operation once, without retries.
    pub async fn run_once(&self, operation: &str, variables: Value) -> Result<Value> {
        let token = self.token().await?;
        let answer = self
            .site
            .send_up_to(1, Some(&token), operation, &variables)
            .await?;
        answer.map_err(anyhow::Error::new)
    }

    async fn introduce(&self) -> Result<()> {
        let data = self
            .run("{ viewer { user { username displayName } } }", json!({}))
            .await?;
        let user = &data["viewer"]["user"];
        if user["username"] != self.person.username {
            let claim = "mutation($username: String!) { claimUsername(username: $username) { id } }";
            if let Err(error) = self.run(claim, json!({ "username": self.person.username })).await {
                eprintln!("dev: {} keeps another name: {error}", self.person.username);
            }
        }
        if user["displayName"] != self.person.display_name {
            let update = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { id } }";
            let input = json!({ "displayName": self.person.display_name, "bio": self.person.bio });
            self.run(update, json!({ "input": input })).await?;
        }
        Ok(())
    }

    /// Returns the published photos of this user: title and id.
    pub async fn photos(&self) -> Result<Vec<(String, String)>> {
        const OWN_PHOTOS_PAGE: &str =
            "query($after: String) { viewer { user { photos(first: 100, after: $after) {
            nodes { id title } pageInfo { hasNextPage endCursor } } } } }";
        let mut photos = Vec::new();
        let mut after = Value::Null;
        loop {
            let data = self.run(OWN_PHOTOS_PAGE, json!({ "after": after })).await?;
            let page = &data["viewer"]["user"]["photos"];
            for node in page["nodes"]
                .as_array()
                .context("the list of photos is missing")?
            {
                if let (Some(id), Some(title)) = (node["id"].as_str(), node["title"].as_str()) {
                    photos.push((title.to_owned(), id.to_owned()));
                }
            }
            if page["pageInfo"]["hasNextPage"] != true {
                return Ok(photos);
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }

    /// Uploads and publishes a picture, and returns its id.
    pub async fn publish(
        &self,
        bytes: Vec<u8>,
        media_type: &str,
        title: &str,
        alt_text: Option<&str>,
    ) -> Result<String> {
        let mut attempt = 0;
        let upload = loop {
            attempt += 1;
            match self.try_upload(bytes.clone(), media_type).await? {
                Ok(upload) => break upload,
                // The site limits concurrent decoding.
                Err((429 | 503, _)) if attempt < SEND_ATTEMPTS => {}
                Err((status, message)) => bail!("the upload was refused ({status}): {message}"),
            }
            tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
        };
        let publish = "mutation($input: PublishPhotoInput!) { publishPhoto(input: $input) { id } }";
        let input = json!({ "uploadId": upload, "title": title, "altText": alt_text });
        let data = self.run(publish, json!({ "input": input })).await?;
        Ok(data["publishPhoto"]["id"]
            .as_str()
            .context("publishing gave no id")?
            .to_owned())
    }

    /// Uploads a picture once, without retries.
    pub async fn upload(&self, bytes: Vec<u8>, media_type: &str) -> Result<String> {
        let uploaded = self.try_upload(bytes, media_type).await?;
        uploaded.map_err(|(status, message)| anyhow!("the upload was refused ({status}): {message}"))
    }

    /// Returns the id of the upload, or the status and the reason of the refusal.
    async fn try_upload(&self, bytes: Vec<u8>, media_type: &str) -> Result<Result<String, (u16, String)>> {
        let token = self.token().await?;
        let answer = self
            .site
            .reach(|client, url| {
                client
                    .post(format!("{url}/media/uploads"))
                    .bearer_auth(&token)
                    .header("content-type", media_type)
                    .body(bytes.clone())
            })
            .await
            .context("the upload broke off")?;
        let status = answer.status().as_u16();
        if status == 201 {
            return Ok(Ok(answer.json::<Uploaded>().await?.upload_id));
        }
        let body: Value = answer.json().await.unwrap_or_default();
        let message = body["message"].as_str().unwrap_or("no reason given");
        Ok(Err((status, message.to_owned())))
    }
}

/// Whether the connection ended before the first byte of a response.
fn was_closed(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error
            .to_string()
            .contains("connection closed before message completed")
        {
            return true;
        }
        cause = error.source();
    }
    false
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}
