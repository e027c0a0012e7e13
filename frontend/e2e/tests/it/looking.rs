//! Navigation: back and forward, by keyboard, on narrow screens, with unusual pictures, and with browser features
//! disabled.

use anyhow::{Result, ensure};
use e2e::axe;
use e2e::browser::{Browser, Habits, Key, Role, Without};
use e2e::camera;
use harness::system::{Options, System};

use crate::journeys::Journeys;
use crate::site::{Member, Site};

#[tokio::test(flavor = "multi_thread")]
async fn visitors_navigate_the_site() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let site = Site::new(system.base_url())?;
    let (ada, bert) = (site.join("ada").await?, site.join("bert").await?);
    ada.publish_frames(12).await?;

    let mut journeys = Journeys::default();
    journeys
        .walk("a removal", the_next_photo_gets_the_rank(&ada))
        .await;
    journeys
        .walk("odd addresses", odd_addresses_are_not_found(&site))
        .await;
    journeys.walk("back and forward", back_and_forward(&site)).await;
    journeys
        .walk("the viewer", the_viewer_shows_the_next_photo(&site))
        .await;
    journeys
        .walk("the bar", labels_of_the_bar_do_not_overlap(&site, &bert))
        .await;
    journeys
        .walk("a reload", a_reload_keeps_the_scroll_position(&site))
        .await;
    journeys
        .walk("by keyboard alone", navigation_by_keyboard(&bert))
        .await;
    journeys
        .walk("shortcuts off", shortcuts_can_be_turned_off(&site))
        .await;
    journeys.walk("without pictures", without_pictures(&site)).await;
    journeys
        .walk("a wrong clock", with_a_wrong_clock(&site, &bert))
        .await;
    journeys
        .walk("without cookies", without_cookies(&site, &bert))
        .await;
    journeys.walk("without the app", without_the_app(&site)).await;
    journeys.walk("in German", in_german(&site)).await;
    journeys
        .walk("a narrow screen", on_a_narrow_screen(&site, &bert))
        .await;
    journeys
        .walk("new photos", new_photos_wait_for_a_click(&site, &ada))
        .await;
    journeys
        .walk("odd shapes", unusual_pictures_keep_their_ratio(&site, &ada))
        .await;
    journeys
        .walk("right to left", text_directions_are_isolated(&site))
        .await;
    system.stop().await;
    journeys.finish()
}

/// When the first photo is deleted, the next one gets its rank and its size.
async fn the_next_photo_gets_the_rank(ada: &Member<'_>) -> Result<()> {
    ada.publish(camera::picture((300, 200), 30), "Leading frame")
        .await?;
    let browser = ada.browser().await?;
    let leads = "return element.querySelector('img').sizes.includes('68vh')";
    browser
        .wait_for("the newest photo to lead", async || {
            browser.visit("/hot").await?;
            browser.find(Role::Heading, "Hot").await?;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            Ok(browser
                .shows(Role::Article, "Rank 1 Leading frame")
                .await?
                .then_some(()))
        })
        .await?;
    let second = browser.find(Role::Article, "Rank 2 Frame 12").await?;
    ensure!(
        !browser.run_on::<bool>(&second, leads).await?,
        "the second photo is as large as the first"
    );
    browser.click(Role::Link, "Leading frame").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    browser.click_in(&sheet, Role::Button, "Delete").await?;
    let question = browser.find(Role::Dialog, "Delete this photo?").await?;
    browser.click_in(&question, Role::Button, "Delete").await?;
    browser.is_at("/hot").await?;
    browser.is_gone(Role::Link, "Leading frame").await?;
    let first = browser.find(Role::Article, "Rank 1 Frame 12").await?;
    ensure!(
        browser.run_on::<bool>(&first, leads).await?,
        "no photo leads after the removal"
    );
    browser.has(&first, "aria-posinset", "1").await?;
    browser.find(Role::Article, "Rank 2 Frame 11").await?;
    browser.screenshots("hot-after-a-removal").await?;
    browser.closes_content().await
}

