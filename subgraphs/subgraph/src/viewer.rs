//! The viewer of a GraphQL request.

use async_graphql::Context;
use chassis::Viewer;
use chassis::viewer::{Caller, NoViewer};

/// The viewer, if the request is signed in.
pub fn viewer<'c>(ctx: &Context<'c>) -> Option<&'c Viewer> {
    match ctx.data_opt::<Caller>() {
        Some(Caller::Viewer(viewer)) => Some(viewer),
        _ => None,
    }
}

/// The viewer, or [`NoViewer`].
///
/// Writes also check [`chassis::deleted_accounts::require_active_account`], because a token may outlive its account.
pub fn require_viewer<'c>(ctx: &Context<'c>) -> Result<&'c Viewer, NoViewer> {
    match ctx.data_opt::<Caller>() {
        Some(Caller::Viewer(viewer)) => Ok(viewer),
        Some(Caller::SessionEnded) => Err(NoViewer::SessionEnded),
        Some(Caller::Unverified) => Err(NoViewer::Unverified),
        Some(Caller::Anonymous) | None => Err(NoViewer::SignedOut),
    }
}
