//! Events between services.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The data of one kind of event.
pub trait Payload: Serialize + DeserializeOwned {
    /// The kind, such as `photo.published`.
    const KIND: &'static str;
}

/// An event as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The same in all deliveries of the event.
    pub id: Uuid,
    /// The [`Payload::KIND`] of its data.
    pub kind: String,
    pub occurred_at: DateTime<Utc>,
    pub data: Value,
}

impl Event {
    /// Creates an event.
    pub fn new<P: Payload>(id: Uuid, payload: &P, occurred_at: DateTime<Utc>) -> Self {
        Self {
            id,
            kind: P::KIND.to_owned(),
            occurred_at,
            data: serde_json::to_value(payload).expect("a payload is a struct of ids, times and numbers"),
        }
    }

    /// Returns the payload, or `None` for other kinds.
    pub fn payload<P: Payload>(&self) -> Result<Option<P>, MalformedEvent> {
        if self.kind != P::KIND {
            return Ok(None);
        }
        P::deserialize(&self.data)
            .map(Some)
            .map_err(|source| MalformedEvent {
                kind: P::KIND,
                source,
            })
    }
}

/// The data of an event does not match its kind: the sender's release has a defect.
#[derive(Debug)]
pub struct MalformedEvent {
    kind: &'static str,
    source: serde_json::Error,
}

impl fmt::Display for MalformedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data of {} cannot be read", self.kind)
    }
}

impl std::error::Error for MalformedEvent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::accounts::{AccountDeleted, KnownAccount, SessionsEnded};
    use crate::internal::Resource as _;
    use crate::photos::{PhotoDeleted, PublishedPhoto};

    const ID: Uuid = Uuid::from_u128(0x0199_a3c8_7a10_7cc3_98c4_dc0c_0c07_398f);

    fn time() -> DateTime<Utc> {
        "2026-11-22T12:00:00.000001Z".parse().unwrap()
    }

    const TEXT: &str = "0199a3c8-7a10-7cc3-98c4-dc0c0c07398f";

    /// Checks the JSON of a kind, and that a field of a later release is ignored.
    #[track_caller]
    fn check_json<P: Payload + PartialEq + fmt::Debug>(payload: &P, kind: &str, data: &Value) {
        let mut sent = serde_json::to_value(Event::new(ID, payload, time())).unwrap();
        let event =
            json!({ "id": TEXT, "kind": kind, "occurredAt": "2026-11-22T12:00:00.000001Z", "data": data });
        assert_eq!(sent, event);
        sent["added"] = json!({ "by": "a later release" });
        sent["data"]["added"] = json!([1]);
        let received: Event = serde_json::from_value(sent).unwrap();
        assert_eq!(received.payload::<P>().unwrap().as_ref(), Some(payload));
    }

    #[test]
    fn the_json_of_every_kind_is_stable() {
        let photo = PublishedPhoto {
            photo_id: ID,
            author_id: ID,
            published_at: time(),
            hot_day: time().date_naive(),
        };
        check_json(
            &photo,
            "photo.published",
            &json!({ "photoId": TEXT, "authorId": TEXT, "publishedAt": "2026-11-22T12:00:00.000001Z", "hotDay": "2026-11-22" }),
        );
        let photo = PhotoDeleted {
            photo_id: ID,
            author_id: Some(ID),
        };
        check_json(
            &photo,
            "photo.deleted",
            &json!({ "photoId": TEXT, "authorId": TEXT }),
        );
        let account = KnownAccount {
            account_id: ID,
            created_at: time(),
        };
        check_json(
            &account,
            "account.created",
            &json!({ "accountId": TEXT, "createdAt": "2026-11-22T12:00:00.000001Z" }),
        );
        let account = AccountDeleted { account_id: ID };
        check_json(&account, "account.deleted", &json!({ "accountId": TEXT }));
        let sessions = SessionsEnded {
            session_ids: vec![ID],
        };
        check_json(&sessions, "session.ended", &json!({ "sessionIds": [TEXT] }));
    }

    #[test]
    fn an_author_may_be_missing() {
        let event = Event {
            data: json!({ "photoId": TEXT }),
            ..Event::new(ID, &AccountDeleted { account_id: ID }, time())
        };
        let event = Event {
            kind: PhotoDeleted::KIND.to_owned(),
            ..event
        };
        assert_eq!(event.payload::<PhotoDeleted>().unwrap().unwrap().author_id, None);
    }

    #[test]
    fn other_kinds_are_ignored_and_malformed_data_is_refused() {
        let event = Event {
            data: json!({ "accountId": 7 }),
            ..Event::new(ID, &AccountDeleted { account_id: ID }, time())
        };
        assert!(event.payload::<PhotoDeleted>().unwrap().is_none());
        let error = event.payload::<AccountDeleted>().unwrap_err();
        assert_eq!(error.to_string(), "the data of account.deleted cannot be read");
    }

    #[test]
    fn paths_name_the_id() {
        assert_eq!(PublishedPhoto::path(ID), format!("/internal/photos/{TEXT}"));
    }
}