/// The router and the app agree on which paths do not exist.
async fn odd_addresses_are_not_found(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    for path in ["/p/heron", "/hot/2026-02-31", "/hot/2026-2-3", "/@", "/p/"] {
        browser.visit(path).await?;
        browser.find(Role::Heading, "There is nothing here").await?;
        browser
            .holds(
                &format!("{path} is answered with 404"),
                "return fetch(location.href).then(answer => answer.status === 404)",
            )
            .await?;
        // After going back, the app renders the page instead of the router.
        browser.click(Role::Link, "Trending").await?;
        browser.find(Role::Heading, "Trending").await?;
        browser.back().await?;
        browser.is_at(path).await?;
        browser.find(Role::Heading, "There is nothing here").await?;
    }
    browser.close().await
}

/// Each text is isolated: its direction affects no text beside it, on the page, in forms and in the window title.
async fn text_directions_are_isolated(site: &Site) -> Result<()> {
    let noura = site.join("noura").await?;
    noura.set_display_name("\u{202e}نورة").await?;
    let photo = noura
        .publish(camera::picture((300, 200), 70), "שקיעה \u{202e}dusk")
        .await?;
    let browser = noura.browser().await?;
    let runs = |what: &str, selector: &str| {
        (
            format!("{what} runs from right to left"),
            format!(
                "const found = document.querySelector('{selector}');
                 return found !== null && getComputedStyle(found).direction === 'rtl'"
            ),
        )
    };
    let isolated = |text: &str| {
        (
            format!("the title of the window isolates {text:?}"),
            format!("return document.title === '\u{2068}{text}\u{2069} · Proofsheet'"),
        )
    };
    for (path, expected) in [
        ("/", vec![runs("the name in the bar", ".bar-name")]),
        (
            "/settings",
            vec![
                runs("the field of the name", "#display-name"),
                runs("the name in the bar", ".bar-name"),
            ],
        ),
        (
            "/@noura",
            vec![runs("the heading", "h1"), isolated("\u{202e}نورة")],
        ),
        (
            &format!("/p/{photo}"),
            vec![runs("the title", "#photo-title"), isolated("שקיעה \u{202e}dusk")],
        ),
    ] {
        browser.visit(path).await?;
        for (what, script) in expected {
            browser.holds(&what, &script).await?;
        }
    }
    browser.screenshots("right-to-left").await?;
    browser.closes_content().await
}

/// Going back restores the page, its scroll position, and the focused tile.
async fn back_and_forward(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 3").await?;
    browser.click_in(&tile, Role::Link, "Frame 3").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    browser.find_in(&sheet, Role::Heading, "Frame 3").await?;
    let photo = browser.path().await?;
    let place = browser.scrolled().await?;
    ensure!(place > 100.0, "the page is not scrolled: {place}");
    browser.has_focus(Role::Heading, "Frame 3").await?;

    // Escape goes back.
    browser.press(Key::Escape).await?;
    browser.is_at("/").await?;
    browser.is_gone(Role::Dialog, "Photo").await?;
    browser.is_scrolled_to(place).await?;
    browser.has_focus(Role::Article, "Frame 3").await?;
    browser.forward().await?;
    browser.is_at(&photo).await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.back().await?;
    browser.is_gone(Role::Dialog, "Photo").await?;
    browser.is_scrolled_to(place).await?;

    // A new page is scrolled to the top, and its link is marked as current.
    browser.click(Role::Link, "Hot").await?;
    browser.has_focus(Role::Heading, "Hot").await?;
    browser.is_scrolled_to(0.0).await?;
    let here = browser.find(Role::Link, "Hot").await?;
    browser.has(&here, "aria-current", "page").await?;
    browser.click(Role::Link, "How ranking works").await?;
    browser.has_focus(Role::Heading, "How ranking works").await?;
    browser.is_scrolled_to(0.0).await?;
    browser.screenshots("about-ranking").await?;
    browser.back().await?;
    browser.back().await?;
    browser.is_at("/").await?;
    browser.find(Role::Article, "Frame 3").await?;
    browser.is_scrolled_to(place).await?;

    // The address of a photo opens the full page instead of the dialog.
    browser.visit(&photo).await?;
    browser.find(Role::Heading, "Frame 3").await?;
    browser.is_gone(Role::Dialog, "Photo").await?;
    browser.closes_content().await
}

