//! The schema and shared fragments.

pub use cynic::Id;

/// Generated from `supergraph.graphql`. cynic checks all fragments against it.
#[cynic::schema("proofsheet")]
pub mod schema {}

/// RFC 3339, UTC.
#[derive(cynic::Scalar, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "DateTime")]
pub struct DateTime(pub String);

/// A calendar day, `YYYY-MM-DD`.
#[derive(cynic::Scalar, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub String);

#[derive(cynic::Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteChoice {
    Up,
    Down,
    None,
}

#[derive(cynic::QueryFragment, Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteTally {
    pub up: i32,
    pub down: i32,
    pub score: i32,
}

/// The author in a byline.
#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "User")]
pub struct Byline {
    pub id: Id,
    pub username: String,
    pub display_name: String,
}

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
pub struct PageInfo {
    pub has_next_page: bool,
    pub end_cursor: Option<String>,
}

#[derive(cynic::QueryVariables)]
pub struct ById {
    pub id: Id,
}
