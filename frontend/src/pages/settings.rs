//! The settings of the account and of this browser.

use contracts::Code;
use cynic::{MutationBuilder, QueryBuilder};
use leptos::prelude::*;

use crate::api::{self, ApiError, ErrorCode};
use crate::components::byline::RelativeTime;
use crate::components::credentials::{LoginForm, new_password_error_message};
use crate::components::error_card::error_message;
use crate::components::field::{Field, FieldKind, FormSubmission, SendButton, required};
use crate::components::heading::Heading;
use crate::components::notices::Notices;
use crate::feed::Feeds;
use crate::load::load;
use crate::navigation::Navigation;
use crate::pages::welcome::UsernameForm;
use crate::preferences::{Preferences, Theme};
use crate::session::{Me, SignedIn, Viewer, ViewerState, session};
use ui::graphql::{DateTime, Id, schema};
use ui::language::{Language, Text, text};
use ui::route::{Route, Timeline};

#[derive(cynic::QueryVariables)]
pub(crate) struct UpdateProfileVariables {
    pub(crate) display_name: String,
    pub(crate) bio: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "UpdateProfileVariables")]
pub(crate) struct UpdateProfile {
    #[arguments(input: { displayName: $display_name, bio: $bio })]
    update_profile: Me,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct ChangePasswordVariables {
    pub(crate) current_password: String,
    pub(crate) new_password: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "ChangePasswordVariables")]
pub(crate) struct ChangePassword {
    #[expect(dead_code, reason = "a selection needs a field")]
    #[arguments(input: { currentPassword: $current_password, newPassword: $new_password })]
    change_password: SignedIn,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct DeleteAccountVariables {
    pub(crate) password: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "DeleteAccountVariables")]