/// The viewer goes to the next and previous photo, enlarges it, and closes onto the timeline.
async fn the_viewer_shows_the_next_photo(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 10").await?;
    // The viewer shows the picture of the tile in its first frame.
    let at_once = "document.getElementById(element.id).querySelector('.frame').click();
        return new Promise(requestAnimationFrame).then(() => {
            const image = document.querySelector('dialog .photo-image img');
            return image !== null && image.complete && image.naturalWidth > 0;
        });";
    browser
        .wait_for("a loaded tile", async || {
            let loaded =
                "const image = element.querySelector('img'); return image.complete && image.naturalWidth > 0";
            Ok(browser.run_on::<bool>(&tile, loaded).await?.then_some(()))
        })
        .await?;
    ensure!(
        browser.run_on::<bool>(&tile, at_once).await?,
        "the viewer opened empty"
    );
    browser.has_focus(Role::Heading, "Frame 10").await?;
    let dark = "return getComputedStyle(document.querySelector('dialog')).colorScheme === 'dark'
        && document.querySelector('.photo-stage').clientHeight === innerHeight";
    browser.holds("a dark stage as high as the window", dark).await?;

    browser.press(Key::Right).await?;
    browser.has_focus(Role::Heading, "Frame 9").await?;
    browser.press("j").await?;
    browser.has_focus(Role::Heading, "Frame 8").await?;
    browser.press("k").await?;
    browser.has_focus(Role::Heading, "Frame 9").await?;
    browser.click(Role::Button, "Next photo").await?;
    browser.find(Role::Heading, "Frame 8").await?;
    browser.click(Role::Button, "Previous photo").await?;
    browser.find(Role::Heading, "Frame 9").await?;
    browser.find(Role::Button, "Upvote").await?;

    browser.screenshots("viewer").await?;
    let path = browser.path().await?;
    browser.press("z").await?;
    let enlarged = "return document.querySelector('.photo-area').classList.contains('is-enlarged')";
    browser.holds("an enlarged photo", enlarged).await?;
    browser.press(Key::Right).await?;
    ensure!(browser.path().await? == path, "an arrow left an enlarged photo");
    browser.press("z").await?;
    browser
        .holds("a fitted photo", &enlarged.replace("return ", "return !"))
        .await?;
    browser.press("f").await?;
    browser
        .holds("the whole screen", "return document.fullscreenElement !== null")
        .await?;
    browser.press("f").await?;
    browser
        .holds("a window again", "return document.fullscreenElement === null")
        .await?;

    // A reload stays in the viewer, and going back leads to the timeline.
    browser.reload().await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.find(Role::Heading, "Frame 9").await?;
    browser.press(Key::Left).await?;
    browser.find(Role::Heading, "Frame 10").await?;
    browser.press(Key::Escape).await?;
    browser.is_at("/").await?;
    browser.has_focus(Role::Article, "Frame 10").await?;
    browser
        .holds(
            "the timeline's title",
            "return document.title === 'Latest · Proofsheet'",
        )
        .await?;
    browser.closes_content().await
}

/// At every width, no label of the bar overlaps another or is cut.
async fn labels_of_the_bar_do_not_overlap(site: &Site, bert: &Member<'_>) -> Result<()> {
    let overlap = "const parts = [...document.querySelectorAll('header.bar > .wordmark, header.bar a')]
            .filter(part => part.getBoundingClientRect().width > 0 && part.getBoundingClientRect().top < 60)
            .map(part => part.getBoundingClientRect()).sort((a, b) => a.left - b.left);
        return parts.every((part, at) => at === 0 || part.left >= parts[at - 1].right - 1)
            && parts.every(part => part.right <= innerWidth + 1)";
    for language in ["en", "de"] {
        let habits = Habits {
            language,
            ..Habits::default()
        };
        let guest = site.visitor_with(habits).await?;
        guest.visit("/").await?;
        for width in [320, 390, 600, 640, 700, 740, 768, 900, 1024, 1280] {
            guest.resize(width, 600).await?;
            guest
                .holds(&format!("labels side by side at {width} in {language}"), overlap)
                .await?;
        }
        guest.closes_content().await?;
    }
    let browser = bert.browser().await?;
    for width in [320, 390, 600, 640, 700, 740, 768, 900, 1024, 1280] {
        browser.resize(width, 600).await?;
        browser
            .holds(&format!("labels side by side at {width}, signed in"), overlap)
            .await?;
    }
    browser.closes_content().await
}

/// A reload keeps the scroll position.
async fn a_reload_keeps_the_scroll_position(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.resize(390, 844).await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 1").await?;
    browser.run::<()>("window.scrollTo(0, 1200)").await?;
    browser.reload().await?;
    browser.is_scrolled_to(1200.0).await?;

    browser.resize_back().await?;
    browser.closes_content().await
}

