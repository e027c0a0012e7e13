//! Voting, commenting and uploading: each takes effect once, and no typed text is lost.

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
    let (ada, bert) = (site.join("ada").await?, site.join("bert").await?);
    let photos = ada.publish_frames(12).await?;

    let mut journeys = Journeys::default();
    journeys
        .walk(
            "sign in to vote",
            vote_stays_where_one_was(&site, &bert, &photos[1]),
        )
        .await;
    journeys
        .walk(
            "ten clicks",
            the_last_of_ten_clicks_wins(&site, &bert, &photos[3]),
        )
        .await;
    journeys
        .walk(
            "a lost answer",
            a_vote_survives_a_lost_answer(&site, &bert, &photos[4]),
        )
        .await;
    journeys
        .walk("two tabs", two_tabs_vote_once(&site, &bert, &photos[5]))
        .await;
    journeys
        .walk("comments", comment_reply_edit_delete(&site, &bert, &photos[6]))
        .await;
    journeys
        .walk(
            "a word too long",
            a_text_that_is_too_long_stays(&site, &bert, &photos[7]),
        )
        .await;
    journeys
        .walk(
            "a session that ends elsewhere",
            a_session_that_ends_elsewhere_loses_nothing(&site, &bert, &photos[8]),
        )
        .await;
    journeys
        .walk("a drop", a_drop_anywhere_waits_for_the_sign_in(&site, &bert))
        .await;
    journeys
        .walk("a new title", a_new_title_is_on_the_tile(&site, &ada))
        .await;
    journeys.walk("a last page", an_account_ends_quietly(&site)).await;
    journeys
        .walk("five files", four_of_five_files_arrive(&bert))
        .await;
    system.stop().await;
    journeys.finish()
}

/// The sign-in sheet keeps the press, and the page its place.
async fn vote_stays_where_one_was(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 2").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    let place = browser.scrolled().await?;
    ensure!(place > 100.0, "the tile was in view already, at {place}");
    bert.fill_in(&browser).await?;
    browser.is_gone(Role::Dialog, "Sign in").await?;
    browser.announces("Upvoted. Score 1.").await?;
    browser.is_scrolled_to(place).await?;
    let up = browser.find_in(&tile, Role::Button, "Upvote").await?;
    browser.has(&up, "aria-pressed", "true").await?;
    site.comes_to(&browser, photo, (1, 0, 0)).await?;
    browser.screenshots("voted-after-sign-in").await?;
    browser.closes_content().await
}

/// Counts the votes that are on their way, and loses answers when told to.
const WIRE: &str = "
    window.wire = { sent: 0, underway: 0, most: 0, lose: 0 };
    const send = window.fetch;
    window.fetch = async (...request) => {
        if (!String(request[1]?.body).includes('castVote')) return send(...request);
        wire.sent += 1;
        wire.underway += 1;
        wire.most = Math.max(wire.most, wire.underway);
        try {
            const answer = await send(...request);
            // The server counts the vote, and its response is lost.
            if (wire.lose > 0) { wire.lose -= 1; throw new TypeError('lost'); }
            return answer;
        } finally {
            wire.underway -= 1;
        }
    };";

/// Ten clicks in turn on up and down. True if the last is shown in the frame that follows.
const STORM: &str = "
    const buttons = [...element.querySelectorAll('[aria-pressed]')];
    for (let click = 0; click < 10; click++) buttons[click % 2].click();
    return new Promise(requestAnimationFrame)
        .then(() => buttons[1].getAttribute('aria-pressed') === 'true');";

async fn the_last_of_ten_clicks_wins(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.before_every_page(WIRE).await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 4").await?;
    browser.find_in(&tile, Role::Button, "Downvote").await?;
    ensure!(
        browser.run_on::<bool>(&tile, STORM).await?,
        "a click was not painted in its frame"
    );
    browser.announces("Downvoted. Score −1.").await?;
    site.comes_to(&browser, photo, (0, 1, 0)).await?;
    let (sent, most): (u32, u32) = browser.run("return [wire.sent, wire.most]").await?;
    ensure!(most == 1, "{most} votes were under way at once");
    ensure!(sent <= 3, "ten clicks became {sent} requests");
    browser.closes_content().await
}

