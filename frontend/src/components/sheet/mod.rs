//! A modal dialog: the browser keeps the focus inside, and Escape closes it.

use leptos::html::Dialog;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

use crate::components::notices::NoticeBoard;
use crate::components::offline_banner::OfflineBanner;
use crate::navigation::focus;
use ui::components::icon::{IconName, icon};
use ui::language::{Text, text};

#[component]
pub(crate) fn Sheet(
    /// The accessible name.
    label: Text,
    /// Called on Escape, the close button, and a click outside.
    #[prop(into)]
    on_close: Callback<()>,
    /// An additional CSS class.
    #[prop(optional)]
    class: &'static str,
    children: Children,
) -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            // Fails only if the dialog is open or not in the document.
            let _ = dialog.show_modal();
        }
    });
    return_focus();
    let beside = move |event: web_sys::MouseEvent| {
        let target = event
            .target()
            .and_then(|target| target.dyn_into::<Element>().ok());
        if dialog
            .get_untracked()
            .is_some_and(|dialog| target.as_ref() == Some(dialog.as_ref()))
        {
            on_close.run(());
        }
    };
    view! {
        <dialog
            class=format!("sheet {class}")
            aria-label=label
            node_ref=dialog
            on:cancel=move |event: web_sys::Event| {
                event.prevent_default();
                on_close.run(());
            }
            on:click=beside
        >
            // The page behind is inert, so its notices are repeated here.
            <OfflineBanner/>
            <div class="sheet-body">
                {children()}
                // Last, so that the first focus is in the content.
                <button class="icon-button sheet-close" aria-label=text!(error.close) on:click=move |_| on_close.run(())>
                    {icon(IconName::Close)}
                </button>
                <NoticeBoard/>
            </div>
        </dialog>
    }
}

/// Restores the focus when the dialog is removed. Browsers do so only for a dialog that is closed first.
fn return_focus() {
    let before = document()
        .active_element()
        .and_then(|element| element.dyn_into::<HtmlElement>().ok())
        .map(SendWrapper::new);
    on_cleanup(move || {
        if let Some(before) = before {
            request_animation_frame(move || focus(&before));
        }
    });
}