async fn navigation_by_keyboard(bert: &Member<'_>) -> Result<()> {
    let browser = bert.browser().await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    browser.find(Role::Link, "Settings").await?;
    for stop in [
        "Skip to content",
        "Proofsheet",
        "Latest",
        "Hot",
        "Trending",
        "Upload",
    ] {
        browser.press(Key::Tab).await?;
        browser.has_focus(Role::Link, stop).await?;
        has_visible_focus(&browser, stop).await?;
    }
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    browser.press(Key::Tab).await?;
    browser.has_focus(Role::Link, "Skip to content").await?;
    browser.press(Key::Enter).await?;
    browser.press(Key::Tab).await?;
    browser.has_focus(Role::Article, "Frame 12").await?;
    has_visible_focus(&browser, "a tile").await?;

    browser.press("j").await?;
    browser.has_focus(Role::Article, "Frame 11").await?;
    browser.press("j").await?;
    browser.has_focus(Role::Article, "Frame 10").await?;
    browser.press("k").await?;
    let tile = browser.has_focus(Role::Article, "Frame 11").await?;
    browser.press("u").await?;
    browser.announces("Upvoted. Score 1.").await?;
    browser.press("d").await?;
    browser.announces("Downvoted. Score −1.").await?;
    browser.press("d").await?;
    browser.announces("Vote removed. Score 0.").await?;
    let down = browser.find_in(&tile, Role::Button, "Downvote").await?;
    browser.has(&down, "aria-pressed", "false").await?;

    browser.press(Key::Enter).await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.has_focus(Role::Heading, "Frame 11").await?;
    browser.press(Key::Escape).await?;
    browser.has_focus(Role::Article, "Frame 11").await?;
    browser.press("c").await?;
    browser.find(Role::Dialog, "Photo").await?;
    browser.has_focus(Role::Textbox, "Your comment").await?;
    // In a text field, letters are no shortcuts.
    browser.press("just a draft").await?;
    browser.press(Key::Escape).await?;
    browser.is_gone(Role::Dialog, "Photo").await?;
    browser.has_focus(Role::Article, "Frame 11").await?;

    for (keys, path, heading) in [
        ("gh", "/hot", "Hot"),
        ("gt", "/trending", "Trending"),
        ("gl", "/", "Latest"),
    ] {
        browser.press(keys).await?;
        browser.is_at(path).await?;
        browser.has_focus(Role::Heading, heading).await?;
    }
    browser.press("?").await?;
    browser.find(Role::Dialog, "Keyboard shortcuts").await?;
    browser.screenshots("shortcuts").await?;
    browser.press(Key::Escape).await?;
    browser.is_gone(Role::Dialog, "Keyboard shortcuts").await?;
    browser.has_focus(Role::Heading, "Latest").await?;
    browser.closes_content().await
}

async fn has_visible_focus(browser: &Browser, what: &str) -> Result<()> {
    let outlined = "const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        const { top, bottom } = document.activeElement.getBoundingClientRect();
        return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && bottom > 0 && top < innerHeight";
    browser
        .holds(&format!("a visible focus on {what}"), outlined)
        .await
}

async fn shortcuts_can_be_turned_off(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.visit("/settings").await?;
    browser
        .click(Role::Checkbox, "Keyboard shortcuts (press ? for the list)")
        .await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    browser.press("j").await?;
    // If the shortcut had moved the focus, this would not be the first stop.
    browser.press(Key::Tab).await?;
    browser.has_focus(Role::Link, "Skip to content").await?;
    browser.closes_content().await
}