async fn a_vote_survives_a_lost_answer(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.before_every_page(WIRE).await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 5").await?;
    let down = browser.find_in(&tile, Role::Button, "Downvote").await?;
    browser.run::<()>("wire.lose = 1").await?;
    browser.run_on::<bool>(&tile, STORM).await?;
    browser.reads("Your vote was not counted.").await?;
    // The page shows the last response, even if the server has counted more since.
    browser.has(&down, "aria-pressed", "false").await?;
    browser.screenshots("vote-not-counted").await?;
    browser.click(Role::Button, "Retry").await?;
    browser.has(&down, "aria-pressed", "true").await?;
    site.comes_to(&browser, photo, (0, 1, 0)).await?;
    let most: u32 = browser.run("return wire.most").await?;
    ensure!(most == 1, "{most} votes were under way at once");
    browser.closes_content().await
}

/// A tab may show a stale vote; a click sends the vote that its button names.
async fn two_tabs_vote_once(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 6").await?;
    let up = browser.find_in(&tile, Role::Button, "Upvote").await?;
    let first = browser.open_tab().await?;
    browser.visit("/").await?;
    let same = browser.find(Role::Article, "Frame 6").await?;
    browser.click_in(&same, Role::Button, "Upvote").await?;
    site.comes_to(&browser, photo, (1, 0, 0)).await?;
    browser.close_tab_for(first).await?;
    browser.has(&up, "aria-pressed", "false").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.has(&up, "aria-pressed", "true").await?;
    browser.announces("Upvoted. Score 1.").await?;
    // Clearing it counts for both: there was only ever one vote.
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    site.comes_to(&browser, photo, (0, 0, 0)).await?;
    browser.closes_content().await
}

async fn comment_reply_edit_delete(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit(&format!("/p/{photo}")).await?;
    browser.fill("Your comment", "Whose boat is that?").await?;
    browser.press_with_control(Key::Enter).await?;
    browser.announces("Comment posted.").await?;
    let said = browser.find(Role::ListItem, "Whose boat is that?").await?;
    browser.has_focus(Role::ListItem, "Whose boat is that?").await?;
    browser.click_in(&said, Role::Button, "Edit").await?;
    browser
        .fill("Edit your comment", "Whose red boat is that?")
        .await?;
    let editing = browser.find(Role::ListItem, "Cancel").await?;
    browser.click_in(&editing, Role::Button, "Save").await?;
    browser.reads("Edited").await?;
    browser
        .has_focus(Role::ListItem, "Whose red boat is that?")
        .await?;

    let said = browser.find(Role::ListItem, "Whose red boat is that?").await?;
    browser.click_in(&said, Role::Button, "Reply").await?;
    browser
        .fill("Your reply", "Found out: the harbour master’s.")
        .await?;
    browser.screenshots("comment-being-answered").await?;
    browser.press_with_control(Key::Enter).await?;
    let reply = browser
        .find_in(&said, Role::ListItem, "the harbour master’s")
        .await?;
    site.comes_to(&browser, photo, (0, 0, 2)).await?;
    browser.screenshots("comment-with-reply").await?;

    // An undone deletion restores the comment.
    browser.click_in(&said, Role::Button, "Delete").await?;
    browser.reads("This comment was deleted.").await?;
    browser.click_in(&said, Role::Button, "Undo").await?;
    browser
        .has_focus(Role::ListItem, "Whose red boat is that?")
        .await?;
    browser.click_in(&said, Role::Button, "Delete").await?;
    browser.reads("This comment was deleted.").await?;
    browser.click_in(&reply, Role::Button, "Delete").await?;
    site.comes_to(&browser, photo, (0, 0, 0)).await?;
    browser.closes_content().await
}

