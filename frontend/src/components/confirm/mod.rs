//! A question before something that cannot be undone.

use leptos::prelude::*;

use crate::components::field::Attempt;
use crate::components::sheet::Sheet;
use crate::language::{Text, text};

#[component]
pub(crate) fn Confirm(
    question: Text,
    consequence: Text,
    /// The verb on the button.
    yes: Text,
    attempt: Attempt,
    #[prop(into)] on_yes: Callback<()>,
    #[prop(into)] on_no: Callback<()>,
) -> impl IntoView {
    view! {
        <Sheet label=question on_close=on_no>
            <h2>{question}</h2>
            <p>{consequence}</p>
            {attempt.any()}
            <div class="buttons">
                <button class="button" on:click=move |_| on_no.run(())>
                    {text!(photo.keep)}
                </button>
                <button
                    class="button button-action button-danger"
                    aria-disabled=move || attempt.is_busy().then_some("true")
                    on:click=move |_| on_yes.run(())
                >
                    {yes}
                </button>
            </div>
        </Sheet>
    }
}
