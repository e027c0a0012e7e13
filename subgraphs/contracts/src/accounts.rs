//! Data of the authentication service for other services.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::Payload;
use crate::internal::Resource;

/// An account: the event of its creation, and an item of the internal API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownAccount {
    pub account_id: Uuid,
    pub created_at: DateTime<Utc>,
}

impl Payload for KnownAccount {
    const KIND: &'static str = "account.created";
}

impl Resource for KnownAccount {
    const LIST: &'static str = "/internal/accounts";
    const ONE: &'static str = "/internal/accounts/{id}";
    const GONE: &'static str = "/internal/accounts/gone";
}

/// An account was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountDeleted {
    pub account_id: Uuid,
}

impl Payload for AccountDeleted {
    const KIND: &'static str = "account.deleted";
}

/// Login sessions have ended: tokens with these `sid`s must be refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsEnded {
    pub session_ids: Vec<Uuid>,
}

impl Payload for SessionsEnded {
    const KIND: &'static str = "session.ended";
}