/// It is refused before it is sent, with what to do, and stays where it was typed.
async fn a_text_that_is_too_long_stays(site: &Site, bert: &Member<'_>, photo: &str) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit(&format!("/p/{photo}")).await?;
    let area = browser.find(Role::Textbox, "Your comment").await?;
    area.click().await?;
    browser.paste(&"Wow".repeat(8000 / 3)).await?;
    browser.reads("7,998 / 2,000").await?;
    let send = browser.find(Role::Button, "Send").await?;
    browser.has(&send, "aria-disabled", "true").await?;
    browser
        .reads("Too long by 5,998. Please shorten it to 2,000 characters.")
        .await?;
    browser.press_with_control(Key::Enter).await?;
    browser
        .announces("Too long by 5,998. Please shorten it to 2,000 characters.")
        .await?;
    let area = browser.has_focus(Role::Textbox, "Your comment").await?;
    browser.has(&area, "aria-invalid", "true").await?;
    browser.screenshots("comment-too-long").await?;
    browser.reload().await?;
    browser.reads("7,998 / 2,000").await?;
    site.comes_to(&browser, photo, (0, 0, 0)).await?;

    // As long as may be, and still without a place to break the line.
    let area = browser.find(Role::Textbox, "Your comment").await?;
    area.clear().await?;
    area.click().await?;
    browser.paste(&"W".repeat(2000)).await?;
    browser.click(Role::Button, "Send").await?;
    browser.announces("Comment posted.").await?;
    browser.screenshots("comment-of-one-word").await?;
    browser.closes_content().await
}

async fn a_session_that_ends_elsewhere_loses_nothing(
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
    browser.is_at("/").await?;
    browser.close_tab_for(first).await?;
    browser.find(Role::Link, "Sign in").await?;
    let kept = browser.find(Role::Textbox, "Your comment").await?;
    ensure!(
        kept.value().await?.as_deref() == Some("I was about to say this."),
        "the text is lost"
    );
    browser.click(Role::Button, "Send").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    bert.fill_in(&browser).await?;
    browser.find(Role::ListItem, "I was about to say this.").await?;
    site.comes_to(&browser, photo, (0, 0, 1)).await?;
    browser.closes_content().await
}

/// Counts the files that are being sent.
const UPLOADS: &str = "
    window.uploads = { underway: 0, most: 0 };
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function (...body) {
        uploads.underway += 1;
        uploads.most = Math.max(uploads.most, uploads.underway);
        this.addEventListener('load', () => { uploads.underway -= 1; });
        return send.apply(this, body);
    };";

/// Whether the page asks before it is left.
const LEAVE: &str = "
    const leaving = new Event('beforeunload', { cancelable: true });
    window.dispatchEvent(leaving);
    return leaving.defaultPrevented;";

/// A browser calls the third one no picture by its name. Its bytes say otherwise.
fn roll_of_film(name: &str) -> String {
    let extension = if name == "third" { "bin" } else { "jpg" };
    format!("{name}-roll-of-film.{extension}")
}

