//! The sign-in dialog. It opens when an action needs an account, and runs the action after sign-in.

use leptos::prelude::*;

use crate::components::credentials::{LoginForm, RegisterForm};
use crate::components::sheet::Sheet;
use crate::session::session;
use ui::language::text;

#[component]
pub(crate) fn SignInSheet() -> impl IntoView {
    let session = session();
    let registers = RwSignal::new(false);
    let purpose = Memo::new(move |_| session.pending_intent().map(|intent| intent.purpose));
    // Signing in has run the pending action; closing clears it.
    let done = move |_| session.dismiss();
    let forms = move || {
        if registers.get() {
            view! {
                <h2>{text!(account.create_heading)}</h2>
                <RegisterForm on_done=done/>
                <p>
                    {text!(account.have_one)} " " <button class="link" on:click=move |_| registers.set(false)>{text!(account.sign_in)}</button>
                </p>
            }
            .into_any()
        } else {
            view! {
                <h2>{move || purpose.get()}</h2>
                <LoginForm on_done=done/>
                <p>
                    {text!(account.new_here)} " " <button class="link" on:click=move |_| registers.set(true)>{text!(account.create_heading)}</button>
                </p>
            }
            .into_any()
        }
    };
    view! {
        <Show when=move || purpose.get().is_some()>
            <Sheet label=text!(account.sign_in) on_close=move |()| session.dismiss()>
                {forms}
            </Sheet>
        </Show>
    }
}
