//! The viewer of a GraphQL request.

use async_graphql::Context;
use chassis::Viewer;
use chassis::database::Pool;
use chassis::deleted_accounts::{AccountError, require_active_account};
use chassis::viewer::{Caller, NoViewer};

/// The viewer, if the request is signed in.
pub fn viewer<'c>(ctx: &Context<'c>) -> Option<&'c Viewer> {
    match ctx.data_opt::<Caller>() {
        Some(Caller::Viewer(viewer)) => Some(viewer),
        _ => None,
    }
}

/// The viewer, or [`NoViewer`].
pub fn require_viewer<'c>(ctx: &Context<'c>) -> Result<&'c Viewer, NoViewer> {
    match ctx.data_opt::<Caller>() {
        Some(Caller::Viewer(viewer)) => Ok(viewer),
        Some(Caller::SessionEnded) => Err(NoViewer::SessionEnded),
        Some(Caller::Unverified) => Err(NoViewer::Unverified),
        Some(Caller::Anonymous) | None => Err(NoViewer::SignedOut),
    }
}

/// The viewer, whose account and session must exist, because a token may outlive them. Every mutation begins with this.
pub async fn require_writer<'c>(ctx: &Context<'c>, pool: &Pool) -> Result<&'c Viewer, AccountError> {
    let viewer = require_viewer(ctx)?;
    require_active_account(pool, viewer).await?;
    Ok(viewer)
}
