//! Limits that two programs enforce.

use std::time::Duration;

/// The largest file that may be uploaded, in bytes: the app, the router and photo refuse a larger one.
pub const MAX_UPLOAD_BYTES: u64 = 25 * 1024 * 1024;
/// The longest pause between two chunks of an upload, in the router and in photo.
pub const UPLOAD_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that an upload may take, in the router and in photo.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// The most characters of a comment, in the app and in comment.
pub const MAX_COMMENT_LENGTH: usize = 2000;

/// How long an access token is valid: the app refreshes it before that, and services remember ended sessions for longer.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);
