//! Tests of the chassis with a real MariaDB.

mod ended_sessions;
mod events;
mod lease;
mod migrations;
mod nodes;
mod reads;
mod tokens;
mod transactions;

async fn database() -> testkit::TestDatabase {
    testkit::TestDatabase::without_own_tables().await
}
