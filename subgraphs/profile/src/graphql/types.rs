use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use chassis::UserId;
use chrono::{DateTime, Utc};

use crate::domain::{self, Changes, Profile};
use crate::error::Error;
use crate::loaders::Profiles;

/// A user's public profile.
pub struct User(pub Profile);

impl User {
    /// Returns the user; `None` if the account was deleted.
    pub async fn load(ctx: &Context<'_>, id: UserId) -> subgraph::Result<Option<Self>> {
        let profile = ctx.data_unchecked::<DataLoader<Profiles>>().load_one(id).await;
        Ok(profile?.map(Self))
    }
}

#[Object]
impl User {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Claimed, or a stable default derived from the id (guest-…) until then.
    async fn username(&self) -> String {
        self.0.username()
    }

    /// Chosen; the username until then.
    async fn display_name(&self) -> String {
        self.0.display_name()
    }

    async fn bio(&self) -> Option<&str> {
        self.0.bio.as_deref()
    }

    async fn joined_at(&self) -> DateTime<Utc> {
        self.0.joined_at
    }
}

/// The signed-in account; this service only knows its id.
pub struct Viewer(pub UserId);

#[Object]
impl Viewer {
    async fn id(&self) -> ID {
        self.0.into()
    }

    /// The public profile of this account.
    async fn user(&self, ctx: &Context<'_>) -> subgraph::Result<Option<User>> {
        User::load(ctx, self.0).await
    }
}

/// displayName: 1..60 characters after trimming; bio: up to 500.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// Absent or null keeps it: every user has one.
    display_name: Option<String>,
    /// Absent keeps it; null or an empty text removes it.
    bio: MaybeUndefined<String>,
}

impl UpdateProfileInput {
    /// Validates the texts.
    pub fn parse(self) -> Result<Changes, Error> {
        Ok(Changes {
            display_name: self
                .display_name
                .as_deref()
                .map(domain::parse_display_name)
                .transpose()?,
            bio: match self.bio {
                MaybeUndefined::Undefined => None,
                MaybeUndefined::Null => Some(None),
                MaybeUndefined::Value(bio) => Some(domain::parse_bio(&bio)?),
            },
        })
    }
}
