//! Lost responses of commits.

use serde_json::json;
use testkit::{Loss, Proxy, TestDatabase};

use crate::{TestService, service_on};

async fn service_with_proxy() -> (Proxy, TestService) {
    let database = TestDatabase::new(&comment::MIGRATOR).await;
    let proxy = Proxy::new("127.0.0.1").await;
    let pool = database.pool_through(&proxy);
    (proxy, service_on(database, pool).await)
}

#[tokio::test]
async fn comments_are_written_and_deleted_once_if_a_commit_is_lost() {
    let (proxy, service) = service_with_proxy().await;
    let ada = service.new_user();
    for loss in [Loss::Statement, Loss::Response] {
        for key in [None, Some(format!("the key of {loss:?}"))] {
            let photo = service.photo(ada).await;
            proxy.lose(loss, "COMMIT", 0);
            let input = json!({ "photoId": photo, "body": "Well seen", "idempotencyKey": key });
            let written = service.try_add(ada, input).await;
            let id = serde_json::from_value(written.data()["addComment"]["id"].clone()).unwrap();
            assert!(proxy.has_lost());
            assert_eq!(
                service
                    .rows(&format!(
                        "comment WHERE photo_id = UNHEX(REPLACE('{photo}', '-', ''))"
                    ))
                    .await,
                1
            );

            proxy.lose(loss, "COMMIT", 0);
            service.delete(ada, id).await.data();
            assert!(proxy.has_lost());
            assert_eq!(service.texts(photo).await.2, 0);
        }
    }
}
