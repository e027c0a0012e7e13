//! The GraphQL operations of tests and tools. Each selects the fields that some caller needs.

use serde::Serialize;
use serde_json::{Value, json};

/// The body of a GraphQL request.
#[derive(Clone, Debug, Serialize)]
pub struct GraphqlRequest {
    pub query: String,
    variables: Value,
}

impl GraphqlRequest {
    pub fn new(query: impl Into<String>, variables: Value) -> Self {
        Self {
            query: query.into(),
            variables,
        }
    }
}

/// The data of a new comment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewComment<'a> {
    pub photo_id: &'a str,
    pub body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

pub fn register(email: &str, password: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($input: RegisterInput!) { register(input: $input) { accessToken refreshToken viewer { id } } }",
        json!({ "input": { "email": email, "password": password } }),
    )
}

pub fn login(email: &str, password: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($input: LoginInput!) { login(input: $input) { accessToken refreshToken } }",
        json!({ "input": { "email": email, "password": password } }),
    )
}

pub fn refresh_session(refresh_token: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($token: String!) { refreshSession(refreshToken: $token) { accessToken refreshToken } }",
        json!({ "token": refresh_token }),
    )
}

pub fn claim_username(username: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($username: String!) { claimUsername(username: $username) { id } }",
        json!({ "username": username }),
    )
}

/// `changes` has the changed fields, such as `displayName`.
pub fn update_profile(changes: &Value) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { id } }",
        json!({ "input": changes }),
    )
}

pub fn publish_photo(upload: &str, title: &str, alt_text: Option<&str>) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($input: PublishPhotoInput!) { publishPhoto(input: $input) { id renditions { url } } }",
        json!({ "input": { "uploadId": upload, "title": title, "altText": alt_text } }),
    )
}

pub fn delete_photo(photo: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($id: ID!) { deletePhoto(id: $id) }",
        json!({ "id": photo }),
    )
}

/// `choice` is `UP`, `NONE` or `DOWN`.
pub fn cast_vote(photo: &str, choice: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($photo: ID!, $vote: VoteChoice!) { castVote(photoId: $photo, vote: $vote) { id } }",
        json!({ "photo": photo, "vote": choice }),
    )
}

pub fn add_comment(comment: &NewComment<'_>) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($input: AddCommentInput!) { addComment(input: $input) { id } }",
        json!({ "input": comment }),
    )
}

pub fn delete_comment(comment: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        "mutation($id: ID!) { deleteComment(id: $id) }",
        json!({ "id": comment }),
    )
}

/// A page of the user's own photos, from the cursor `after`.
pub fn own_photos(after: &Value) -> GraphqlRequest {
    GraphqlRequest::new(
        "query($after: String) { viewer { user { photos(first: 100, after: $after) {
            nodes { id title } pageInfo { hasNextPage endCursor } } } } }",
        json!({ "after": after }),
    )
}

/// `selection` are the fields of the photo.
pub fn photo(id: &str, selection: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        format!("query($id: ID!) {{ photo(id: $id) {{ {selection} }} }}"),
        json!({ "id": id }),
    )
}

/// The first `count` photos of a timeline, such as `latestPhotos`. `selection` are the fields of each photo.
pub fn timeline(field: &str, count: u32, selection: &str) -> GraphqlRequest {
    GraphqlRequest::new(
        format!("query($count: Int!) {{ {field}(first: $count) {{ nodes {{ {selection} }} }} }}"),
        json!({ "count": count }),
    )
}
