use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, Object};
use chassis::UserId;
use chrono::{DateTime, Utc};

use crate::domain::{self, SampleId};
use crate::loaders::Samples;

pub struct Sample(pub domain::Sample);

impl Sample {
    pub async fn load(ctx: &Context<'_>, id: SampleId) -> subgraph::Result<Option<Self>> {
        let sample = ctx.data_unchecked::<DataLoader<Samples>>().load_one(id).await;
        Ok(sample?.map(Self))
    }
}

#[Object]
impl Sample {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    async fn title(&self) -> &str {
        &self.0.title
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn owner(&self) -> Option<User> {
        Some(User(self.0.owner_id))
    }
}

/// The owner of a sample. The profile service has the other fields.
pub struct User(pub UserId);

#[Object]
impl User {
    async fn id(&self) -> ID {
        self.0.into()
    }
}
