//! A signed-in user.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{GraphqlRequest, SITE_REQUEST_ATTEMPTS, Site, operations};

/// Age at which an access token is renewed. Tokens are valid for ten minutes.
const TOKEN_LIFE: Duration = Duration::from_mins(8);

/// A signed-in user, who signs in again before the token expires.
#[derive(Debug)]
pub struct Member<'a> {
    site: &'a Site,
    email: String,
    password: &'a str,
    token: Mutex<Option<(String, Instant)>>,
}

impl Site {
    /// Registers a user, or signs the user in if the account exists.
    pub async fn join<'a>(&'a self, email: String, password: &'a str) -> Result<Member<'a>> {
        let registered = self
            .run_with_retries(None, &operations::register(&email, password))
            .await;
        let token = match registered {
            Ok(data) => Some((text(&data["register"]["accessToken"])?, Instant::now())),
            Err(error) if error.is("CONFLICT") => None,
            Err(error) => return Err(error).with_context(|| format!("{email} could not register")),
        };
        let member = Member {
            site: self,
            email,
            password,
            token: Mutex::new(token),
        };
        member.token().await?;
        Ok(member)
    }
}

impl Member<'_> {
    async fn token(&self) -> Result<String> {
        let mut held = self.token.lock().await;
        if let Some((token, since)) = &*held
            && since.elapsed() < TOKEN_LIFE
        {
            return Ok(token.clone());
        }
        let login = operations::login(&self.email, self.password);
        let data = self.site.run_with_retries(None, &login).await;
        let data =
            data.with_context(|| format!("{} could not sign in. Was the password changed?", self.email))?;
        let token = text(&data["login"]["accessToken"])?;
        *held = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    /// Sends an idempotent operation until it succeeds or is refused permanently, and returns its data.
    pub async fn run(&self, request: &GraphqlRequest) -> Result<Value> {
        let token = self.token().await?;
        Ok(self.site.run_with_retries(Some(&token), request).await?)
    }

    /// Returns the published photos of this user: title and id.
    pub async fn photos(&self) -> Result<Vec<(String, String)>> {
        let mut photos = Vec::new();
        let mut after = Value::Null;
        loop {
            let data = self.run(&operations::own_photos(&after)).await?;
            let page = &data["viewer"]["user"]["photos"];
            let nodes = page["nodes"].as_array();
            for node in nodes.context("the list of photos is missing")? {
                photos.push((text(&node["title"])?, text(&node["id"])?));
            }
            if page["pageInfo"]["hasNextPage"] != true {
                return Ok(photos);
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }

    /// Uploads and publishes a picture, and returns the photo's id.
    pub async fn publish(
        &self,
        picture: Vec<u8>,
        media_type: &str,
        title: &str,
        alt_text: Option<&str>,
    ) -> Result<String> {
        let upload = self.upload(picture, media_type).await?;
        let publish = operations::publish_photo(&upload, title, alt_text);
        text(&self.run(&publish).await?["publishPhoto"]["id"])
    }

    /// Uploads a picture. The site limits how many it decodes at once, so refusals of busy sites are retried.
    async fn upload(&self, picture: Vec<u8>, media_type: &str) -> Result<String> {
        let mut attempt = 1;
        loop {
            let token = self.token().await?;
            match self.site.upload(&token, picture.clone(), media_type).await {
                Err(error) if attempt < SITE_REQUEST_ATTEMPTS && error.is_temporary() => {
                    tokio::time::sleep(error.pause(attempt + 1)).await;
                }
                outcome => return outcome.context("the upload was refused"),
            }
            attempt += 1;
        }
    }
}

fn text(value: &Value) -> Result<String> {
    let text = value
        .as_str()
        .context("the response has not the expected fields")?;
    Ok(text.to_owned())
}