/// On a phone the navigation bar is at the bottom, and an opened photo fills the screen.
async fn on_a_narrow_screen(site: &Site, bert: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    browser.resize(360, 740).await?;
    browser.visit("/").await?;
    browser.find(Role::Article, "Frame 12").await?;
    let hot = browser.find(Role::Link, "Hot").await?;
    let (top, width): (f64, f64) = browser
        .run_on(
            &hot,
            "const { top, width } = element.getBoundingClientRect(); return [top, width]",
        )
        .await?;
    ensure!(top > 660.0 && width > 100.0, "Hot lies at {top}, {width} wide");
    hot.click().await?;
    browser.is_at("/hot").await?;
    browser
        .has(&browser.find(Role::Link, "Hot").await?, "aria-current", "page")
        .await?;
    browser.click(Role::Link, "Latest").await?;
    let tile = browser.find(Role::Article, "Frame 10").await?;
    browser.click_in(&tile, Role::Link, "Frame 10").await?;
    let sheet = browser.find(Role::Dialog, "Photo").await?;
    let whole = "const { width, height } = element.getBoundingClientRect();
        return width === innerWidth && height === innerHeight";
    ensure!(
        browser.run_on::<bool>(&sheet, whole).await?,
        "the photo does not fill the screen"
    );
    browser.find_in(&sheet, Role::Button, "Send").await?;
    browser.fits("a photo on a phone").await?;
    browser.click_in(&sheet, Role::Button, "Close").await?;
    browser.is_gone(Role::Dialog, "Photo").await?;
    browser.click_in(&tile, Role::Button, "Downvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    browser.fits("the sign-in sheet on a phone").await?;
    bert.fill_in(&browser).await?;
    browser.announces("Downvoted. Score −1.").await?;
    browser.closes_content().await
}

/// A frame without its picture keeps its shape, and has the text alternative.
async fn without_pictures(site: &Site) -> Result<()> {
    let browser = site.visitor().await?;
    browser.blocks(&["*/media/*"]).await?;
    browser.visit("/").await?;
    let image = browser.find(Role::Image, "Frame 12").await?;
    browser
        .wait_for("the picture to fail", async || {
            let broken = "return element.complete && element.naturalWidth === 0";
            Ok(browser.run_on::<bool>(&image, broken).await?.then_some(()))
        })
        .await?;
    let height: f64 = browser
        .run_on(&image, "return element.getBoundingClientRect().height")
        .await?;
    ensure!(height > 100.0, "the frame has only {height} pixels");
    browser.screenshots("without-pictures").await?;
    // Pictures are loaded when the network is back.
    browser.blocks(&[]).await?;
    browser
        .run::<()>("window.dispatchEvent(new Event('online'))")
        .await?;
    browser
        .wait_for("the picture", async || {
            let there = "return element.complete && element.naturalWidth > 0";
            Ok(browser.run_on::<bool>(&image, there).await?.then_some(()))
        })
        .await?;
    browser.closes_content().await
}

async fn with_a_wrong_clock(site: &Site, bert: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    browser
        .before_every_page("const now = Date.now; Date.now = () => now() + 3 * 365 * 24 * 3600 * 1000;")
        .await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 8").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    bert.fill_in(&browser).await?;
    browser.announces("Upvoted. Score 1.").await?;
    browser.reload_until_pressed("Frame 8", "Upvote").await?;
    browser.closes_content().await
}

/// Without cookies the site can be read, and signing in explains why it does not work.
async fn without_cookies(site: &Site, bert: &Member<'_>) -> Result<()> {
    let habits = Habits {
        without: Some(Without::Cookies),
        ..Habits::default()
    };
    let browser = site.visitor_with(habits).await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 12").await?;
    browser.click_in(&tile, Role::Button, "Upvote").await?;
    browser.find(Role::Dialog, "Sign in").await?;
    browser.reads("This browser blocks cookies for this site").await?;
    browser.screenshots("without-cookies").await?;
    bert.fill_in(&browser).await?;
    browser.reads("Please sign in again.").await?;
    browser.closes_content().await
}

/// The language is the browser's. The switch translates the page and keeps typed text.
async fn in_german(site: &Site) -> Result<()> {
    let habits = Habits {
        language: "de",
        ..Habits::default()
    };
    let browser = site.visitor_with(habits).await?;
    browser.visit("/").await?;
    browser.find(Role::Heading, "Neu").await?;
    browser
        .holds(
            "the page says that it is German",
            "return document.documentElement.lang === 'de' && document.title === 'Neu · Proofsheet'",
        )
        .await?;
    let tile = browser.find(Role::Article, "Frame 12").await?;
    let complaints = axe::complaints(&browser, "German").await?;
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    browser.click_in(&tile, Role::Button, "Dafür stimmen").await?;
    browser.find(Role::Dialog, "Anmelden").await?;
    browser.screenshots("german").await?;

    browser.resize(360, 740).await?;
    for path in ["/hot", "/register", "/upload", "/about/ranking", "/settings"] {
        browser.visit(path).await?;
        browser.find(Role::Link, "Angesagt").await?;
        browser.fits(&format!("{path} in German")).await?;
    }
    browser.resize_back().await?;

    browser.fill("E-Mail", "ada@example.org").await?;
    browser.click(Role::Button, "English").await?;
    browser.find(Role::Heading, "Settings").await?;
    browser
        .holds(
            "what was typed stays, and the page is English",
            "return document.querySelector('#login-email').value === 'ada@example.org'
                && document.documentElement.lang === 'en' && document.title === 'Settings · Proofsheet'",
        )
        .await?;
    browser.reload().await?;
    browser.find(Role::Heading, "Settings").await?;
    browser.closes_content().await
}

/// The router's HTML is readable and its links work without the app.
async fn without_the_app(site: &Site) -> Result<()> {
    for without in [Without::Scripts, Without::WebAssembly] {
        let habits = Habits {
            without: Some(without),
            ..Habits::default()
        };
        let browser = site.visitor_with(habits).await?;
        browser.visit("/").await?;
        browser.find(Role::Image, "Frame 12").await?;
        browser
            .screenshots(&format!("without-{without:?}").to_lowercase())
            .await?;
        browser.click(Role::Link, "Frame 12").await?;
        browser.find(Role::Heading, "Frame 12").await?;
        browser.click(Role::Link, "Trending").await?;
        browser.find(Role::Heading, "Trending").await?;
        browser.visit("/@nobody-here").await?;
        browser.find(Role::Link, "See the latest photos").await?;
        browser.close().await?;
    }
    Ok(())
}

/// New photos are announced, and the timeline does not move until the visitor clicks.
async fn new_photos_wait_for_a_click(site: &Site, ada: &Member<'_>) -> Result<()> {
    let browser = site.visitor().await?;
    // Shortens the interval of polling.
    browser
        .before_every_page(
            "const every = window.setInterval;
             window.setInterval = (call, pause, ...rest) => every(call, Math.min(pause, 500), ...rest);",
        )
        .await?;
    browser.visit("/").await?;
    let tile = browser.find(Role::Article, "Frame 6").await?;
    tile.scroll_into_view().await?;
    let place = browser.scrolled().await?;
    ada.publish(camera::picture((300, 220), 250), "Late frame")
        .await?;
    browser.find(Role::Button, "1 new photo").await?;
    browser.is_scrolled_to(place).await?;
    ensure!(
        !browser.shows(Role::Article, "Late frame").await?,
        "the new photo is shown without a click"
    );
    browser.screenshots("new-photo").await?;
    browser.click(Role::Button, "1 new photo").await?;
    browser.find(Role::Article, "Late frame").await?;
    browser.is_scrolled_to(0.0).await?;
    browser.closes_content().await
}

/// A panorama and a strip keep their aspect ratio, and a long title does not break the layout.
async fn unusual_pictures_keep_their_ratio(site: &Site, ada: &Member<'_>) -> Result<()> {
    let emoji = "🦊".repeat(120);
    ada.publish(camera::picture((300, 200), 90), &emoji).await?;
    let panorama = ada.publish(camera::picture((2400, 200), 120), "Panorama").await?;
    let strip = ada.publish(camera::picture((200, 2400), 200), "Strip").await?;
    let browser = site.visitor().await?;
    browser.visit("/").await?;
    for (title, shape) in [("Panorama", 12.0), ("Strip", 1.0 / 12.0)] {
        let image = browser.find(Role::Image, title).await?;
        let ratio: f64 = browser
            .run_on(
                &image,
                "const { width, height } = element.getBoundingClientRect(); return width / height",
            )
            .await?;
        ensure!(
            (ratio / shape - 1.0).abs() < 0.05,
            "{title} is drawn with the ratio {ratio}"
        );
    }
    browser.find(Role::Article, &emoji).await?;
    browser.screenshots("odd-shapes-latest").await?;
    browser.visit("/hot").await?;
    browser.find(Role::Image, "Strip").await?;
    browser.screenshots("odd-shapes-hot").await?;
    for (name, id) in [("panorama", panorama), ("strip", strip)] {
        browser.visit(&format!("/p/{id}")).await?;
        browser.find(Role::Button, "Send").await?;
        browser.screenshots(&format!("odd-shapes-{name}")).await?;
    }
    browser.closes_content().await
}
