//! Connections that break at a commit.

use testkit::{Loss, Proxy};
use vote::State;

use crate::support::{List, TestService, announced, cast, client, leaf, photo, shown, someone};

/// A replica by way of a proxy.
async fn far(app: &TestService) -> (Proxy, testkit::Client) {
    let proxy = Proxy::new("127.0.0.1").await;
    let service = State {
        pool: app.database.pool_through(&proxy),
        ..app.state.clone()
    };
    (proxy, client(&service))
}

#[tokio::test]
async fn a_vote_counts_once_whatever_commit_is_lost() {
    let app = TestService::new().await;
    let (proxy, client) = far(&app).await;
    for loss in [Loss::Statement, Loss::Answer] {
        for pass in 0.. {
            // The first vote on a photo that is not heard of yet commits twice: the photo, and the vote.
            let unheard = photo(
                someone(),
                app.clock.now(),
                vote::domain::day_at(app.clock.now(), chrono_tz::UTC),
            );
            app.neighbours.publish(announced(&unheard));
            let voter = someone();
            proxy.lose(loss, "COMMIT", pass);
            let answer = cast(&client.of(voter), unheard.photo_id, "UP").await;
            assert_eq!(shown(&answer.data()["castVote"]), "1/0/1 UP", "{loss:?} {pass}");
            if !proxy.has_lost() {
                assert_eq!(pass, 2);
                break;
            }
            assert_eq!(app.tally(voter, unheard.photo_id).await, "1/0/1 UP");
            app.fold().await;
            assert_eq!(app.tally(voter, unheard.photo_id).await, "1/0/1 UP");
        }
    }
}

#[tokio::test]
async fn a_timeline_is_answered_whatever_is_lost() {
    let app = TestService::new().await;
    app.publish_many(someone(), 5).await;
    app.fold().await;
    let (proxy, client) = far(&app).await;
    for loss in [Loss::Statement, Loss::Answer] {
        // The commit of a new snapshot, and each read of the first page and of the next one.
        for statement in [
            "COMMIT",
            "FROM timeline t",
            "INSERT INTO snapshot ",
            "FROM snapshot s",
            "FROM photo_score",
        ] {
            app.sql("UPDATE timeline SET version = version + 1").await;
            for list in [List::Hot, List::Trending] {
                proxy.lose(loss, statement, 0);
                let first = leaf(&client, list, 2, None).await;
                assert_eq!(first.ids.len(), 2, "{loss:?} {statement}");
                let next = leaf(&client, list, 2, first.next.as_deref()).await;
                assert_eq!(next.ids.len(), 2, "{loss:?} {statement}");
            }
        }
    }
}
