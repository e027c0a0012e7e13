//! Votes, comments and uploads: each takes effect once, and no typed text is lost.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use e2e::browser::{Key, Role};
use e2e::camera;
use harness::system::{Options, System};

use crate::journeys::Journeys;
use crate::site::{Member, Site};

#[tokio::test(flavor = "multi_thread")]
async fn actions_count_once_and_are_never_lost() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let site = Site::new(system.base_url())?;
    let (ada, bert) = (site.register("ada").await?, site.register("bert").await?);
    let photos = ada.publish_frames(12).await?;

    let mut journeys = Journeys::default();
    journeys
        .run(
            "sign in to vote",
            a_vote_is_sent_after_sign_in(&site, &bert, &photos[1]),
        )
        .await;
    journeys
        .run(
            "ten clicks",
            the_last_of_ten_clicks_wins(&site, &bert, &photos[3]),
        )
        .await;
    journeys
        .run(
            "a lost response",
            a_vote_can_be_retried_after_a_lost_response(&site, &bert, &photos[4]),
        )
        .await;
    journeys
        .run("two tabs", two_tabs_vote_once(&site, &bert, &photos[5]))
        .await;
    journeys
        .run("comments", comment_reply_edit_delete(&site, &bert, &photos[6]))
        .await;
    journeys
        .run(
            "a long comment",
            a_too_long_comment_is_kept_and_not_sent(&site, &bert, &photos[7]),
        )
        .await;
    journeys
        .run(
            "sign-out in another tab",
            a_sign_out_in_another_tab_keeps_the_comment(&site, &bert, &photos[8]),
        )
        .await;
    journeys
        .run(
            "drag and drop",
            dropped_files_are_kept_until_the_sign_in(&site, &bert),
        )
        .await;
    journeys
        .run("a new title", an_edited_title_is_shown_on_the_tile(&site, &ada))
        .await;
    journeys
        .run("account deletion", an_account_can_be_deleted(&site))
        .await;
    journeys
        .run("five files", a_broken_file_does_not_stop_other_uploads(&bert))
        .await;
    system.stop().await;
    journeys.finish()
}

/// The vote is sent after the sign-in, and the page stays at its scroll position.
async fn a_vote_is_sent_after_sign_in(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 2").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    let position = browser.scroll_position().await?;
    ensure!(position > 100.0, "the page is not scrolled: {position}");
    bert.submit_sign_in(&browser).await?;
    browser.wait_until_gone(Role::Dialog, "Sign in").await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    browser.wait_for_scroll(position).await?;
    let up = browser.find_in(&tile, Role::Button, "Upvote").await?;
    browser.wait_for_attribute(&up, "aria-pressed", "true").await?;
    site.wait_for_counts(&browser, photo, (1, 0, 0)).await?;
    browser.take_screenshots("voted-after-sign-in").await?;
    browser.close_without_errors().await
}

/// A script that counts concurrent votes, and drops the responses of the next `lose` votes.
const TRACK_VOTES: &str = "
    window.votes = { sent: 0, concurrent: 0, maxConcurrent: 0, lose: 0 };
    const send = window.fetch;
    window.fetch = async (...request) => {
        if (!String(request[1]?.body).includes('castVote')) return send(...request);
        votes.sent += 1;
        votes.concurrent += 1;
        votes.maxConcurrent = Math.max(votes.maxConcurrent, votes.concurrent);
        try {
            const response = await send(...request);
            // The server counts the vote, and its response is lost.
            if (votes.lose > 0) { votes.lose -= 1; throw new TypeError('lost'); }
            return response;
        } finally {
            votes.concurrent -= 1;
        }
    };";

/// A script that clicks up and down ten times. Returns whether the next frame shows the last click.
const CLICK_TEN_TIMES: &str = "
    const buttons = [...element.querySelectorAll('[aria-pressed]')];
    for (let click = 0; click < 10; click++) buttons[click % 2].click();
    return new Promise(requestAnimationFrame)
        .then(() => buttons[1].getAttribute('aria-pressed') === 'true');";

async fn the_last_of_ten_clicks_wins(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.run_before_every_page(TRACK_VOTES).await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 4").await?;
    browser.find_in(&tile, Role::Button, "Downvote").await?;
    ensure!(
        browser.run_on::<bool>(&tile, CLICK_TEN_TIMES).await?,
        "the last click is not shown in the next frame"
    );
    browser.wait_for_announcement("Downvoted. Score −1.").await?;
    site.wait_for_counts(&browser, photo, (0, 1, 0)).await?;
    let (sent, max_concurrent): (u32, u32) = browser.run("return [votes.sent, votes.maxConcurrent]").await?;
    ensure!(max_concurrent == 1, "{max_concurrent} concurrent votes");
    ensure!(sent <= 3, "ten clicks became {sent} requests");
    browser.close_without_errors().await
}