pub(crate) struct DeleteAccount {
    #[expect(dead_code, reason = "a selection needs a field")]
    #[arguments(password: $password)]
    delete_account: bool,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query")]
pub(crate) struct Sessions {
    viewer: Option<ViewerSessions>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Viewer")]
struct ViewerSessions {
    sessions: Option<Vec<LoginSession>>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
struct LoginSession {
    id: Id,
    last_used_at: DateTime,
    user_agent: Option<String>,
    current: bool,
}

/// Shows its children to signed-in viewers, and the sign-in form to others.
#[component]
pub(crate) fn SignedInOnly(children: ChildrenFn) -> impl IntoView {
    let session = session();
    let next = expect_context::<Navigation>().current().route.as_next();
    let is_known = Memo::new(move |_| match session.state().get() {
        ViewerState::Loading => None,
        ViewerState::Anonymous => Some(false),
        ViewerState::SignedIn(_) => Some(true),
    });
    move || {
        match is_known.get() {
        None => ().into_any(),
        Some(true) => children(),
        Some(false) => view! {
            <p>
                {text!(account.needed)} " " <a href=Route::Register { next: next.clone() }.to_string()>{text!(account.create_one)}</a> "."
            </p>
            <LoginForm on_done=|_| ()/>
        }
        .into_any(),
    }
    }
}

#[component]
pub(crate) fn SettingsPage() -> impl IntoView {
    view! {
        <div class="page">
            <Heading title=text!(settings.heading)>{text!(settings.heading)}</Heading>
            <Appearance/>
            <SignedInOnly>
                <AccountSettings/>
            </SignedInOnly>
        </div>
    }
}

#[component]
fn Appearance() -> impl IntoView {
    let Preferences {
        theme,
        language,
        shortcuts,
    } = expect_context();
    let choice = move |choice: Theme| {
        let id = format!("theme-{choice:?}");
        let labelled = id.clone();
        view! {
            <label class="choice" for=labelled>
                <input
                    type="radio"
                    name="theme"
                    id=id
                    prop:checked=move || theme.get() == choice
                    on:change=move |_| theme.set(choice)
                />
                {choice.label()}
            </label>
        }
    };
    let language_choice = move |choice: Option<Language>| {
        let id = format!("language-{}", choice.map_or("browser", Language::tag));
        let labelled = id.clone();
        let name = move || choice.map_or_else(|| text!(settings.as_browser).get(), Language::name);
        view! {
            <label class="choice" for=labelled lang=choice.map(Language::tag)>
                <input
                    type="radio"
                    name="language"
                    id=id
                    prop:checked=move || language.get() == choice
                    on:change=move |_| language.set(choice)
                />
                {name}
            </label>
        }
    };
    view! {
        <section class="settings">
            <h2>{text!(settings.browser)}</h2>
            <fieldset class="choices">
                <legend>{text!(app.language)}</legend>
                {language_choice(None)}
                {Language::ALL.map(|language| language_choice(Some(language))).collect_view()}
            </fieldset>
            <fieldset class="choices">
                <legend>{text!(settings.theme)}</legend>
                {Theme::ALL.map(choice).collect_view()}
            </fieldset>
            <label class="choice" for="shortcuts">
                <input
                    type="checkbox"
                    id="shortcuts"
                    prop:checked=move || shortcuts.get()
                    on:change:target=move |event| shortcuts.set(event.target().checked())
                />
                {text!(settings.shortcuts)}
            </label>
        </section>
    }
}

#[component]
fn AccountSettings() -> impl IntoView {
    let session = session();
    let notices = expect_context::<Notices>();
    // Read once, so that saving does not reset the form.
    let viewer = session.viewer_now();
    let email = viewer.as_ref().map(|viewer| viewer.email.clone());
    let profile = viewer.and_then(|Viewer { user, .. }| user).map(|me| {
        let username = if me.has_chosen_username() {
            me.username.clone()
        } else {
            String::new()
        };
        view! {
            <section class="settings">
                <h2>{text!(settings.profile)}</h2>
                <ProfileForm me/>
            </section>
            <section class="settings">
                <h2>{text!(settings.username)}</h2>
                <UsernameForm initial=username on_done=move |_| notices.announce(text!(settings.username_changed).get())/>
            </section>
        }
    });
    view! {
        {profile}
        <section class="settings">
            <h2>{text!(settings.password)}</h2>
            <p class="quiet">{text!(settings.account)} " " {email}</p>
            <PasswordForm/>
        </section>
        <section class="settings">
            <h2>{text!(settings.sessions)}</h2>
            <SessionList/>
        </section>
        <section class="settings">
            <h2>{text!(settings.delete)}</h2>
            <DeleteForm/>
        </section>
    }
}

#[component]
fn ProfileForm(me: Me) -> impl IntoView {
    let session = session();
    let (name, bio) = (
        RwSignal::new(me.display_name),
        RwSignal::new(me.bio.unwrap_or_default()),
    );
    let (submission, saved) = (FormSubmission::new(), RwSignal::new(false));
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        saved.set(false);
        if !submission.validate(&[("displayName", required(name))]) {
            return;
        }
        let variables = UpdateProfileVariables {
            display_name: name.get_untracked(),
            bio: bio.get_untracked(),
        };
        submission.submit(
            api::run(UpdateProfile::build(variables)),
            move |UpdateProfile { update_profile }| {
                session.update_user(update_profile);
                saved.set(true);
            },
        );
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="display-name"
                label=text!(settings.name)
                kind=FieldKind::Text
                value=name
                error=submission.field_error("displayName", |_| text!(settings.name_error))
            />
            <Field
                id="bio"
                label=text!(settings.bio)
                kind=FieldKind::Paragraph
                value=bio
                optional=true
                error=submission.field_error("bio", |_| text!(settings.bio_error))
            />
            {submission.form_error(&["displayName", "bio"], error_message)}
            <SendButton submission label=text!(settings.save_profile)/>
            <Saved saved/>
        </form>
    }
}

#[component]
fn PasswordForm() -> impl IntoView {
    let (current, new) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (submission, saved) = (FormSubmission::new(), RwSignal::new(false));
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        saved.set(false);
        if !submission.validate(&[
            ("currentPassword", required(current)),
            ("newPassword", required(new)),
        ]) {
            return;
        }
        let variables = ChangePasswordVariables {
            current_password: current.get_untracked(),
            new_password: new.get_untracked(),
        };
        submission.submit(api::run(ChangePassword::build(variables)), move |_| {
            api::store_session(true);
            current.set(String::new());
            new.set(String::new());
            saved.set(true);
        });
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="current-password"
                label=text!(settings.current_password)
                kind=FieldKind::CurrentPassword
                value=current
                error=submission.field_error("currentPassword", wrong_password_message)
            />
            <Field
                id="new-password"
                label=text!(settings.new_password)
                kind=FieldKind::NewPassword
                value=new
                hint=text!(settings.new_password_hint)
                error=submission.field_error("newPassword", new_password_error_message)
            />
            {submission.form_error(&["currentPassword", "newPassword"], wrong_password_message)}
            <SendButton submission label=text!(settings.change_password)/>
            <Saved saved/>
        </form>
    }
}

#[component]
fn SessionList() -> impl IntoView {
    let (session, navigation) = (session(), expect_context::<Navigation>());
    let submission = FormSubmission::new();
    let sessions = load(|| async {
        let viewer = api::run(Sessions::build(())).await?.viewer;
        Ok(viewer.and_then(|viewer| viewer.sessions).unwrap_or_default())
    });
    let list = sessions.show(
        || ().into_any(),
        |sessions| {
            let items = sessions.into_iter().map(|login| {
                let LoginSession { id, last_used_at, user_agent, current } = login;
                view! {
                    <li id=format!("session-{}", id.inner())>
                        {user_agent.as_deref().map_or(text!(settings.some_browser), browser_name)} ", "
                        {if current { view! { <strong>{text!(settings.this_one)}</strong> }.into_any() } else { view! { <RelativeTime at=last_used_at/> }.into_any() }}
                    </li>
                }
            });
            view! { <ul>{items.collect_view()}</ul> }.into_any()
        },
    );
    let leave = move |everywhere: bool| {
        submission.submit(session.sign_out(everywhere), move |()| {
            navigation.go(Timeline::Latest.into());
        });
    };
    view! {
        {list}
        {submission.error()}
        <div class="buttons">
            <button class="button" on:click=move |_| leave(false)>
                {text!(settings.sign_out)}
            </button>
            <button class="button" on:click=move |_| leave(true)>
                {text!(settings.sign_out_everywhere)}
            </button>
        </div>
    }
}

#[component]
fn DeleteForm() -> impl IntoView {
    let (session, navigation) = (session(), expect_context::<Navigation>());
    let feeds = expect_context::<Feeds>();
    let (password, submission) = (RwSignal::new(String::new()), FormSubmission::new());
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !submission.validate(&[("password", required(password))]) {
            return;
        }
        let variables = DeleteAccountVariables {
            password: password.get_untracked(),
        };
        submission.submit(api::run(DeleteAccount::build(variables)), move |_| {
            session.end();
            feeds.clear();
            navigation.replace(Route::Goodbye);
        });
    };
    view! {
        <p>{text!(settings.delete_means)}</p>
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="delete-password"
                label=text!(settings.your_password)
                kind=FieldKind::CurrentPassword
                value=password
                error=submission.field_error("password", wrong_password_message)
            />
            {submission.form_error(&["password"], wrong_password_message)}
            <SendButton submission label=text!(settings.delete_mine) danger=true/>
        </form>
    }
}