/// One broken file does not hold the others up, and says what is wrong with it.
async fn four_of_five_files_arrive(bert: &Member<'_>) -> Result<()> {
    let browser = bert.browser().await?;
    let folder = tempfile::tempdir()?;
    let files: Vec<PathBuf> = ["first", "second", "broken", "third", "fourth"]
        .iter()
        .map(|name| folder.path().join(roll_of_film(name)))
        .collect();
    for (number, file) in (1..).zip(&files) {
        let mut jpeg = camera::picture((320, 240), 40 * number);
        if number == 3 {
            // It begins as a picture does, and then there is nothing.
            jpeg.truncate(120);
        }
        std::fs::write(file, jpeg)?;
    }
    browser.run::<()>(UPLOADS).await?;
    browser.click(Role::Link, "Upload").await?;
    browser.choose("Choose photos", &files).await?;
    browser.find(Role::Button, "Publish all 4").await?;
    let broken = browser.find(Role::ListItem, "broken-roll-of-film.jpg").await?;
    browser.reads("The picture is damaged").await?;
    ensure!(
        !browser.shows(Role::Button, "Retry").await?,
        "the same damaged file is offered again"
    );
    browser.screenshots("upload-one-broken").await?;
    let most: u32 = browser.run("return uploads.most").await?;
    ensure!(most == 3, "{most} files were sent at once");
    ensure!(
        browser.run::<bool>(LEAVE).await?,
        "one may leave without being asked"
    );
    // A file's name is a suggestion: nothing is published before all have a title.
    browser.click(Role::Button, "Publish all 4").await?;
    browser.reads("Please use 1 to 120 characters.").await?;
    for name in ["first", "second", "third", "fourth"] {
        browser
            .click(Role::Button, &format!("Use “{name} roll of film”"))
            .await?;
    }
    browser.click(Role::Button, "Publish all 4").await?;
    browser.is_gone(Role::Button, "Publish all 4").await?;
    browser.click_in(&broken, Role::Button, "Remove").await?;
    browser.is_gone(Role::ListItem, "broken-roll-of-film.jpg").await?;
    for name in ["first", "second", "third", "fourth"] {
        let item = browser
            .find(Role::ListItem, &format!("{name} roll of film"))
            .await?;
        browser.find_in(&item, Role::Link, "See it").await?;
    }
    browser.find(Role::Link, "See all 4").await?;
    browser.screenshots("upload-published").await?;
    ensure!(
        !browser.run::<bool>(LEAVE).await?,
        "one is asked although all is done"
    );
    browser.visit("/").await?;
    for name in ["first", "second", "third", "fourth"] {
        browser
            .find(Role::Article, &format!("{name} roll of film"))
            .await?;
    }
    browser.closes_content().await
}

/// Files that are held over the window and let go.
const DROP: &str = "
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

/// The window takes files on every page, and keeps them until their owner has signed in.
async fn a_drop_anywhere_waits_for_the_sign_in(site: &Site, bert: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/trending").await?;
    browser.run::<bool>(DROP).await?;
    browser.is_at("/upload").await?;
    browser.find(Role::Heading, "Upload photos").await?;
    bert.fill_in(&browser).await?;
    browser.reads("No location inside").await?;
    browser.click(Role::Button, "Use “harbour”").await?;
    browser.click(Role::Button, "Publish").await?;
    browser.has_focus(Role::Link, "See it").await?;
    browser.closes_content().await
}

async fn a_new_title_is_on_the_tile(site: &Site, ada: &Member<'_>) -> Result<()> {
    let photo = ada.publish(camera::picture((300, 200), 7), "Dunes").await?;
    let browser = ada.browser().await?;
    browser.visit("/@ada").await?;
    let tile = browser.find(Role::Article, "Dunes").await?;
    browser.click_in(&tile, Role::Link, "Dunes").await?;
    browser.is_at(&format!("/p/{photo}")).await?;
    browser.click(Role::Button, "Edit").await?;
    browser.fill("Title", " ").await?;
    browser.click(Role::Button, "Save").await?;
    browser.reads("Please fill this in.").await?;
    browser.has_focus(Role::Textbox, "Title").await?;
    browser.fill("Title", "Dunes, turned").await?;
    browser.click(Role::Button, "Save").await?;
    browser.find(Role::Heading, "Dunes, turned").await?;
    browser.press(Key::Escape).await?;
    browser.has_focus(Role::Article, "Dunes, turned").await?;
    site.comes_to(&browser, &photo, (0, 0, 0)).await?;
    browser.closes_content().await
}

/// After the deletion of the account a page confirms it, and going back shows no timeline with the deleted photos.
async fn an_account_ends_quietly(site: &Site) -> Result<()> {
    let cleo = site.join("cleo").await?;
    cleo.publish(camera::picture((300, 200), 7), "Soon gone").await?;
    let browser = cleo.browser().await?;
    browser.visit("/settings").await?;
    browser.fill("Your password", crate::site::PASSWORD).await?;
    browser.click(Role::Button, "Delete my account").await?;
    browser.find(Role::Heading, "Your account was deleted").await?;
    browser.find(Role::Link, "See the latest photos").await?;
    browser.closes_content().await
}
