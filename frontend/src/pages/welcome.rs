//! Choosing a username after registration.

use contracts::Code;
use cynic::{MutationBuilder, QueryBuilder};
use leptos::prelude::*;

use crate::api::{self, ApiError, ErrorCode};
use crate::components::error_card::error_message;
use crate::components::field::{Field, FieldKind, FormSubmission, SendButton, required};
use crate::components::heading::Heading;
use crate::load::load;
use crate::navigation::Navigation;
use crate::pages::settings::SignedInOnly;
use crate::session::{Me, session};
use ui::graphql::schema;
use ui::language::{Text, text};
use ui::route::{Route, Timeline};

#[derive(cynic::QueryVariables)]
pub(crate) struct ByUsername {
    pub(crate) username: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "ByUsername")]
pub(crate) struct UsernameAvailable {
    #[arguments(username: $username)]
    username_available: bool,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "ByUsername")]
pub(crate) struct ClaimUsername {
    #[arguments(username: $username)]
    claim_username: Me,
}

#[component]
pub(crate) fn WelcomePage(next: Option<String>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let done = Callback::new(move |me: Me| {
        navigation.replace(match &next {
            Some(path) => Route::parse(path, ""),
            None => Timeline::Person(me.username).into(),
        });
    });
    view! {
        <div class="page">
            <Heading title=text!(username.welcome)>{text!(username.heading)}</Heading>
            <SignedInOnly>
                <p>{text!(username.why)}</p>
                <UsernameForm on_done=done/>
            </SignedInOnly>
        </div>
    }
}

#[component]
pub(crate) fn UsernameForm(
    #[prop(into)] on_done: Callback<Me>,
    #[prop(optional, into)] initial: String,
) -> impl IntoView {
    let (username, submission, session) = (RwSignal::new(initial.clone()), FormSubmission::new(), session());
    let chosen = move || username.get().trim().to_ascii_lowercase();
    // Every keystroke sends a new request and aborts the previous one.
    let available = load(move || {
        let username = chosen();
        let worth_asking = is_username(&username) && username != initial;
        async move {
            if !worth_asking {
                return Ok((username, None));
            }
            let answer = api::run(UsernameAvailable::build(ByUsername {
                username: username.clone(),
            }))
            .await?;
            Ok((username, Some(answer.username_available)))
        }
    });
    let verdict = move || match available.get() {
        Some((asked, Some(true))) if asked == chosen() => Some(text!(username.free)),
        _ => None,
    };
    let refused = submission.field_error("username", username_error_message);
    // Shown while typing, from the third character on.
    let error = Signal::derive(move || {
        let chosen = chosen();
        let is_taken = matches!(available.get(), Some((asked, Some(false))) if asked == chosen);
        if is_taken {
            Some(text!(username.taken).get().to_owned())
        } else if chosen.len() > 2 && !is_username(&chosen) {
            Some(text!(username.error).get().to_owned())
        } else {
            refused.get()
        }
    });
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !submission.validate(&[("username", required(username))]) {
            return;
        }
        let username = untrack(chosen);
        submission.submit(
            api::run(ClaimUsername::build(ByUsername { username })),
            move |ClaimUsername { claim_username }| {
                session.update_user(claim_username.clone());
                on_done.run(claim_username);
            },
        );
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="username"
                label=text!(username.label)
                kind=FieldKind::Username
                value=username
                hint=text!(username.hint)
                error
            />
            <p class="good" role="status">
                {verdict}
            </p>
            {submission.form_error(&["username"], error_message)}
            <SendButton submission label=text!(username.take)/>
        </form>
    }
}

fn is_username(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    (3..=30).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(valid)
}

fn username_error_message(error: &ApiError) -> Text {
    match error.code {
        ErrorCode::Response(Code::Conflict) => text!(username.refused),
        _ => text!(username.error),
    }
}

#[cfg(test)]
mod tests {
    use super::is_username;

    #[test]
    fn usernames_are_as_the_profile_service_takes_them() {
        for name in ["ada", "a_b-c", "z99", &"x".repeat(30)] {
            assert!(is_username(name), "{name}");
        }
        for name in ["", "ab", "1ab", "-ab", "Ada", "ä12", "a b", &"x".repeat(31)] {
            assert!(!is_username(name), "{name}");
        }
    }
}
