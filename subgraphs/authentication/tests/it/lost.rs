//! Lost responses of commits.

use testkit::{Loss, Proxy, TestDatabase};

use crate::{PASSWORD, TestService, delete_account, login, refresh, register, signed_in, text, viewer};

#[tokio::test]
async fn accounts_and_sessions_survive_lost_commits() {
    let database = TestDatabase::new(&authentication::MIGRATOR).await;
    let proxy = Proxy::new("127.0.0.1").await;
    let pool = database.pool_through(&proxy);
    let service = TestService::on(database, pool, &[]).await;
    let mut people = 0;
    for loss in [Loss::Statement, Loss::Response] {
        for pass in 0.. {
            people += 1;
            let email = format!("person{people}@example.org");
            proxy.lose(loss, "COMMIT", pass);
            let registered = register(&service.client, &email, PASSWORD).await.data()["register"].clone();
            let lost_any = proxy.has_lost();
            assert_eq!(
                service.count("SELECT COUNT(*) FROM account").await,
                people,
                "{loss:?} {pass}"
            );

            proxy.lose(loss, "COMMIT", pass);
            let renewed = refresh(&service.client, &text(&registered["refreshToken"]))
                .await
                .data()["refreshSession"]
                .clone();
            let lost_any = proxy.has_lost() || lost_any;
            assert_eq!(
                viewer(&signed_in(&service.client, &renewed)).await["email"],
                email.as_str()
            );
            // The next renewal works too: no replay was detected.
            refresh(&service.client, &text(&renewed["refreshToken"]))
                .await
                .data();

            proxy.lose(loss, "COMMIT", pass);
            login(&service.client, &email, PASSWORD).await.data();
            let lost_any = proxy.has_lost() || lost_any;
            if !lost_any {
                break;
            }
        }
    }
    let last = login(&service.client, &format!("person{people}@example.org"), PASSWORD)
        .await
        .data()["login"]
        .clone();
    proxy.lose(Loss::Response, "COMMIT", 1);
    delete_account(&signed_in(&service.client, &last), PASSWORD)
        .await
        .data();
    assert_eq!(service.count("SELECT COUNT(*) FROM account").await, people - 1);
}
