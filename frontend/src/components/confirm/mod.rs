//! A question before something that cannot be undone.

use leptos::prelude::*;

use crate::components::field::Attempt;
use crate::components::sheet::Sheet;

#[component]
pub(crate) fn Confirm(
    #[prop(into)] question: String,
    /// What it means.
    #[prop(into)]
    consequence: String,
    /// The verb on the button.
    #[prop(into)]
    yes: String,
    attempt: Attempt,
    #[prop(into)] on_yes: Callback<()>,
    #[prop(into)] on_no: Callback<()>,
) -> impl IntoView {
    view! {
        <Sheet label=question.clone() on_close=on_no>
            <h2>{question}</h2>
            <p>{consequence}</p>
            {attempt.any()}
            <div class="buttons">
                <button
                    class="button button-action button-danger"
                    aria-disabled=move || attempt.is_busy().then_some("true")
                    on:click=move |_| on_yes.run(())
                >
                    {yes}
                </button>
                <button class="button" on:click=move |_| on_no.run(())>
                    "Keep it"
                </button>
            </div>
        </Sheet>
    }
}
