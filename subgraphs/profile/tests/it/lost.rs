//! Lost responses of commits.

use serde_json::json;
use testkit::{Loss, Proxy, TestDatabase};

use crate::service_on;

const CLAIM: &str = "mutation ($name: String!) { claimUsername(username: $name) { id username } }";

#[tokio::test]
async fn a_name_is_claimed_once_if_the_response_of_the_commit_is_lost() {
    let database = TestDatabase::new(&profile::MIGRATOR).await;
    let proxy = Proxy::new("127.0.0.1").await;
    let pool = database.pool_through(&proxy);
    let service = service_on(database, pool);
    for (loss, name) in [(Loss::Statement, "ada"), (Loss::Response, "grace")] {
        let new_user = service.new_user();
        proxy.lose(loss, "COMMIT", 0);
        let answer = service
            .client
            .of(new_user)
            .graphql(CLAIM, json!({ "name": name }))
            .await;
        assert!(proxy.has_lost());
        assert_eq!(
            answer.data()["claimUsername"],
            json!({ "id": new_user, "username": name })
        );
        let other = service
            .client
            .of(service.new_user())
            .graphql(CLAIM, json!({ "name": name }))
            .await;
        assert_eq!(other.error(), "CONFLICT username");
    }
    assert_eq!(service.rows("profile WHERE username IS NOT NULL").await, 2);
}
