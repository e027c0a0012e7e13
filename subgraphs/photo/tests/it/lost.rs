//! Lost responses of commits.

use testkit::{Loss, Proxy, TestDatabase};

use crate::support::{TestService, new_user_id};

#[tokio::test]
async fn uploads_publications_and_deletions_take_effect_once_if_a_commit_is_lost() {
    let db = TestDatabase::new(&photo::MIGRATOR).await;
    let proxy = Proxy::new("127.0.0.1").await;
    let pool = db.pool_through(&proxy);
    let site = TestService::on(db, |state| state.pool = pool);
    let ada = new_user_id();
    for (round, loss) in (0..).zip([Loss::Statement, Loss::Response]) {
        // The first commit looks up the same picture, the second one inserts it.
        for pass in 0..2 {
            proxy.lose(loss, "COMMIT", pass);
            let seed = u32::try_from(round * 2 + pass).unwrap();
            let upload = site.uploaded(ada, seed).await;
            assert!(proxy.has_lost());
            assert_eq!(site.count("upload").await, 1, "{loss:?} {pass}");

            proxy.lose(loss, "COMMIT", 0);
            let published = site.publish(ada, &upload, "Lighthouse").await;
            assert_eq!(published.data()["publishPhoto"]["id"], upload.as_str());
            assert!(proxy.has_lost());
            assert_eq!((site.count("upload").await, site.count("photo").await), (0, 1));

            proxy.lose(loss, "COMMIT", 0);
            site.delete(ada, &upload).await.data();
            assert!(proxy.has_lost());
            let gone = i64::from(seed) + 1;
            assert_eq!(
                (site.count("photo").await, site.count("deleted_photo").await),
                (0, gone)
            );
        }
    }
    let mut kinds: Vec<String> = site.outbox().await.into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    assert_eq!(kinds, [["photo.deleted"; 4], ["photo.published"; 4]].concat());
}