/// The page after the deletion of an account.
#[component]
pub(crate) fn GoodbyePage() -> impl IntoView {
    view! {
        <div class="page">
            <Heading title=text!(settings.gone_title)>{text!(settings.gone_heading)}</Heading>
            <p>{text!(settings.gone_text)}</p>
            <p>
                <a href=Timeline::Latest.to_string()>{text!(photo.see_latest)}</a>
            </p>
        </div>
    }
}

#[component]
fn Saved(saved: RwSignal<bool>) -> impl IntoView {
    view! {
        <p class="good" role="status">
            {move || saved.get().then_some(text!(settings.saved))}
        </p>
    }
}

fn wrong_password_message(error: &ApiError) -> Text {
    match error.code {
        ErrorCode::Response(Code::Unauthenticated | Code::Forbidden | Code::InvalidInput) => {
            text!(settings.wrong_password)
        }
        _ => error_message(error),
    }
}

/// The name of the browser in a user agent.
fn browser_name(user_agent: &str) -> Text {
    // The order matters, because most browsers also claim to be Chrome and Safari.
    let known = [
        ("Edg/", text!(settings.edge)),
        ("Firefox/", text!(settings.firefox)),
        ("Chrome/", text!(settings.chrome)),
        ("Safari/", text!(settings.safari)),
    ];
    known
        .iter()
        .find(|(mark, _)| user_agent.contains(mark))
        .map_or(text!(settings.some_program), |(_, name)| *name)
}
