//! A banner while the browser is offline.

use leptos::ev;
use leptos::prelude::*;

use ui::language::text;

#[component]
pub(crate) fn OfflineBanner() -> impl IntoView {
    let online = RwSignal::new(window().navigator().on_line());
    let listeners = [
        window_event_listener(ev::online, move |_| online.set(true)),
        window_event_listener(ev::offline, move |_| online.set(false)),
    ];
    on_cleanup(move || listeners.into_iter().for_each(WindowListenerHandle::remove));
    view! {
        <div class="offline" role="status">
            <Show when=move || !online.get()>
                <p class="offline-banner">
                    {text!(error.offline)}
                </p>
            </Show>
        </div>
    }
}
