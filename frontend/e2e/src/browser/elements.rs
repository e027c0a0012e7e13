//! Finds elements on a page by role and name, clicks them, fills them in, and waits for live regions.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::common::requestdata::RequestData;
use thirtyfour::prelude::*;
use thirtyfour::{Key, SessionId};

use super::Browser;

/// The accessible role of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Article,
    Button,
    Checkbox,
    Dialog,
    FileInput,
    Heading,
    Image,
    Link,
    ListItem,
    Textbox,
}

impl Role {
    /// The CSS selector of elements with this role.
    fn selector(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Button => "button",
            Self::Checkbox => "input[type=checkbox]",
            Self::Dialog => "dialog[open]",
            Self::FileInput => "input[type=file]",
            Self::Heading => "h1, h2, h3",
            Self::Image => "img",
            Self::Link => "a[href]",
            Self::ListItem => "li",
            Self::Textbox => "input:not([type=file], [type=radio], [type=checkbox]), textarea",
        }
    }

    /// List items have no accessible name, so they are found by their text.
    fn is_named_by_text(self) -> bool {
        self == Self::ListItem
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Browser {
    /// Waits for the element with this role and name.
    pub async fn find(&self, role: Role, name: &str) -> Result<WebElement> {
        self.find_within(None, role, name).await
    }

    /// Waits for the element with this role and name inside `parent`.
    pub async fn find_in(&self, parent: &WebElement, role: Role, name: &str) -> Result<WebElement> {
        self.find_within(Some(parent), role, name).await
    }

    async fn find_within(&self, parent: Option<&WebElement>, role: Role, name: &str) -> Result<WebElement> {
        let what = format!("{role} “{name}”");
        self.wait_for(&what, async || self.find_now(parent, role, name).await)
            .await
    }

    /// Waits until no element with this role and name is visible.
    pub async fn wait_until_gone(&self, role: Role, name: &str) -> Result<()> {
        let what = format!("{role} “{name}” to go");
        self.wait_for(&what, async || {
            Ok(self.find_now(None, role, name).await?.is_none().then_some(()))
        })
        .await
    }

    /// Whether an element with this role and name is visible now.
    pub async fn is_shown(&self, role: Role, name: &str) -> Result<bool> {
        Ok(self.find_now(None, role, name).await?.is_some())
    }

    async fn find_now(
        &self,
        parent: Option<&WebElement>,
        role: Role,
        name: &str,
    ) -> Result<Option<WebElement>> {
        let by = By::Css(role.selector());
        let candidates = match parent {
            Some(parent) => parent.find_all(by).await,
            None => self.driver.find_all(by).await,
        };
        for element in candidates? {
            if self.has_name(&element, role, name).await.unwrap_or(false) {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// Returns an error if the element was removed meanwhile, which callers treat as no match.
    async fn has_name(&self, element: &WebElement, role: Role, name: &str) -> Result<bool> {
        if role.is_named_by_text() {
            return Ok(element.text().await?.contains(name));
        }
        let label: String = self
            .driver
            .cmd(ComputedLabel(element.element_id().to_string()))
            .await?
            .value()?;
        Ok(label == name && (role == Role::FileInput || element.is_displayed().await?))
    }

    pub async fn click(&self, role: Role, name: &str) -> Result<()> {
        self.click_on(&self.find(role, name).await?).await
    }

    pub async fn click_in(&self, parent: &WebElement, role: Role, name: &str) -> Result<()> {
        self.click_on(&self.find_in(parent, role, name).await?).await
    }

    /// Scrolls the element to the middle first, because the bars could cover it. An element on a bar is always in view,
    /// and scrolling to it would move the page.
    async fn click_on(&self, element: &WebElement) -> Result<()> {
        let to_the_middle = "const { top, bottom } = element.getBoundingClientRect();
            const isCovered = top < 72 || bottom > innerHeight - 72;
            if (isCovered && !element.closest('header.bar')) element.scrollIntoView({ block: 'center' });";
        self.run_on::<()>(element, to_the_middle).await?;
        Ok(element.click().await?)
    }

    /// Presses keys one after another; the focused element gets them.
    pub async fn press(&self, keys: impl Into<TypingData>) -> Result<()> {
        Ok(self.driver.action_chain().send_keys(keys).perform().await?)
    }

    /// Presses a key while the control key is held.
    pub async fn press_with_control(&self, key: Key) -> Result<()> {
        let chain = self.driver.action_chain().key_down(Key::Control).send_keys(key);
        Ok(chain.key_up(Key::Control).perform().await?)
    }

    /// Inserts text into the focused element at once, like pasting.
    pub async fn paste(&self, text: &str) -> Result<()> {
        self.devtools("Input.insertText", json!({ "text": text })).await
    }

    /// Waits until the element with this role and name has the focus.
    pub async fn wait_for_focus(&self, role: Role, name: &str) -> Result<WebElement> {
        self.wait_for(&format!("the focus on {role} “{name}”"), async || {
            let focused = self.driver.active_element().await?;
            let script = format!("return element.matches({:?})", role.selector());
            let is_it: bool = self.run_on(&focused, &script).await?;
            Ok((is_it && self.has_name(&focused, role, name).await?).then_some(focused))
        })
        .await
    }

    /// Replaces the text of the field with this label.
    pub async fn fill(&self, label: &str, text: &str) -> Result<()> {
        let field = self.find(Role::Textbox, label).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Chooses files for the file input with this label.
    pub async fn choose_files(&self, label: &str, files: &[PathBuf]) -> Result<()> {
        let input = self.find(Role::FileInput, label).await?;
        let names: Option<Vec<_>> = files.iter().map(|file| file.to_str()).collect();
        let names = names.context("a test file has a plain name")?.join("\n");
        Ok(input.send_keys(names).await?)
    }

    /// Waits until a live region contains exactly this text.
    pub async fn wait_for_announcement(&self, text: &str) -> Result<()> {
        let said = async || {
            let mut said = false;
            for region in self.driver.find_all(By::Css("[aria-live=polite]")).await? {
                said |= region
                    .prop("textContent")
                    .await?
                    .is_some_and(|said| said.trim() == text);
            }
            Ok(said.then_some(()))
        };
        self.wait_for(&format!("the announcement “{text}”"), said).await
    }

    /// Waits until an attribute has this value.
    pub async fn wait_for_attribute(&self, element: &WebElement, attribute: &str, value: &str) -> Result<()> {
        let what = format!("{attribute}={value}");
        self.wait_for(&what, async || {
            Ok((element.attr(attribute).await?.as_deref() == Some(value)).then_some(()))
        })
        .await
    }

    /// Reloads the page until the button is pressed, which shows that the server has stored the vote.
    pub async fn reload_until_pressed(&self, article: &str, button: &str) -> Result<()> {
        let is_stored = async || {
            self.reload().await?;
            let article = self.find(Role::Article, article).await?;
            let button = self.find_in(&article, Role::Button, button).await?;
            Ok((button.attr("aria-pressed").await?.as_deref() == Some("true")).then_some(()))
        };
        self.wait_for(&format!("{button} to be pressed after a reload"), is_stored)
            .await
    }

    /// Waits until the picture is decoded, and returns the URL of the file that the browser chose.
    pub async fn loaded_image_url(&self, image: &WebElement) -> Result<String> {
        let loaded = async || Ok((image.prop("complete").await?.as_deref() == Some("true")).then_some(()));
        self.wait_for("the picture", loaded).await?;
        let width = image.prop("naturalWidth").await?.unwrap_or_default();
        ensure!(width != "0", "the browser could not decode the picture");
        image
            .prop("currentSrc")
            .await?
            .context("a loaded image has a URL")
    }
}

/// The accessible name of an element: <https://www.w3.org/TR/webdriver2/#get-computed-label>.
#[derive(Debug)]
struct ComputedLabel(String);

impl FormatRequestData for ComputedLabel {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let Self(element) = self;
        RequestData::new(
            http::Method::GET,
            format!("session/{session}/element/{element}/computedlabel"),
        )
    }
}
