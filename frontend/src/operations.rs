//! Writes all operations of the app to `operations.graphql`, for the router's operation allowlist and its tests.

use std::path::Path;

use cynic::{MutationBuilder, QueryBuilder};

use crate::pages::{photo, profile, settings, timeline, welcome};
use crate::{api, conversation, session, uploads, votes};
use ui::graphql::{ById, Id, VoteChoice};

/// The documents. The values of variables do not matter.
fn documents() -> Vec<String> {
    let id = || Id::new("");
    let by_id = || ById { id: id() };
    let text = String::new;
    let page = || timeline::PageVariables {
        first: 0,
        after: None,
    };
    let credentials = || session::CredentialVariables {
        email: text(),
        password: text(),
    };
    let by_username = || welcome::ByUsername { username: text() };
    vec![
        timeline::LatestPhotos::build(page()).query,
        timeline::HotPhotos::build(timeline::DayVariables {
            day: None,
            first: 0,
            after: None,
        })
        .query,
        timeline::TrendingPhotos::build(page()).query,
        timeline::NewestPhotos::build(()).query,
        timeline::HotDays::build(()).query,
        photo::PhotoById::build(by_id()).query,
        photo::PhotoVotes::build(by_id()).query,
        photo::UpdatePhoto::build(photo::UpdatePhotoVariables {
            id: id(),
            title: text(),
            alt_text: text(),
        })
        .query,
        photo::DeletePhoto::build(by_id()).query,
        conversation::MoreComments::build(conversation::MoreCommentsVariables {
            id: id(),
            after: None,
        })
        .query,
        conversation::MoreReplies::build(conversation::MoreRepliesVariables {
            id: id(),
            before: None,
            after: None,
        })
        .query,
        conversation::AddComment::build(conversation::AddCommentVariables {
            photo_id: id(),
            body: text(),
            reply_to_id: None,
            key: id(),
        })
        .query,
        conversation::EditComment::build(conversation::EditCommentVariables {
            id: id(),
            body: text(),
        })
        .query,
        conversation::DeleteComment::build(by_id()).query,
        votes::CastVote::build(votes::CastVoteVariables {
            photo_id: id(),
            vote: VoteChoice::None,
        })
        .query,
        profile::ProfileByUsername::build(by_username()).query,
        profile::PhotosOf::build(profile::PhotosOfVariables {
            username: text(),
            first: 0,
            after: None,
        })
        .query,
        welcome::UsernameAvailable::build(by_username()).query,
        welcome::ClaimUsername::build(by_username()).query,
        uploads::PublishPhoto::build(uploads::PublishPhotoVariables {
            upload_id: id(),
            title: text(),
            alt_text: None,
        })
        .query,
        session::CurrentViewer::build(()).query,
        session::Login::build(credentials()).query,
        session::Register::build(credentials()).query,
        session::Logout::build(session::LogoutVariables { everywhere: false }).query,
        api::RefreshSession::build(()).query,
        settings::UpdateProfile::build(settings::UpdateProfileVariables {
            display_name: text(),
            bio: text(),
        })
        .query,
        settings::ChangePassword::build(settings::ChangePasswordVariables {
            current_password: text(),
            new_password: text(),
        })
        .query,
        settings::DeleteAccount::build(settings::DeleteAccountVariables { password: text() }).query,
        settings::Sessions::build(()).query,
    ]
}

/// `UPDATE_OPERATIONS=1 cargo test -p frontend` writes the file.
#[test]
fn the_list_of_operations_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("operations.graphql");
    let head =
        "# Every GraphQL operation of the app. Written by a test: UPDATE_OPERATIONS=1 cargo test -p frontend";
    let documents: Vec<String> = documents()
        .into_iter()
        .map(|document| document.trim().to_owned())
        .collect();
    let now = format!("{head}\n\n{}\n", documents.join("\n\n"));
    if std::env::var_os("UPDATE_OPERATIONS").is_some() {
        std::fs::write(&file, &now).expect("the checkout can be written to");
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap_or_default(),
        now,
        "operations.graphql is out of date"
    );
}
