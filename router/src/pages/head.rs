//! The head of a page: metadata for browsers, link previews and feed readers.

use maud::{Markup, html};

use super::markup::{EAGER, ROW, tile_frame, tile_sizes};
use super::style::Style;
use crate::bidi::isolated;
use crate::photos::{Photo, Print};

const SITE: &str = "Proofsheet";
/// The widest picture that other sites are told of.
const SHARED_WIDTH: u32 = 1280;
/// More of a description is cut off by those who show it.
const LONGEST_DESCRIPTION: usize = 200;
/// How wide the rows of a usual window are, and what lies between two tiles.
const WINDOW: u32 = 1232;
const GAP: u32 = 12;
/// Where the app's rows begin: below, photos lie in one column.
const WITH_ROWS: &str = "(min-width: 600px)";

/// The head of one page.
pub(super) struct Head {
    title: String,
    description: String,
    kind: &'static str,
    /// The address that the page should be known by; none if it should not be known.
    path: Option<String>,
    image: Option<SharedImage>,
    preloads: Vec<Preload>,
    feed: Option<Feed>,
}

/// The picture that stands for the page elsewhere.
struct SharedImage {
    path: String,
    width: u32,
    height: u32,
    alt: String,
}

/// A picture that is in view at once.
struct Preload {
    media_type: String,
    srcset: String,
    sizes: String,
    media: Option<&'static str>,
}

/// A feed that the page links to.
struct Feed {
    title: String,
    path: String,
}

impl Head {
    pub(super) fn new(title: &str, description: &str) -> Self {
        Self {
            title: title.to_owned(),
            description: shortened(description),
            kind: "website",
            path: None,
            image: None,
            preloads: Vec::new(),
            feed: None,
        }
    }

