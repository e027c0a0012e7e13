//! The content that a test starts with: users and photos, created through the public API.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::browser::{Browser, BrowserSettings, Role};
use e2e::camera;
use harness::api::operations::{self, NewComment};
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "a contact sheet in the rain";
const API_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    api: harness::api::Site,
    url: String,
}

/// A user with an account and a username.
pub(crate) struct Member<'a> {
    site: &'a Site,
    name: &'a str,
    api: harness::api::Member<'a>,
}

impl Site {
    pub(crate) fn new(url: String) -> Result<Self> {
        let api = harness::api::Site::new(vec![url.clone()], API_TIMEOUT)?;
        Ok(Self { api, url })
    }

    /// Creates an account with this username. The e-mail address is the name at example.org.
    pub(crate) async fn register<'a>(&'a self, name: &'a str) -> Result<Member<'a>> {
        let api = self.api.join(format!("{name}@example.org"), PASSWORD).await?;
        api.run(&operations::claim_username(name)).await?;
        Ok(Member {
            site: self,
            name,
            api,
        })
    }

    /// Opens a browser that is not signed in.
    pub(crate) async fn visitor(&self) -> Result<Browser> {
        Browser::open(&self.url).await
    }

    pub(crate) async fn visitor_with_settings(&self, settings: BrowserSettings<'_>) -> Result<Browser> {
        Browser::open_with(&self.url, settings).await
    }

    /// Waits until the API returns these numbers of upvotes, downvotes and comments.
    pub(crate) async fn wait_for_counts(
        &self,
        browser: &Browser,
        photo: &str,
        counts: (i64, i64, i64),
    ) -> Result<()> {
        browser
            .wait_for(
                &format!("{counts:?} upvotes, downvotes and comments"),
                async || Ok((self.counts(photo).await? == counts).then_some(())),
            )
            .await
    }

    async fn counts(&self, photo: &str) -> Result<(i64, i64, i64)> {
        let counts = operations::photo(photo, "votes { up down } commentCount");
        let photo = self.api.run(None, &counts).await?["photo"].take();
        let number = |value: &Value| value.as_i64().context("a count is a number");
        Ok((
            number(&photo["votes"]["up"])?,
            number(&photo["votes"]["down"])?,
            number(&photo["commentCount"])?,
        ))
    }
}

impl Member<'_> {
    /// Uploads and publishes a picture, and returns the id of the photo.
    pub(crate) async fn publish(&self, jpeg: Vec<u8>, title: &str) -> Result<String> {
        self.api.publish(jpeg, "image/jpeg", title, None).await
    }

    /// Changes the display name.
    pub(crate) async fn set_display_name(&self, name: &str) -> Result<()> {
        let changes = json!({ "displayName": name });
        self.api
            .run(&operations::update_profile(&changes))
            .await
            .map(drop)
    }

    /// Adds a comment to a photo.
    pub(crate) async fn comment(&self, photo: &str, body: &str) -> Result<()> {
        let comment = operations::add_comment(&NewComment {
            photo_id: photo,
            body,
            reply_to_id: None,
            idempotency_key: None,
        });
        self.api.run(&comment).await.map(drop)
    }

    /// Publishes `count` small pictures with the titles `Frame 1`, `Frame 2`, …, and returns their ids.
    pub(crate) async fn publish_frames(&self, count: u8) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for number in 1..=count {
            let height = 160 + 40 * u32::from(number % 4);
            let jpeg = camera::picture((300, height), number * 20);
            ids.push(self.publish(jpeg, &format!("Frame {number}")).await?);
        }
        Ok(ids)
    }

    /// Opens a browser, signs in with the form, and waits for the front page.
    pub(crate) async fn browser(&self) -> Result<Browser> {
        let browser = self.site.visitor().await?;
        browser.visit("/login").await?;
        self.submit_sign_in(&browser).await?;
        browser.wait_for_path("/").await?;
        browser.find(Role::Link, "Settings").await?;
        Ok(browser)
    }

    /// Fills in and submits the open sign-in form.
    pub(crate) async fn submit_sign_in(&self, browser: &Browser) -> Result<()> {
        browser
            .fill("E-mail", &format!("{}@example.org", self.name))
            .await?;
        browser.fill("Password", PASSWORD).await?;
        browser.click(Role::Button, "Sign in").await
    }
}