async fn a_vote_can_be_retried_after_a_lost_response(
    site: &Site,
    bert: &Member<'_>,
    photo: &str,
) -> Result<()> {
    let browser = bert.browser().await?;
    browser.run_before_every_page(TRACK_VOTES).await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 5").await?;
    let down = browser.find_in(&tile, Role::Button, "Downvote").await?;
    browser.run::<()>("votes.lose = 1").await?;
    browser.run_on::<bool>(&tile, CLICK_TEN_TIMES).await?;
    browser.wait_for_text("Your vote was not counted.").await?;
    // The page shows the last response, even if the server has counted more since.
    browser.wait_for_attribute(&down, "aria-pressed", "false").await?;
    browser.take_screenshots("vote-not-counted").await?;
    browser.click(Role::Button, "Retry").await?;
    browser.wait_for_attribute(&down, "aria-pressed", "true").await?;
    site.wait_for_counts(&browser, photo, (0, 1, 0)).await?;
    let max_concurrent: u32 = browser.run("return votes.maxConcurrent").await?;
    ensure!(max_concurrent == 1, "{max_concurrent} concurrent votes");
    browser.close_without_errors().await
}

/// Clicking a button stores its vote, also in a tab that shows an old vote.
async fn two_tabs_vote_once(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 6").await?;
    let up = browser.find_in(&tile, Role::Button, "Upvote").await?;
    let first = browser.open_tab().await?;
    browser.visit("/").await?;
    let same = browser.find(Role::Article, "Frame 6").await?;
    browser.click_in(&same, Role::Button, "Upvote").await?;
    site.wait_for_counts(&browser, photo, (1, 0, 0)).await?;
    browser.close_tab_and_switch_to(first).await?;
    browser.wait_for_attribute(&up, "aria-pressed", "false").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.wait_for_attribute(&up, "aria-pressed", "true").await?;
    browser.wait_for_announcement("Upvoted. Score 1.").await?;
    // Both tabs have the same vote, so one removal is enough.
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    site.wait_for_counts(&browser, photo, (0, 0, 0)).await?;
    browser.close_without_errors().await
}

async fn comment_reply_edit_delete(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit(&format!("/p/{photo}")).await?;
    browser.fill("Your comment", "Whose boat is that?").await?;
    browser.press_with_control(Key::Enter).await?;
    browser.wait_for_announcement("Comment posted.").await?;
    let said = browser.find(Role::ListItem, "Whose boat is that?").await?;
    browser
        .wait_for_focus(Role::ListItem, "Whose boat is that?")
        .await?;
    browser.click_in(&said, Role::Button, "Edit").await?;
    browser
        .fill("Edit your comment", "Whose red boat is that?")
        .await?;
    let editing = browser.find(Role::ListItem, "Cancel").await?;
    browser.click_in(&editing, Role::Button, "Save").await?;
    browser.wait_for_text("Edited").await?;
    browser
        .wait_for_focus(Role::ListItem, "Whose red boat is that?")
        .await?;

    let said = browser.find(Role::ListItem, "Whose red boat is that?").await?;
    browser.click_in(&said, Role::Button, "Reply").await?;
    browser
        .fill("Your reply", "Found out: the harbour master’s.")
        .await?;
    browser.take_screenshots("comment-being-replied-to").await?;
    browser.press_with_control(Key::Enter).await?;
    let reply = browser
        .find_in(&said, Role::ListItem, "the harbour master’s")
        .await?;
    site.wait_for_counts(&browser, photo, (0, 0, 2)).await?;
    browser.take_screenshots("comment-with-reply").await?;

    // An undone deletion restores the comment.
    browser.click_in(&said, Role::Button, "Delete").await?;
    browser.wait_for_text("This comment was deleted.").await?;
    browser.click_in(&said, Role::Button, "Undo").await?;
    browser
        .wait_for_focus(Role::ListItem, "Whose red boat is that?")
        .await?;
    browser.click_in(&said, Role::Button, "Delete").await?;
    browser.wait_for_text("This comment was deleted.").await?;
    browser.click_in(&reply, Role::Button, "Delete").await?;
    site.wait_for_counts(&browser, photo, (0, 0, 0)).await?;
    browser.close_without_errors().await
}

