//! Typed `UUIDv7` ids. They sort by creation time, and ids of different types cannot be confused.

/// An id that is not a UUID. The client gets `INVALID_INPUT` for the argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("This is not an id: it must be a UUID of 36 characters.")]
pub struct InvalidId {
    /// The argument or input field.
    pub field: &'static str,
}

impl crate::Classify for InvalidId {
    fn code(&self) -> crate::Code {
        crate::Code::InvalidInput
    }

    fn field(&self) -> Option<&'static str> {
        Some(self.field)
    }
}

/// Parses a hyphenated UUID in lower or upper case.
pub fn parse_uuid(text: &str, field: &'static str) -> Result<uuid::Uuid, InvalidId> {
    // `Uuid::parse_str` also accepts braces, URNs and 32 digits without hyphens.
    if text.len() != 36 {
        return Err(InvalidId { field });
    }
    uuid::Uuid::parse_str(text).map_err(|_| InvalidId { field })
}

/// Returns a `UUIDv7` with the timestamp `now`.
pub fn new_uuid(now: chrono::DateTime<chrono::Utc>) -> uuid::Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
        uuid::NoContext,
        seconds,
        now.timestamp_subsec_nanos(),
    ))
}

/// Defines an id type: `id_newtype!(/// A photo. PhotoId);`
#[macro_export]
macro_rules! id_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
            sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub $crate::reexport::uuid::Uuid);

        impl $name {
            /// Returns a new id that sorts after those created before `now`.
            pub fn new(now: $crate::reexport::chrono::DateTime<$crate::reexport::chrono::Utc>) -> Self {
                Self($crate::id::new_uuid(now))
            }

            /// Parses a GraphQL `ID`. Errors name `field`.
            pub fn parse(text: &str, field: &'static str) -> Result<Self, $crate::InvalidId> {
                $crate::id::parse_uuid(text, field).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$crate::reexport::uuid::Uuid> for $name {
            fn from(id: $crate::reexport::uuid::Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for $crate::reexport::uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::parse_uuid;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        assert!(parse_uuid("0199a3c8-7a10-7cc3-98c4-dc0c0c07398f", "id").is_ok());
        assert!(parse_uuid("0199A3C8-7A10-7CC3-98C4-DC0C0C07398F", "id").is_ok());
        for text in [
            "",
            "1",
            "0199a3c87a107cc398c4dc0c0c07398f",
            "{0199a3c8-7a10-7cc3-98c4-dc0c0c0739}",
            "𝟘199a3c8-7a10-7cc3-98c4-dc0c0",
        ] {
            assert_eq!(
                parse_uuid(text, "photoId").unwrap_err().field,
                "photoId",
                "{text}"
            );
        }
    }
}
