//! A modal dialog: the browser keeps the focus inside, and Escape closes it.

use leptos::html::Dialog;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

use crate::components::icon::{Glyph, Icon};
use crate::components::notices::NoticeBoard;
use crate::components::offline_banner::OfflineBanner;
use crate::language::{Text, text};
use crate::navigation::focus;

#[component]
pub(crate) fn Sheet(
    /// Its name, for those who cannot see it.
    label: Text,
    /// Asked by Escape, by the button, and by a click beside it.
    #[prop(into)]
    on_close: Callback<()>,
    /// Another class, for a sheet with another shape.
    #[prop(optional)]
    class: &'static str,
    children: Children,
) -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            // It fails only for a dialog that is open or not in the page.
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
            // Announcements of the page are not reachable while the sheet is open.
            <OfflineBanner/>
            <div class="sheet-body">
                {children()}
                // Last, so that the focus begins with what the sheet is for.
                <button class="icon-button sheet-close" aria-label=text!(error.close) on:click=move |_| on_close.run(())>
                    <Glyph icon=Icon::Close/>
                </button>
                <NoticeBoard/>
            </div>
        </dialog>
    }
}

/// Gives the focus back to where it was, once the sheet is gone: the browser does so only for one that is closed and
/// kept.
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