/// The app shows the limit instead of sending the comment, and keeps the text.
async fn a_too_long_comment_is_kept_and_not_sent(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit(&format!("/p/{photo}")).await?;
    let area = browser.find(Role::Textbox, "Your comment").await?;
    area.click().await?;
    browser.paste(&"Wow".repeat(8000 / 3)).await?;
    browser.wait_for_text("7,998 / 2,000").await?;
    let send = browser.find(Role::Button, "Send").await?;
    browser.wait_for_attribute(&send, "aria-disabled", "true").await?;
    browser
        .wait_for_text("Too long by 5,998. Please shorten it to 2,000 characters.")
        .await?;
    browser.press_with_control(Key::Enter).await?;
    browser
        .wait_for_announcement("Too long by 5,998. Please shorten it to 2,000 characters.")
        .await?;
    let area = browser.wait_for_focus(Role::Textbox, "Your comment").await?;
    browser.wait_for_attribute(&area, "aria-invalid", "true").await?;
    browser.take_screenshots("comment-too-long").await?;
    browser.reload().await?;
    browser.wait_for_text("7,998 / 2,000").await?;
    site.wait_for_counts(&browser, photo, (0, 0, 0)).await?;

    // The maximum length, without a possible line break.
    let area = browser.find(Role::Textbox, "Your comment").await?;
    area.clear().await?;
    area.click().await?;
    browser.paste(&"W".repeat(2000)).await?;
    browser.click(Role::Button, "Send").await?;
    browser.wait_for_announcement("Comment posted.").await?;
    browser.take_screenshots("comment-of-one-word").await?;
    browser.close_without_errors().await
}

async fn a_sign_out_in_another_tab_keeps_the_comment(
    site: &Site,
    bert: &Member<'_>,
    photo: &str,
) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit(&format!("/p/{photo}")).await?;
    browser.fill("Your comment", "I was about to say this.").await?;
    let first = browser.open_tab().await?;
    browser.visit("/settings").await?;
    browser.click(Role::Button, "Sign out").await?;
    browser.wait_for_path("/").await?;
    browser.close_tab_and_switch_to(first).await?;
    browser.find(Role::Link, "Sign in").await?;
    let kept = browser.find(Role::Textbox, "Your comment").await?;
    ensure!(
        kept.value().await?.as_deref() == Some("I was about to say this."),
        "the typed text is lost"
    );
    browser.click(Role::Button, "Send").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    bert.submit_sign_in(&browser).await?;
    browser.find(Role::ListItem, "I was about to say this.").await?;
    site.wait_for_counts(&browser, photo, (0, 0, 1)).await?;
    browser.close_without_errors().await
}

/// A script that counts concurrent uploads.
const TRACK_UPLOADS: &str = "
    window.uploads = { concurrent: 0, maxConcurrent: 0 };
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function (...body) {
        uploads.concurrent += 1;
        uploads.maxConcurrent = Math.max(uploads.maxConcurrent, uploads.concurrent);
        this.addEventListener('load', () => { uploads.concurrent -= 1; });
        return send.apply(this, body);
    };";

/// A script that returns whether leaving the page needs a confirmation.
const ASKS_BEFORE_LEAVING: &str = "
    const leaving = new Event('beforeunload', { cancelable: true });
    window.dispatchEvent(leaving);
    return leaving.defaultPrevented;";

/// Returns the name of a file. The third has the extension of another file type, although it is a picture.
fn file_name(name: &str) -> String {
    let extension = if name == "third" { "bin" } else { "jpg" };
    format!("{name}-roll-of-film.{extension}")
}

