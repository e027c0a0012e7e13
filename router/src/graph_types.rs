//! The types of the graph that pages and feeds show.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use ui::geometry::Shape;
use uuid::Uuid;

/// A photo. Fields of the photo page are `None` on a timeline.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Photo {
    pub(crate) id: Uuid,
    #[serde(flatten)]
    pub(crate) image: PhotoImage,
    pub(crate) author: Option<UserSummary>,
    pub(crate) votes: Option<VoteTally>,
    pub(crate) comment_count: Option<u64>,
    pub(crate) published_at: Option<DateTime<Utc>>,
    /// When the texts were last changed.
    pub(crate) updated_at: Option<DateTime<Utc>>,
    pub(crate) comments: Option<CommentConnection>,
}

/// The data for showing a picture.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhotoImage {
    pub(crate) title: String,
    pub(crate) alt_text: Option<String>,
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// `ThumbHash`, base64.
    #[serde(default)]
    pub(crate) placeholder: String,
    /// Formats in order of preference. The last one is JPEG.
    pub(crate) sources: Vec<ImageSource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageSource {
    pub(crate) media_type: String,
    pub(crate) srcset: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserSummary {
    pub(crate) username: String,
    pub(crate) display_name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct VoteTally {
    pub(crate) score: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CommentConnection {
    pub(crate) edges: Vec<CommentEdge>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CommentEdge {
    pub(crate) node: Option<Comment>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comment {
    pub(crate) body: String,
    pub(crate) deleted: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) edited_at: Option<DateTime<Utc>>,
    pub(crate) author: Option<UserSummary>,
    /// `None` for a reply.
    pub(crate) replies: Option<Connection<Self>>,
}

/// A page of a connection. Removed items are null.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connection<T> {
    pub(crate) nodes: Vec<Option<T>>,
    #[serde(default)]
    pub(crate) page_info: PageInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageInfo {
    #[serde(default)]
    pub(crate) has_next_page: bool,
    pub(crate) end_cursor: Option<String>,
}

/// A day of the archive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HotDay {
    pub(crate) day: NaiveDate,
    #[serde(default)]
    pub(crate) photo_count: u64,
    /// `None` until the day is over.
    pub(crate) winner: Option<PhotoImage>,
}

/// A stored size of a picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rendition<'p> {
    /// The path on this site.
    pub(crate) path: &'p str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl<T> Connection<T> {
    pub(crate) fn into_present(self) -> Vec<T> {
        self.nodes.into_iter().flatten().collect()
    }
}

impl Photo {
    /// The path of the photo's page.
    pub(crate) fn path(&self) -> String {
        format!("/p/{}", self.id)
    }
}

impl UserSummary {
    /// The path of the user's page.
    pub(crate) fn path(&self) -> String {
        format!("/@{}", self.username)
    }
}

impl PhotoImage {
    pub(crate) fn shape(&self) -> Shape {
        (self.width, self.height)
    }

    /// The alternative text, or the title.
    pub(crate) fn alt(&self) -> &str {
        self.alt_text.as_deref().unwrap_or(&self.title)
    }

    /// The largest JPEG rendition up to a width of `widest` and a height of twice that.
    pub(crate) fn jpeg_up_to(&self, widest: u32) -> Option<Rendition<'_>> {
        let jpeg = self
            .sources
            .iter()
            .find(|source| source.media_type == "image/jpeg")?;
        let sizes = jpeg.srcset.split(", ").filter_map(|candidate| {
            let (path, width) = candidate.rsplit_once(' ')?;
            Some((path, width.strip_suffix('w')?.parse::<u32>().ok()?))
        });
        let (path, width) = sizes
            .filter(|(_, width)| *width <= widest && self.height_at(*width) <= 2 * widest)
            .max_by_key(|(_, width)| *width)?;
        Some(Rendition {
            path,
            width,
            height: self.height_at(width),
        })
    }

    fn height_at(&self, width: u32) -> u32 {
        let height = i64::from(width) * i64::from(self.height) / i64::from(self.width.max(1));
        u32::try_from(height).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_largest_jpeg_below_a_width_is_found() {
        let photo_image = |srcset: &str| -> PhotoImage {
            let sources = json!([
                { "mediaType": "image/avif", "srcset": "/media/a/640.avif 640w" },
                { "mediaType": "image/jpeg", "srcset": srcset },
            ]);
            serde_json::from_value(json!({ "title": "", "width": 3000, "height": 2000, "sources": sources }))
                .unwrap()
        };
        let large = photo_image("/media/a/320.jpg 320w, /media/a/1280.jpg 1280w, /media/a/2048.jpg 2048w");
        let expected = Rendition {
            path: "/media/a/1280.jpg",
            width: 1280,
            height: 853,
        };
        assert_eq!(large.jpeg_up_to(1280), Some(expected));
        assert_eq!(large.jpeg_up_to(100), None);
        let mut strip = photo_image("/media/a/85.jpg 85w, /media/a/171.jpg 171w, /media/a/500.jpg 500w");
        (strip.width, strip.height) = (500, 12_000);
        assert_eq!(
            strip.jpeg_up_to(1280).map(|rendition| rendition.path),
            Some("/media/a/85.jpg")
        );
        assert_eq!(photo_image("nonsense").jpeg_up_to(1280), None);
    }
}