    pub(super) fn at(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    /// Not to be known by its address.
    pub(super) fn unlisted(mut self) -> Self {
        self.path = None;
        self
    }

    pub(super) fn of_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    pub(super) fn with_feed(mut self, title: String, path: String) -> Self {
        self.feed = Some(Feed { title, path });
        self
    }

    /// The picture of a page that shows one.
    pub(super) fn with_picture(mut self, print: &Print, sizes: &str) -> Self {
        self.image = shared(print);
        self.preloads.extend(preload(print, sizes.to_owned(), None));
        self
    }

    /// The first row of a timeline; on a narrow screen, the first photo.
    pub(super) fn with_photos(mut self, photos: &[Photo], first_leads: bool) -> Self {
        self.image = photos.first().and_then(|photo| shared(&photo.print));
        let count = if first_leads { 1 } else { in_first_row(photos) };
        for (at, Photo { print, .. }) in photos.iter().take(count).enumerate() {
            let media = (at > 0).then_some(WITH_ROWS);
            self.preloads
                .extend(preload(print, tile_sizes(print, first_leads), media));
        }
        self
    }

    /// `base` is the public URL of the site, without a slash at its end.
    pub(super) fn markup(&self, base: &str, style: &Style) -> Markup {
        let (name, description) = (isolated(&self.title), isolated(&self.description));
        let title = format!("{name} · {SITE}");
        html! {
            title { (title) }
            meta name="description" content=(description);
            @if let Some(path) = &self.path {
                link rel="canonical" href={ (base) (path) };
            } @else {
                meta name="robots" content="noindex, nofollow";
            }
            meta property="og:site_name" content=(SITE);
            meta property="og:type" content=(self.kind);
            meta property="og:title" content=(name);
            meta property="og:description" content=(description);
            @if let Some(path) = &self.path {
                meta property="og:url" content={ (base) (path) };
            }
            (self.image_markup(base))
            meta name="twitter:title" content=(name);
            meta name="twitter:description" content=(description);
            @if let Some(Feed { title, path }) = &self.feed {
                link rel="alternate" type="application/atom+xml" title=(title) href={ (base) (path) };
            }
            @for Preload { media_type, srcset, sizes, media } in &self.preloads {
                link rel="preload" as="image" type=(media_type) imagesrcset=(srcset) imagesizes=(sizes)
                    media=[media] fetchpriority="high";
            }
            (style.element())
        }
    }

    fn image_markup(&self, base: &str) -> Markup {
        let Some(SharedImage {
            path,
            width,
            height,
            alt,
        }) = &self.image
        else {
            return html! { meta name="twitter:card" content="summary"; };
        };
        html! {
            meta property="og:image" content={ (base) (path) };
            meta property="og:image:width" content=(width);
            meta property="og:image:height" content=(height);
            meta property="og:image:alt" content=(alt);
            meta name="twitter:card" content="summary_large_image";
            meta name="twitter:image" content={ (base) (path) };
            meta name="twitter:image:alt" content=(alt);
        }
    }
}

fn shared(print: &Print) -> Option<SharedImage> {
    let image = print.jpeg_up_to(SHARED_WIDTH)?;
    Some(SharedImage {
        path: image.path.to_owned(),
        width: image.width,
        height: image.height,
        alt: isolated(print.alt()),
    })
}

/// Of the best format; a browser that does not read it ignores this, and waits for the picture element.
fn preload(print: &Print, sizes: String, media: Option<&'static str>) -> Option<Preload> {
    let best = print.sources.first()?;
    Some(Preload {
        media_type: best.media_type.clone(),
        srcset: best.srcset.clone(),
        sizes,
        media,
    })
}

/// How many photos the first row of a usual window has.
fn in_first_row(photos: &[Photo]) -> usize {
    let mut left = WINDOW + GAP;
    let fits = |photo: &&Photo| {
        let (wide, high) = tile_frame(&photo.print);
        let width = u64::from(ROW) * u64::from(wide) / u64::from(high.max(1)) + u64::from(GAP);
        match u32::try_from(width)
            .ok()
            .and_then(|width| left.checked_sub(width))
        {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        }
    };
    photos.iter().take(EAGER).take_while(fits).count().max(1)
}

/// One line, cut between words.
fn shortened(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let space = usize::from(!line.is_empty());
        if line.chars().count() + space + word.chars().count() > LONGEST_DESCRIPTION {
            let left = LONGEST_DESCRIPTION.saturating_sub(line.chars().count() + space);
            // One word as long as the text would leave nothing.
            if line.is_empty() {
                line.extend(word.chars().take(left));
            }
            line.push('…');
            break;
        }
        if space == 1 {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn photo(title: &str, width: u32, height: u32) -> Photo {
        let sources = json!([
            { "mediaType": "image/avif", "srcset": "/media/a/640.avif 640w" },
            { "mediaType": "image/jpeg", "srcset": "/media/a/640.jpg 640w, /media/a/1280.jpg 1280w" },
        ]);
        serde_json::from_value(json!({
            "id": "01936f5e-7c00-7000-8000-000000000001", "title": title,
            "width": width, "height": height, "placeholder": "", "sources": sources,
        }))
        .unwrap()
    }

    fn text(head: &Head) -> String {
        head.markup("https://photos.example", &Style::new()).into_string()
    }

    #[test]
    fn a_title_does_nothing() {
        let title = "\"><script>alert(1)</script>";
        let photo = photo(title, 3000, 2000);
        let head = Head::new(title, title)
            .at(photo.path())
            .with_picture(&photo.print, "100vw");
        let text = text(&head);
        assert!(!text.contains("<script") && !text.contains("\"\">"), "{text}");
        assert!(
            text.contains("<title>&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; · Proofsheet</title>"),
            "{text}"
        );
    }

    #[test]
    fn addresses_are_whole_for_those_who_read_them_elsewhere() {
        let photo = photo("A heron", 3000, 2000);
        let head = Head::new("A heron", "")
            .at(photo.path())
            .with_picture(&photo.print, "100vw")
            .with_feed("Latest".to_owned(), "/feeds/latest.atom".to_owned());
        let text = text(&head);
        for part in [
            r#"<meta property="og:url" content="https://photos.example/p/01936f5e-7c00-7000-8000-000000000001">"#,
            r#"<meta property="og:image" content="https://photos.example/media/a/1280.jpg">"#,
            r#"<meta property="og:image:height" content="853">"#,
            r#"href="https://photos.example/feeds/latest.atom">"#,
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_first_row_is_fetched_early_and_on_a_phone_the_first_photo() {
        let wide: Vec<_> = (0..6).map(|_| photo("", 1600, 900)).collect();
        let head = Head::new("Latest", "").with_photos(&wide, false);
        let media: Vec<_> = head.preloads.iter().map(|preload| preload.media).collect();
        assert_eq!(media, [None, Some(WITH_ROWS)], "426 pixels each");
        let narrow: Vec<_> = (0..6).map(|_| photo("", 900, 1600)).collect();
        assert_eq!(
            Head::new("", "").with_photos(&narrow, false).preloads.len(),
            EAGER
        );
        assert_eq!(Head::new("", "").with_photos(&narrow, true).preloads.len(), 1);
        assert!(Head::new("", "").with_photos(&[], false).preloads.is_empty());
    }

    #[test]
    fn descriptions_are_one_short_line() {
        assert_eq!(shortened(" a \n\n b "), "a b");
        let long = shortened(&"word ".repeat(100));
        assert!(
            long.ends_with("word…") && long.chars().count() <= LONGEST_DESCRIPTION + 1,
            "{long}"
        );
        assert_eq!(
            shortened(&"x".repeat(300)).chars().count(),
            LONGEST_DESCRIPTION + 1
        );
    }
}