/// The error of a broken file is shown, and the other files are published.
async fn a_broken_file_does_not_stop_other_uploads(bert: &Member<'_>) -> Result<()> {
    let browser = bert.browser().await?;
    let folder = tempfile::tempdir()?;
    let files: Vec<PathBuf> = ["first", "second", "broken", "third", "fourth"]
        .iter()
        .map(|name| folder.path().join(file_name(name)))
        .collect();
    for (number, file) in (1..).zip(&files) {
        let mut jpeg = camera::picture((320, 240), 40 * number);
        if number == 3 {
            // Only the beginning of a picture.
            jpeg.truncate(120);
        }
        std::fs::write(file, jpeg)?;
    }
    browser.run::<()>(TRACK_UPLOADS).await?;
    browser.click(Role::Link, "Upload").await?;
    browser.choose_files("Choose photos", &files).await?;
    browser.find(Role::Button, "Publish all 4").await?;
    let broken = browser.find(Role::ListItem, "broken-roll-of-film.jpg").await?;
    browser.wait_for_text("The picture is damaged").await?;
    ensure!(
        !browser.is_shown(Role::Button, "Retry").await?,
        "the same damaged file is offered again"
    );
    browser.take_screenshots("upload-one-broken").await?;
    let max_concurrent: u32 = browser.run("return uploads.maxConcurrent").await?;
    ensure!(max_concurrent == 3, "{max_concurrent} concurrent uploads");
    ensure!(
        browser.run::<bool>(ASKS_BEFORE_LEAVING).await?,
        "the page can be left without a confirmation"
    );
    // Titles are suggested by the names of the files, and required.
    browser.click(Role::Button, "Publish all 4").await?;
    browser.wait_for_text("Please use 1 to 120 characters.").await?;
    for name in ["first", "second", "third", "fourth"] {
        browser
            .click(Role::Button, &format!("Use “{name} roll of film”"))
            .await?;
    }
    browser.click(Role::Button, "Publish all 4").await?;
    browser.wait_until_gone(Role::Button, "Publish all 4").await?;
    browser.click_in(&broken, Role::Button, "Remove").await?;
    browser
        .wait_until_gone(Role::ListItem, "broken-roll-of-film.jpg")
        .await?;
    for name in ["first", "second", "third", "fourth"] {
        let item = browser
            .find(Role::ListItem, &format!("{name} roll of film"))
            .await?;
        browser.find_in(&item, Role::Link, "See it").await?;
    }
    browser.find(Role::Link, "See all 4").await?;
    browser.take_screenshots("upload-published").await?;
    ensure!(
        !browser.run::<bool>(ASKS_BEFORE_LEAVING).await?,
        "leaving needs a confirmation although all uploads are complete"
    );
    browser.visit("/").await?;
    for name in ["first", "second", "third", "fourth"] {
        browser
            .find(Role::Article, &format!("{name} roll of film"))
            .await?;
    }
    browser.close_without_errors().await
}

/// A script that drops a file on the window.
const DROP_FILE: &str = "
    const files = new DataTransfer();
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
    canvas.getContext('2d').fillRect(0, 0, 320, 240);
    return new Promise(done => canvas.toBlob(done, 'image/jpeg')).then(blob => {
        files.items.add(new File([blob], 'harbour.jpg', { type: 'image/jpeg' }));
        const event = name => new DragEvent(name, { dataTransfer: files, bubbles: true, cancelable: true });
        document.querySelector('footer').dispatchEvent(event('dragover'));
        document.querySelector('footer').dispatchEvent(event('drop'));
        return true;
    });";

/// Files can be dropped on every page, and are kept until the user has signed in.
async fn dropped_files_are_kept_until_the_sign_in(site: &Site, bert: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/trending").await?;
    browser.run::<bool>(DROP_FILE).await?;
    browser.wait_for_path("/upload").await?;
    browser.find(Role::Heading, "Upload photos").await?;
    bert.submit_sign_in(&browser).await?;
    browser.wait_for_text("No location inside").await?;
    browser.click(Role::Button, "Use “harbour”").await?;
    browser.click(Role::Button, "Publish").await?;
    browser.wait_for_focus(Role::Link, "See it").await?;
    browser.close_without_errors().await
}

async fn an_edited_title_is_shown_on_the_tile(site: &Site, ada: &Member<'_>) -> Result<()> {
    let photo = ada.publish(camera::picture((300, 200), 7), "Dunes").await?;
    let browser = ada.browser().await?;
    browser.visit("/@ada").await?;
    let tile = browser.find(Role::Article, "Dunes").await?;
    browser.click_in(&tile, Role::Link, "Dunes").await?;
    browser.wait_for_path(&format!("/p/{photo}")).await?;
    browser.click(Role::Button, "Edit").await?;
    browser.fill("Title", " ").await?;
    browser.click(Role::Button, "Save").await?;
    browser.wait_for_text("Please fill this in.").await?;
    browser.wait_for_focus(Role::Textbox, "Title").await?;
    browser.fill("Title", "Dunes, turned").await?;
    browser.click(Role::Button, "Save").await?;
    browser.find(Role::Heading, "Dunes, turned").await?;
    browser.press(Key::Escape).await?;
    browser.wait_for_focus(Role::Article, "Dunes, turned").await?;
    site.wait_for_counts(&browser, &photo, (0, 0, 0)).await?;
    browser.close_without_errors().await
}

/// A page confirms the deletion of the account.
async fn an_account_can_be_deleted(site: &Site) -> Result<()> {
    let cleo = site.register("cleo").await?;
    cleo.publish(camera::picture((300, 200), 7), "Soon gone").await?;
    let browser = cleo.browser().await?;
    browser.visit("/settings").await?;
    browser.fill("Your password", crate::site::PASSWORD).await?;
    browser.click(Role::Button, "Delete my account").await?;
    browser.find(Role::Heading, "Your account was deleted").await?;
    browser.find(Role::Link, "See the latest photos").await?;
    browser.close_without_errors().await
}
