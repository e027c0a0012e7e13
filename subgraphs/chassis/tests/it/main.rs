//! The chassis on a real MariaDB: leases, migrations, nodes, the way of an event, tokens, transactions.

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
