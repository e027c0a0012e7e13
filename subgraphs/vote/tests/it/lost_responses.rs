//! Lost responses of commits.

use testkit::{Loss, Proxy};
use vote::State;

use crate::support::{
    List, TestService, announced, cast, client, format_votes, new_user, photo, timeline_page,
};

/// A replica whose database connection is a proxy.
async fn replica_with_proxy(app: &TestService) -> (Proxy, testkit::Client) {
    let proxy = Proxy::new("127.0.0.1").await;
    let service = State {
        pool: app.database.pool_through(&proxy),
        ..app.state.clone()
    };
    (proxy, client(&service))
}

#[tokio::test]
async fn a_vote_counts_once_if_a_commit_is_lost() {
    let app = TestService::new().await;
    let (proxy, client) = replica_with_proxy(&app).await;
    for loss in [Loss::Statement, Loss::Response] {
        for skipped in 0.. {
            // The first vote on an unknown photo has two commits: the photo, and the vote.
            let unknown_photo = photo(
                new_user(),
                app.clock.now(),
                vote::domain::day_at(app.clock.now(), chrono_tz::UTC),
            );
            app.neighbours.publish(announced(&unknown_photo));
            let voter = new_user();
            proxy.lose(loss, "COMMIT", skipped);
            let answer = cast(&client.of(voter), unknown_photo.photo_id, "UP").await;
            assert_eq!(
                format_votes(&answer.data()["castVote"]),
                "1/0/1 UP",
                "{loss:?} {skipped}"
            );
            if !proxy.has_lost() {
                assert_eq!(skipped, 2);
                break;
            }
            assert_eq!(app.tally(voter, unknown_photo.photo_id).await, "1/0/1 UP");
            app.fold().await;
            assert_eq!(app.tally(voter, unknown_photo.photo_id).await, "1/0/1 UP");
        }
    }
}

#[tokio::test]
async fn a_timeline_is_returned_if_a_message_is_lost() {
    let app = TestService::new().await;
    app.publish_many(new_user(), 5).await;
    app.fold().await;
    let (proxy, client) = replica_with_proxy(&app).await;
    for loss in [Loss::Statement, Loss::Response] {
        // The commit of a new snapshot, and the reads of the first and the next page.
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
                let first = timeline_page(&client, list, 2, None).await;
                assert_eq!(first.ids.len(), 2, "{loss:?} {statement}");
                let next = timeline_page(&client, list, 2, first.next.as_deref()).await;
                assert_eq!(next.ids.len(), 2, "{loss:?} {statement}");
            }
        }
    }
}
