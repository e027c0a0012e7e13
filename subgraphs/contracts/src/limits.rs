//! Limits that two programs enforce.

use std::time::Duration;

/// The maximum size of an upload in bytes, in the app, the router and photo.
pub const MAX_UPLOAD_BYTES: u64 = 25 * 1024 * 1024;
/// The maximum pause between two chunks of an upload, in the router and photo.
pub const UPLOAD_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum duration of an upload, in the router and photo.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// The maximum number of characters of a comment, in the app and the comment service.
pub const MAX_COMMENT_LENGTH: usize = 2000;

/// The lifetime of an access token. The app refreshes it earlier, and services remember ended sessions for longer.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);
