//! The live region for announcements, and messages with a retry button.

use leptos::prelude::*;

use ui::components::icon::{IconName, icon};
use ui::language::text;

#[derive(Clone, Copy)]
pub(crate) struct Notices {
    announcement: RwSignal<String>,
    offers: RwSignal<Vec<RetryOffer>>,
    next: StoredValue<u32>,
}

#[derive(Clone)]
struct RetryOffer {
    key: u32,
    text: String,
    retry: Callback<()>,
}

impl Notices {
    pub(crate) fn provide() -> Self {
        let notices = Self {
            announcement: RwSignal::new(String::new()),
            offers: RwSignal::new(Vec::new()),
            next: StoredValue::new(0),
        };
        provide_context(notices);
        notices
    }

    /// Announces a text to screen readers.
    pub(crate) fn announce(self, text: impl Into<String>) {
        self.announcement.set(text.into());
    }

    /// Shows an error message with a retry button.
    pub(crate) fn offer_retry(self, text: impl Into<String>, retry: impl Fn() + Send + Sync + 'static) {
        let text = text.into();
        let key = self.next.get_value();
        self.next.set_value(key + 1);
        self.announce(text.clone());
        self.offers.update(|offers| {
            offers.push(RetryOffer {
                key,
                text,
                retry: Callback::new(move |()| retry()),
            });
        });
    }

    fn dismiss(self, key: u32) {
        self.offers
            .update(|offers| offers.retain(|offer| offer.key != key));
    }
}

#[component]
pub(crate) fn NoticeBoard() -> impl IntoView {
    let notices = expect_context::<Notices>();
    view! {
        <div class="visually-hidden" role="status" aria-live="polite">
            {move || notices.announcement.get()}
        </div>
        <div class="notices">
            <For each=move || notices.offers.get() key=|offer| offer.key let:offer>
                <div class="notice">
                    <p>{offer.text}</p>
                    <button
                        class="button"
                        on:click=move |_| {
                            notices.dismiss(offer.key);
                            offer.retry.run(());
                        }
                    >
                        {text!(error.retry)}
                    </button>
                    <button class="icon-button" aria-label=text!(error.dismiss) on:click=move |_| notices.dismiss(offer.key)>
                        {icon(IconName::Close)}
                    </button>
                </div>
            </For>
        </div>
    }
}
