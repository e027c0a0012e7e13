//! The session of the viewer.

use cynic::{MutationBuilder, QueryBuilder};
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{self, ApiError, ErrorCode};
use crate::first_page;
use ui::graphql::{Id, schema};
use ui::language::Text;

#[derive(Clone, Copy)]
pub(crate) struct Session {
    state: RwSignal<ViewerState>,
    /// Number of sign-ins and sign-outs. Data of the viewer is reloaded when it changes.
    changes: RwSignal<u32>,
    intent: RwSignal<Option<Intent>>,
}

/// The action to continue with after sign-in.
#[derive(Clone, Copy)]
pub(crate) struct Intent {
    /// The heading of the sign-in sheet.
    pub(crate) purpose: Text,
    run: Callback<()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ViewerState {
    /// The response has not arrived yet.
    Loading,
    Anonymous,
    SignedIn(Viewer),
}

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    pub(crate) id: Id,
    pub(crate) email: String,
    pub(crate) user: Option<Me>,
}

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "User")]
pub(crate) struct Me {
    pub(crate) id: Id,
    pub(crate) username: String,
    pub(crate) display_name: String,
    pub(crate) bio: Option<String>,
}

impl Me {
    /// Accounts without a chosen username have a generated one (`guest-…`).
    pub(crate) fn has_chosen_username(&self) -> bool {
        !self.username.starts_with("guest-")
    }
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query")]
pub(crate) struct CurrentViewer {
    viewer: Option<Viewer>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Session")]
pub(crate) struct SignedIn {
    pub(crate) viewer: Viewer,
}

/// The variables of sign-in and registration.
#[derive(cynic::QueryVariables, Clone)]
pub(crate) struct CredentialVariables {
    pub(crate) email: String,
    pub(crate) password: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "CredentialVariables")]
pub(crate) struct Login {
    #[arguments(input: { email: $email, password: $password })]
    login: SignedIn,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "CredentialVariables")]
pub(crate) struct Register {
    #[arguments(input: { email: $email, password: $password })]
    register: SignedIn,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct LogoutVariables {
    pub(crate) everywhere: bool,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "LogoutVariables")]
pub(crate) struct Logout {
    #[expect(dead_code, reason = "a selection needs a field")]
    #[arguments(everywhere: $everywhere)]
    logout: bool,
}

impl Session {
    /// Loads the viewer, and follows sign-ins and sign-outs of other tabs.
    pub(crate) fn provide() -> Self {
        let session = Self {
            state: RwSignal::new(ViewerState::Loading),
            changes: RwSignal::new(0),
            intent: RwSignal::new(None),
        };
        provide_context(session);
        session.load_viewer();
        Effect::new(move |first: Option<()>| {
            api::SESSION_ENDED_TRIGGER.track();
            if first.is_some() {
                session.set_state(ViewerState::Anonymous);
            }
        });
        let _ = window_event_listener(ev::storage, move |event| {
            let signed_in_or_out = event.old_value().is_some() != event.new_value().is_some();
            if event.key().as_deref() == Some(api::SESSION_KEY) && signed_in_or_out {
                session.changes.update(|changes| *changes += 1);
                session.load_viewer();
            }
        });
        session
    }

    fn load_viewer(self) {
        spawn_local(async move {
            let ask = || api::run(CurrentViewer::build(()));
            let mut answer = ask().await;
            // The access token may have been removed early.
            if matches!(&answer, Ok(CurrentViewer { viewer: None }))
                && api::has_session()
                && api::refresh().await.is_ok()
            {
                answer = ask().await;
            }
            // Without a response the viewer is anonymous.
            let viewer = answer.ok().and_then(|answer| answer.viewer);
            if viewer.is_some() && !api::has_session() {
                api::store_session(true);
            }
            let is_signed_in = viewer.is_some();
            self.state
                .set(viewer.map_or(ViewerState::Anonymous, ViewerState::SignedIn));
            if is_signed_in {
                self.run_intent();
            }
            // The embedded responses hold no votes of the viewer.
            if is_signed_in && first_page::has_used_prefetched() {
                self.changes.update(|changes| *changes += 1);
            }
        });
    }

