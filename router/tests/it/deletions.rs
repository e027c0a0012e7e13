//! Deletions reach all services, even if services are down or killed, and the reconcilers repair missing rows.

use std::time::Duration;

use harness::system::{Options, System};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};
use uuid::Uuid;

use crate::system::Site;

const ONE_OF_IT: &str = "query ($id: ID!) { photo(id: $id) { title votes { score } commentCount } }";

/// A user with a bearer token.
struct Person {
    site: Site,
    token: String,
}

impl Person {
    async fn join(system: &System, name: &str) -> Self {
        let site = Site::visit(system);
        let register = "mutation ($input: RegisterInput!) { register(input: $input) { accessToken } }";
        let input =
            json!({ "email": format!("{name}@example.org"), "password": "correct horse battery staple" });
        let data = site.data(register, json!({ "input": input })).await;
        let token = data["register"]["accessToken"].as_str().unwrap().to_owned();
        site.data(
            "mutation ($name: String!) { claimUsername(username: $name) { id } }",
            json!({ "name": name }),
        )
        .await;
        Self { site, token }
    }

    async fn vote_up(&self, photo: &str) {
        let vote = "mutation ($id: ID!) { castVote(photoId: $id, vote: UP) { votes { score } } }";
        self.site.data(vote, json!({ "id": photo })).await;
    }

    async fn say(&self, photo: &str) {
        let add = "mutation ($input: AddCommentInput!) { addComment(input: $input) { id } }";
        let input = json!({ "photoId": photo, "body": "The light!" });
        self.site.data(add, json!({ "input": input })).await;
    }

    async fn delete(&self, photo: &str) {
        self.site
            .data(
                "mutation ($id: ID!) { deletePhoto(id: $id) }",
                json!({ "id": photo }),
            )
            .await;
    }
}

/// Counts rows as the administrator of the database.
async fn count(system: &System, sql: &str, id: Uuid) -> i64 {
    let mut admin = MySqlConnection::connect(&system.admin_database_url())
        .await
        .unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .bind(id)
        .fetch_one(&mut admin)
        .await
        .unwrap()
}

