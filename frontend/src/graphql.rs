//! The schema and shared fragments.

pub(crate) use cynic::Id;

/// Generated from `supergraph.graphql`. cynic checks all fragments against it.
#[cynic::schema("proofsheet")]
pub(crate) mod schema {}

/// RFC 3339, UTC. Kept as text: the browser's own `Date` and `Intl` read it.
#[derive(cynic::Scalar, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "DateTime")]
pub(crate) struct DateTime(pub(crate) String);

/// A calendar day, `YYYY-MM-DD`.
#[derive(cynic::Scalar, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Date(pub(crate) String);

#[derive(cynic::Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoteChoice {
    Up,
    Down,
    None,
}

#[derive(cynic::QueryFragment, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VoteTally {
    pub(crate) up: i32,
    pub(crate) down: i32,
    pub(crate) score: i32,
}

/// The author in a byline.
#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "User")]
pub(crate) struct Byline {
    pub(crate) id: Id,
    pub(crate) username: String,
    pub(crate) display_name: String,
}

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageInfo {
    pub(crate) has_next_page: bool,
    pub(crate) end_cursor: Option<String>,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct ById {
    pub(crate) id: Id,
}