    pub(crate) fn state(self) -> Signal<ViewerState> {
        self.state.into()
    }

    /// Counts sign-ins and sign-outs.
    pub(crate) fn changes(self) -> u32 {
        self.changes.get_untracked()
    }

    pub(crate) fn viewer(self) -> Option<Viewer> {
        match self.state.get() {
            ViewerState::SignedIn(viewer) => Some(viewer),
            ViewerState::Loading | ViewerState::Anonymous => None,
        }
    }

    /// The viewer at this moment, without tracking changes.
    pub(crate) fn viewer_now(self) -> Option<Viewer> {
        untrack(|| self.viewer())
    }

    /// Whether the viewer is this user.
    pub(crate) fn is(self, user: &Id) -> bool {
        self.state.with(
            |state| matches!(state, ViewerState::SignedIn(Viewer { user: Some(me), .. }) if me.id == *user),
        )
    }

    /// Calls `call` after every sign-in and sign-out while the current view is mounted.
    pub(crate) fn on_change(self, call: impl Fn() + 'static) {
        Effect::new(move |first: Option<()>| {
            self.changes.track();
            if first.is_some() {
                call();
            }
        });
    }

    pub(crate) async fn sign_in(self, credentials: CredentialVariables) -> Result<Viewer, ApiError> {
        requires_cookies()?;
        let Login { login } = api::run(Login::build(credentials)).await?;
        Ok(self.start(login.viewer))
    }

    pub(crate) async fn register(self, credentials: CredentialVariables) -> Result<Viewer, ApiError> {
        requires_cookies()?;
        let Register { register } = api::run(Register::build(credentials)).await?;
        Ok(self.start(register.viewer))
    }

    pub(crate) async fn sign_out(self, everywhere: bool) -> Result<(), ApiError> {
        api::run(Logout::build(LogoutVariables { everywhere })).await?;
        self.end();
        Ok(())
    }

    /// Ends the session after sign-out or deletion of the account.
    pub(crate) fn end(self) {
        api::store_session(false);
        self.set_state(ViewerState::Anonymous);
    }

    /// Applies a changed profile.
    pub(crate) fn update_user(self, user: Me) {
        self.state.update(|state| {
            if let ViewerState::SignedIn(viewer) = state {
                viewer.user = Some(user);
            }
        });
    }

    /// Runs `intent` now, or opens the sign-in dialog and runs it afterwards.
    pub(crate) fn require(self, purpose: Text, intent: impl Fn() + Send + Sync + 'static) {
        match self.state.get_untracked() {
            ViewerState::SignedIn(_) => intent(),
            ViewerState::Loading | ViewerState::Anonymous => self.intent.set(Some(Intent {
                purpose,
                run: Callback::new(move |()| intent()),
            })),
        }
    }

    /// The action that waits for sign-in; `None` while the session is loading.
    pub(crate) fn pending_intent(self) -> Option<Intent> {
        self.intent
            .get()
            .filter(|_| self.state.with(|state| *state == ViewerState::Anonymous))
    }

    fn run_intent(self) {
        if let Some(intent) = self.intent.try_update(Option::take).flatten() {
            intent.run.run(());
        }
    }

    pub(crate) fn dismiss(self) {
        self.intent.set(None);
    }

    fn start(self, viewer: Viewer) -> Viewer {
        api::store_session(true);
        self.set_state(ViewerState::SignedIn(viewer.clone()));
        self.run_intent();
        viewer
    }

    fn set_state(self, state: ViewerState) {
        self.state.set(state);
        self.changes.update(|changes| *changes += 1);
    }
}

/// The session that [`Session::provide`] put into the context.
pub(crate) fn session() -> Session {
    expect_context()
}

/// Fails if the browser blocks cookies, which sessions need.
fn requires_cookies() -> Result<(), ApiError> {
    let enabled = js_sys::Reflect::get(&window().navigator(), &"cookieEnabled".into());
    if enabled.is_ok_and(|enabled| enabled.is_falsy()) {
        return Err(ErrorCode::NoCookies.into());
    }
    Ok(())
}