/// Changes rows directly in the database.
async fn delete_rows(system: &System, sql: &str) {
    let mut admin = MySqlConnection::connect(&system.admin_database_url())
        .await
        .unwrap();
    admin.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

async fn wait_until_none(system: &System, sql: &str, id: &str) {
    let id = id.parse().unwrap();
    for _ in 0..600 {
        if count(system, sql, id).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("rows stay: {sql}");
}

/// Runs the reconciler of a service, which must succeed, and returns the number of repairs.
async fn reconcile(system: &System, service: &str) -> u64 {
    let output = system.run(service, &["reconcile"]).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{service}: {printed} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    report["repaired"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .sum()
}

const VOTES: &str = "SELECT COUNT(*) FROM vote.vote WHERE photo_id = ?";
const COMMENTS: &str = "SELECT COUNT(*) FROM comment.comment WHERE photo_id = ?";

/// One test for all checks, because starting a system takes seconds.
#[tokio::test]
async fn deletions_and_repairs() {
    let system = System::start(Options::default()).await.unwrap();
    let ada = Person::join(&system, "ada").await;
    let bert = Person::join(&system, "bert").await;

    check_deleted_photo(&system, &ada, &bert).await;
    check_repairs(&system, &ada, &bert).await;
    check_deleted_account(&system, &ada, bert).await;
    system.stop().await;
}

async fn check_deleted_photo(system: &System, ada: &Person, bert: &Person) {
    let stopped = ada.site.publish("Gone while vote is down", 10).await;
    let killed = ada.site.publish("Gone while comment dies", 20).await;
    for photo in [&stopped, &killed] {
        bert.vote_up(photo).await;
        bert.say(photo).await;
    }

    system.stop_service("vote").await.unwrap();
    ada.delete(&stopped).await;
    wait_until_none(system, COMMENTS, &stopped).await;
    assert_eq!(
        count(system, VOTES, stopped.parse().unwrap()).await,
        1,
        "vote is down"
    );
    system.start_service("vote").await.unwrap();
    wait_until_none(system, VOTES, &stopped).await;

    ada.delete(&killed).await;
    system.kill_service("comment").await.unwrap();
    system.kill_service("photo").await.unwrap();
    system.start_service("photo").await.unwrap();
    system.start_service("comment").await.unwrap();
    wait_until_none(system, COMMENTS, &killed).await;
    wait_until_none(system, VOTES, &killed).await;

    for photo in [stopped, killed] {
        let data = bert.site.data(ONE_OF_IT, json!({ "id": photo })).await;
        assert_eq!(data["photo"], Value::Null);
        let late = bert
            .site
            .send(
                "mutation ($id: ID!) { castVote(photoId: $id, vote: UP) { id } }",
                json!({ "id": photo }),
            )
            .await;
        assert_eq!(late["errors"][0]["extensions"]["code"], "NOT_FOUND", "{late:#}");
    }
}

async fn check_repairs(system: &System, ada: &Person, bert: &Person) {
    // An event whose outbox row is lost is never delivered.
    system.stop_service("vote").await.unwrap();
    let photo = ada.site.publish("Nobody was told", 30).await;
    delete_rows(
        system,
        "DELETE FROM photo.outbox_delivery WHERE subscriber = 'vote'",
    )
    .await;
    system.start_service("vote").await.unwrap();
    assert!(reconcile(system, "vote").await >= 1);
    let hot = "{ hotPhotos { nodes { id } } trendingPhotos { nodes { id } } }";
    let data = bert.site.data(hot, json!({})).await;
    assert_eq!(data["hotPhotos"]["nodes"], json!([{ "id": photo }]));
    assert_eq!(data["trendingPhotos"]["nodes"], json!([{ "id": photo }]));

    // The comment service loses its row of the photo.
    bert.say(&photo).await;
    delete_rows(system, "DELETE FROM comment.known_photo").await;
    assert!(reconcile(system, "comment").await >= 1);
    assert_eq!(reconcile(system, "comment").await, 0, "once is enough");

    // A file is missing.
    let query = "query ($id: ID!) { photo(id: $id) { renditions { url } } }";
    let data = ada.site.data(query, json!({ "id": photo })).await;
    let url = data["photo"]["renditions"][0]["url"].as_str().unwrap();
    let before = ada.site.bytes(url).await;
    let (key, name) = url.trim_start_matches("/media/").split_once('/').unwrap();
    let folders = std::fs::read_dir(system.data_dir().join("media")).unwrap();
    let removed = folders
        .filter(|folder| std::fs::remove_file(folder.as_ref().unwrap().path().join(key).join(name)).is_ok())
        .count();
    assert_eq!(removed, 1, "{url}");
    assert!(reconcile(system, "photo").await >= 1);
    assert_eq!(ada.site.bytes(url).await, before, "made again, byte for byte");
}

async fn check_deleted_account(system: &System, ada: &Person, bert: Person) {
    let photo = ada.site.publish("Bert was here", 40).await;
    let own = bert.site.publish("Bert's own", 50).await;
    bert.vote_up(&photo).await;
    bert.say(&photo).await;
    ada.vote_up(&own).await;

    // Reconcilers ignore rows younger than 15 minutes, which their events handle.
    delete_rows(
        system,
        "UPDATE profile.profile SET joined_at = joined_at - INTERVAL 1 HOUR",
    )
    .await;
    // The event for profile is lost, and comment is down.
    system.stop_service("comment").await.unwrap();
    system.stop_service("profile").await.unwrap();
    let delete = r#"mutation { deleteAccount(password: "correct horse battery staple") }"#;
    bert.site.data(delete, json!({})).await;
    delete_rows(
        system,
        "DELETE FROM authentication.outbox_delivery WHERE subscriber = 'profile'",
    )
    .await;
    system.start_service("profile").await.unwrap();
    system.start_service("comment").await.unwrap();

    assert!(reconcile(system, "profile").await >= 1);
    let gone = r#"query ($id: ID!) { photo(id: $id) { id } user(username: "bert") { id } }"#;
    let data = ada.site.data(gone, json!({ "id": own })).await;
    assert_eq!(data, json!({ "photo": null, "user": null }));
    wait_until_none(system, VOTES, &own).await;
    let empty = json!({ "title": "Bert was here", "votes": { "score": 0 }, "commentCount": 0 });
    for tries in 0.. {
        let data = ada.site.data(ONE_OF_IT, json!({ "id": photo })).await;
        if data["photo"] == empty {
            break;
        }
        assert!(tries < 600, "{data}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // The token is valid for some more minutes, and no service accepts writes with it.
    for (write, variables) in [
        (
            "mutation ($id: ID!) { castVote(photoId: $id, vote: UP) { id } }",
            json!({ "id": photo }),
        ),
        (
            "mutation ($id: ID!) { addComment(input: { photoId: $id, body: \"still here\" }) { id } }",
            json!({ "id": photo }),
        ),
        (
            "mutation { claimUsername(username: \"bert-again\") { id } }",
            json!({}),
        ),
        (
            "mutation ($id: ID!) { deletePhoto(id: $id) }",
            json!({ "id": own }),
        ),
        ("mutation { logout }", json!({})),
    ] {
        let answer = bert.site.send_as(&bert.token, write, variables).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED",
            "{write}: {answer:#}"
        );
    }
}
