use async_graphql::{Context, ID, Object};
use chassis::database;
use subgraph::pagination::{CursorKey, ListKey, NodeConnection, Page, PageError};

use crate::State;
use crate::domain::{self, DayCursor, PhotoId, RankedCursor, Timeline};
use crate::error::Error;
use crate::graphql::types::{Date, HotDay, Photo};
use crate::store::days;
use crate::timelines::{MAX_CURSOR_AGE, Timelines};

/// The root of queries.
pub struct Query;

#[Object]
impl Query {
    /// Photos published on that day (today by default), best votes first.
    async fn hot_photos(
        &self,
        ctx: &Context<'_>,
        day: Option<Date>,
        #[graphql(default = 24)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<NodeConnection<Photo>> {
        let day = day.map(|day| day.parse()).transpose().map_err(Error::from)?;
        let page = Page::<RankedCursor>::parse(first, after.as_deref(), list_key(ctx))?;
        let state = ctx.data_unchecked::<State>();
        let now = state.clock.now();
        let day_at = |time| Timeline::Hot(domain::day_at(time, state.time_zone));
        let timeline = match (day, page.after.map(|cursor| cursor.timeline)) {
            (Some(day), _) => Timeline::Hot(day),
            // A reader whose first page was today's before midnight continues with that day.
            (None, Some(begun)) if begun == day_at(now - MAX_CURSOR_AGE) => begun,
            (None, _) => day_at(now),
        };
        ranked(ctx, timeline, &page).await
    }

    /// All photos of all time, best votes first.
    async fn trending_photos(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 24)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<NodeConnection<Photo>> {
        let page = Page::parse(first, after.as_deref(), list_key(ctx))?;
        ranked(ctx, Timeline::Trending, &page).await
    }

    /// The archive: the days with photos, newest first, each with its winner when it is over.
    async fn hot_days(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 30)] first: i32,
        after: Option<String>,
    ) -> subgraph::Result<NodeConnection<HotDay>> {
        let page = Page::<DayCursor>::parse(first, after.as_deref(), list_key(ctx))?;
        let before = page.after.map(|DayCursor(day)| day);
        let pool = &ctx.data_unchecked::<State>().pool;
        let days = database::read(pool, || days::archive(pool, before, page.rows())).await?;
        Ok(page.connection(
            days.into_iter()
                .map(|day| (DayCursor(day.day), Some(HotDay(day)))),
            async_graphql::connection::EmptyFields,
        ))
    }

    #[graphql(entity)]
    async fn find_photo_by_id(&self, id: ID) -> Option<Photo> {
        // An error of one entity would turn all entities of the request into null.
        PhotoId::parse(&id, "id").ok().map(Photo::new)
    }
}

/// One key for all lists: ranked cursors contain their timeline, and there is one list of days.
fn list_key(ctx: &Context<'_>) -> ListKey {
    ctx.data_unchecked::<CursorKey>().list("")
}

async fn ranked(
    ctx: &Context<'_>,
    timeline: Timeline,
    page: &Page<RankedCursor>,
) -> subgraph::Result<NodeConnection<Photo>> {
    if page.after.is_some_and(|cursor| cursor.timeline != timeline) {
        return Err(PageError::After.into());
    }
    let timelines = ctx.data_unchecked::<Timelines>();
    let photos = database::read(&ctx.data_unchecked::<State>().pool, || {
        timelines.page(timeline, page)
    })
    .await?;
    let rows = photos
        .into_iter()
        .map(|ranked| (ranked.cursor, Some(Photo::counted(ranked.photo, ranked.tally))));
    Ok(page.connection(rows, async_graphql::connection::EmptyFields))
}
