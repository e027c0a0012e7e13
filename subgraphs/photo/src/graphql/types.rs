use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::UserId;
use chrono::{DateTime, Utc};
use subgraph::Result;
use subgraph::pagination::{CursorKey, NodeConnection, Page};

use super::image_lists::{ImageSources, Renditions};
use crate::domain;
use crate::error::Error;
use crate::loaders::{AuthorPage, Photos};
use crate::store::PhotoCursor;

/// A published photo.
#[derive(Debug, Clone)]
pub(super) struct Photo(pub domain::Photo);

#[Object]
impl Photo {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    async fn title(&self) -> &str {
        &self.0.title
    }

    /// A description of the picture for people who cannot see it.
    async fn alt_text(&self) -> Option<&str> {
        self.0.alt_text.as_deref()
    }

    /// In pixels, upright.
    async fn width(&self) -> i32 {
        self.0.width.into()
    }

    /// In pixels, upright.
    async fn height(&self) -> i32 {
        self.0.height.into()
    }

    /// `ThumbHash`, base64.
    async fn placeholder(&self) -> String {
        STANDARD.encode(&self.0.placeholder)
    }

    /// One per format, best first, for an img and its source elements.
    async fn sources(&self) -> ImageSources {
        ImageSources {
            key: self.0.file_key,
            size: self.0.size(),
        }
    }

    /// Every stored size and format, smallest first.
    async fn renditions(&self) -> Renditions {
        Renditions {
            key: self.0.file_key,
            size: self.0.size(),
        }
    }

    async fn published_at(&self) -> DateTime<Utc> {
        self.0.published_at
    }

    /// When the title or the description was last changed; publishedAt by default.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.edited_at.unwrap_or(self.0.published_at)
    }

    async fn author(&self) -> Option<User> {
        Some(User(self.0.author_id))
    }
}

/// A user; other fields are resolved by the profile service.
#[derive(Debug, Clone, Copy)]
pub(super) struct User(pub UserId);

#[Object]
impl User {
    async fn id(&self) -> ID {
        self.0.into()
    }

    /// Newest first.
    async fn photos(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 24)] first: i32,
        after: Option<String>,
    ) -> Result<Option<NodeConnection<Photo>>> {
        let list = ctx
            .data_unchecked::<CursorKey>()
            .list(format_args!("author {}", self.0));
        let page = Page::parse(first, after.as_deref(), list)?;
        let key = AuthorPage { author: self.0, page };
        let loader = ctx.data_unchecked::<DataLoader<Photos>>();
        let photos = loader
            .load_one(key)
            .await
            .map_err(Error::from)?
            .unwrap_or_default();
        Ok(Some(connection(&page, photos)))
    }
}

/// A page of photos.
pub(super) fn connection(page: &Page<PhotoCursor>, photos: Vec<domain::Photo>) -> NodeConnection<Photo> {
    let rows = photos
        .into_iter()
        .map(|photo| (PhotoCursor::of(&photo), Some(Photo(photo))));
    page.connection(rows, async_graphql::connection::EmptyFields)
}
