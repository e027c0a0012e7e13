//! A confirmation dialog.

use leptos::prelude::*;

use crate::components::field::FormSubmission;
use crate::components::sheet::Sheet;
use ui::language::{Text, text};

#[component]
pub(crate) fn Confirm(
    question: Text,
    consequence: Text,
    /// The label of the confirming button.
    yes: Text,
    submission: FormSubmission,
    #[prop(into)] on_yes: Callback<()>,
    #[prop(into)] on_no: Callback<()>,
) -> impl IntoView {
    view! {
        <Sheet label=question on_close=on_no>
            <h2>{question}</h2>
            <p>{consequence}</p>
            {submission.error()}
            <div class="buttons">
                <button class="button" on:click=move |_| on_no.run(())>
                    {text!(photo.keep)}
                </button>
                <button
                    class="button button-action button-danger"
                    aria-disabled=move || submission.is_busy().then_some("true")
                    on:click=move |_| on_yes.run(())
                >
                    {yes}
                </button>
            </div>
        </Sheet>
    }
}
