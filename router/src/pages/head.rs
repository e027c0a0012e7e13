//! The head of a page: metadata for browsers, link previews and feed readers.

use maud::{Markup, html};

use super::markup::EAGER_IMAGES;
use super::style::Style;
use crate::graph_types::{Photo, PhotoImage};
use ui::bidi::isolated;
use ui::geometry::{ROW_HEIGHT, tile_shape, tile_sizes};

const SITE_NAME: &str = "Proofsheet";
/// Maximum width of the image in link previews, in pixels.
const SHARED_WIDTH: u32 = 1280;
/// Maximum length of a description in characters. Link previews cut longer ones.
const MAX_DESCRIPTION_LENGTH: usize = 200;
/// Width of rows in a common window, and the gap between tiles, in pixels.
const PAGE_WIDTH: i64 = 1232;
const GRID_GAP: i64 = 12;
/// Media query of the row layout. Narrower windows have one column.
const ROW_LAYOUT: &str = "(min-width: 600px)";

/// The head of one page.
pub(super) struct Head {
    title: String,
    description: String,
    kind: &'static str,
    /// The canonical path; `None` for pages that are not indexed.
    path: Option<String>,
    image: Option<SharedImage>,
    preloads: Vec<Preload>,
    feed: Option<FeedLink>,
}

/// The image in link previews.
struct SharedImage {
    path: String,
    width: u32,
    height: u32,
    alt: String,
}

/// A preloaded image.
struct Preload {
    media_type: String,
    srcset: String,
    sizes: String,
    media: Option<&'static str>,
}

/// A feed that the page links to.
struct FeedLink {
    title: String,
    path: String,
}

impl Head {
    pub(super) fn new(title: &str, description: &str) -> Self {
        Self {
            title: title.to_owned(),
            description: truncate(description),
            kind: "website",
            path: None,
            image: None,
            preloads: Vec::new(),
            feed: None,
        }
    }

    pub(super) fn with_path(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    /// Excludes the page from indexing.
    pub(super) fn without_path(mut self) -> Self {
        self.path = None;
        self
    }

    pub(super) fn with_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    pub(super) fn with_feed(mut self, title: String, path: String) -> Self {
        self.feed = Some(FeedLink { title, path });
        self
    }

    /// Sets the image of a page with one photo.
    pub(super) fn with_picture(mut self, image: &PhotoImage, sizes: &str) -> Self {
        self.image = shared_image(image);
        self.preloads.extend(preload(image, sizes.to_owned(), None));
        self
    }

    /// Preloads the first row of a timeline; on a narrow screen, the first photo.
    pub(super) fn with_photos(mut self, photos: &[Photo], first_leads: bool) -> Self {
        self.image = photos.first().and_then(|photo| shared_image(&photo.image));
        let count = if first_leads { 1 } else { first_row_count(photos) };
        for (at, Photo { image, .. }) in photos.iter().take(count).enumerate() {
            let media = (at > 0).then_some(ROW_LAYOUT);
            self.preloads
                .extend(preload(image, tile_sizes(image.shape(), first_leads), media));
        }
        self
    }

    /// `base` is the public URL of the site, without a slash at its end.
    pub(super) fn markup(&self, base: &str, style: &Style) -> Markup {
        let (name, description) = (isolated(&self.title), isolated(&self.description));
        let title = format!("{name} · {SITE_NAME}");
        html! {
            title { (title) }
            meta name="description" content=(description);
            @if let Some(path) = &self.path {
                link rel="canonical" href={ (base) (path) };
            } @else {
                meta name="robots" content="noindex, nofollow";
            }
            meta property="og:site_name" content=(SITE_NAME);
            meta property="og:type" content=(self.kind);
            meta property="og:title" content=(name);
            meta property="og:description" content=(description);
            @if let Some(path) = &self.path {
                meta property="og:url" content={ (base) (path) };
            }
            (self.image_markup(base))
            meta name="twitter:title" content=(name);
            meta name="twitter:description" content=(description);
            @if let Some(FeedLink { title, path }) = &self.feed {
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

fn shared_image(image: &PhotoImage) -> Option<SharedImage> {
    let rendition = image.jpeg_up_to(SHARED_WIDTH)?;
    Some(SharedImage {
        path: rendition.path.to_owned(),
        width: rendition.width,
        height: rendition.height,
        alt: isolated(image.alt()),
    })
}

/// Preloads the best format. Browsers without support for it ignore the preload.
fn preload(image: &PhotoImage, sizes: String, media: Option<&'static str>) -> Option<Preload> {
    let best = image.sources.first()?;
    Some(Preload {
        media_type: best.media_type.clone(),
        srcset: best.srcset.clone(),
        sizes,
        media,
    })
}

/// The number of photos in the first row of a common window.
fn first_row_count(photos: &[Photo]) -> usize {
    let mut left = PAGE_WIDTH + GRID_GAP;
    let fits = |photo: &&Photo| {
        let (wide, high) = tile_shape(photo.image.shape());
        left -= i64::from(ROW_HEIGHT) * i64::from(wide) / i64::from(high.max(1)) + GRID_GAP;
        left >= 0
    };
    photos.iter().take(EAGER_IMAGES).take_while(fits).count().max(1)
}

/// Truncates a text to one line, between words.
fn truncate(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let space = usize::from(!line.is_empty());
        if line.chars().count() + space + word.chars().count() > MAX_DESCRIPTION_LENGTH {
            let left = MAX_DESCRIPTION_LENGTH.saturating_sub(line.chars().count() + space);
            // A single long word is cut.
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
    fn titles_are_escaped() {
        let title = "\"><script>alert(1)</script>";
        let photo = photo(title, 3000, 2000);
        let head = Head::new(title, title)
            .with_path(photo.path())
            .with_picture(&photo.image, "100vw");
        let text = text(&head);
        assert!(!text.contains("<script") && !text.contains("\"\">"), "{text}");
        assert!(
            text.contains("<title>&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; · Proofsheet</title>"),
            "{text}"
        );
    }

    #[test]
    fn addresses_in_metadata_are_absolute() {
        let photo = photo("A heron", 3000, 2000);
        let head = Head::new("A heron", "")
            .with_path(photo.path())
            .with_picture(&photo.image, "100vw")
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
    fn the_first_row_is_preloaded() {
        let wide: Vec<_> = (0..6).map(|_| photo("", 1600, 900)).collect();
        let head = Head::new("Latest", "").with_photos(&wide, false);
        let media: Vec<_> = head.preloads.iter().map(|preload| preload.media).collect();
        assert_eq!(media, [None, Some(ROW_LAYOUT)], "426 pixels each");
        let narrow: Vec<_> = (0..6).map(|_| photo("", 900, 1600)).collect();
        assert_eq!(
            Head::new("", "").with_photos(&narrow, false).preloads.len(),
            EAGER_IMAGES
        );
        assert_eq!(Head::new("", "").with_photos(&narrow, true).preloads.len(), 1);
        assert!(Head::new("", "").with_photos(&[], false).preloads.is_empty());
    }

    #[test]
    fn descriptions_are_truncated() {
        assert_eq!(truncate(" a \n\n b "), "a b");
        let long = truncate(&"word ".repeat(100));
        assert!(
            long.ends_with("word…") && long.chars().count() <= MAX_DESCRIPTION_LENGTH + 1,
            "{long}"
        );
        assert_eq!(
            truncate(&"x".repeat(300)).chars().count(),
            MAX_DESCRIPTION_LENGTH + 1
        );
    }
}
