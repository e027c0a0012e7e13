//! The chassis on a real MariaDB: leases, migrations, nodes, the way of an event, tokens, transactions.

mod ended_sessions;
mod events;
mod lease;
mod migrations;
mod nodes;
mod reads;
mod server;
mod tokens;
mod transactions;

/// A subgraph without tables of its own.
static NO_TABLES: sqlx::migrate::Migrator = sqlx::migrate::Migrator {
    migrations: std::borrow::Cow::Borrowed(&[]),
    ..sqlx::migrate::Migrator::DEFAULT
};

async fn database() -> testkit::TestDatabase {
    testkit::TestDatabase::new(&NO_TABLES).await
}
