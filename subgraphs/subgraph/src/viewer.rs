//! The viewer of a GraphQL request.

use async_graphql::Context;
use chassis::Viewer;
use chassis::database::Pool;
use chassis::deleted_accounts::{AccountError, require_active_account};
use chassis::viewer::{Caller, NoViewer};

/// Returns the viewer, if the request is signed in.
pub fn viewer<'c>(ctx: &Context<'c>) -> Option<&'c Viewer> {
    match ctx.data_opt::<Caller>() {
        Some(Caller::Viewer(viewer)) => Some(viewer),
        _ => None,
    }
}

/// Returns the viewer, or [`NoViewer`].
pub fn require_viewer<'c>(ctx: &Context<'c>) -> Result<&'c Viewer, NoViewer> {
    match ctx.data_opt::<Caller>() {
        Some(Caller::Viewer(viewer)) => Ok(viewer),
        Some(Caller::SessionEnded) => Err(NoViewer::SessionEnded),
        Some(Caller::Unverified) => Err(NoViewer::Unverified),
        Some(Caller::Anonymous) | None => Err(NoViewer::SignedOut),
    }
}

/// Returns the viewer after checking that account and session exist, because a token may outlive them. Every mutation
/// calls this first.
pub async fn require_writer<'c>(ctx: &Context<'c>, pool: &Pool) -> Result<&'c Viewer, AccountError> {
    let viewer = require_viewer(ctx)?;
    require_active_account(pool, viewer).await?;
    Ok(viewer)
}
