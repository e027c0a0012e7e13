//! Tests of a subgraph's routes with a real MariaDB.

mod server;

async fn database() -> testkit::TestDatabase {
    testkit::TestDatabase::without_own_tables().await
}
