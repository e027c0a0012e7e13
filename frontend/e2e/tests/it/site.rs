//! The content that a test starts with: users and photos, created through the public API.

use anyhow::{Context, Result, ensure};
use e2e::browser::{Browser, BrowserSettings, Role};
use e2e::camera;
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "a contact sheet in the rain";

pub(crate) struct Site {
    client: reqwest::Client,
    url: String,
}

/// A user with an account and a username.
pub(crate) struct Member<'a> {
    site: &'a Site,
    name: &'a str,
    token: String,
}

impl Site {
    pub(crate) fn new(url: String) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, url })
    }

    /// Executes an operation, and returns its data.
    async fn run(&self, token: Option<&str>, operation: &str, variables: Value) -> Result<Value> {
        let mut request = self
            .client
            .post(format!("{}/graphql", self.url))
            .json(&json!({ "query": operation, "variables": variables }));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer: Value = request.send().await?.json().await?;
        ensure!(answer["errors"].is_null(), "refused: {}", answer["errors"]);
        Ok(answer["data"].clone())
    }

    /// Creates an account with this username. The e-mail address is the name at example.org.
    pub(crate) async fn register<'a>(&'a self, name: &'a str) -> Result<Member<'a>> {
        const REGISTER: &str = "mutation($input: RegisterInput!) { register(input: $input) { accessToken } }";
        const CLAIM: &str = "mutation($name: String!) { claimUsername(username: $name) { id } }";
        let input = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
        let data = self.run(None, REGISTER, json!({ "input": input })).await?;
        let token = data["register"]["accessToken"]
            .as_str()
            .context("the response has a token")?
            .to_owned();
        self.run(Some(&token), CLAIM, json!({ "name": name })).await?;
        Ok(Member {
            site: self,
            name,
            token,
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
        const COUNTS: &str = "query($id: ID!) { photo(id: $id) { votes { up down } commentCount } }";
        let photo = self.run(None, COUNTS, json!({ "id": photo })).await?["photo"].take();
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
        const PUBLISH: &str = "mutation($input: PublishPhotoInput!) { publishPhoto(input: $input) { id } }";
        let site = self.site;
        let answer = site
            .client
            .post(format!("{}/media/uploads", site.url))
            .bearer_auth(&self.token)
            .header("content-type", "image/jpeg")
            .body(jpeg)
            .send()
            .await?
            .error_for_status()?;
        let upload: Value = answer.json().await?;
        let input = json!({ "uploadId": upload["uploadId"], "title": title });
        let data = site
            .run(Some(&self.token), PUBLISH, json!({ "input": input }))
            .await?;
        Ok(data["publishPhoto"]["id"]
            .as_str()
            .context("a photo has an id")?
            .to_owned())
    }

    /// Changes the display name.
    pub(crate) async fn set_display_name(&self, name: &str) -> Result<()> {
        const UPDATE: &str = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { id } }";
        let input = json!({ "displayName": name });
        self.site
            .run(Some(&self.token), UPDATE, json!({ "input": input }))
            .await?;
        Ok(())
    }

    /// Adds a comment to a photo.
    pub(crate) async fn comment(&self, photo: &str, body: &str) -> Result<()> {
        const ADD: &str = "mutation($input: AddCommentInput!) { addComment(input: $input) { id } }";
        let input = json!({ "photoId": photo, "body": body });
        self.site
            .run(Some(&self.token), ADD, json!({ "input": input }))
            .await?;
        Ok(())
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
