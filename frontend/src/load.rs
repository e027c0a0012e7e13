//! Fetching the data of a page.

use std::future::Future;

use futures::future::FutureExt;
use leptos::prelude::*;
use leptos::task::spawn_local_scoped_with_cancellation;

use crate::api::ApiError;
use crate::components::error_card::ErrorCard;

/// The state of a query: loading, loaded, or failed.
pub(crate) struct Load<T: Send + Sync + 'static> {
    answer: RwSignal<Option<Result<T, ApiError>>>,
    again: Trigger,
}

impl<T: Send + Sync + 'static> Clone for Load<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Load<T> {}

/// Fetches now, and again when a signal changes that `fetch` reads synchronously. Leaving the page aborts the request.
/// The previous result stays until the next one arrives.
pub(crate) fn load<T, F>(fetch: impl Fn() -> F + 'static) -> Load<T>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<T, ApiError>> + 'static,
{
    let answer = RwSignal::new(None);
    let again = Trigger::new();
    Effect::new(move || {
        again.track();
        let future = fetch();
        // Boxed, so that the future is compiled once and not for every type.
        let waiting = async move { answer.set(Some(future.await)) }.boxed_local();
        spawn_local_scoped_with_cancellation(waiting);
    });
    Load { answer, again }
}

impl<T: Clone + Send + Sync + 'static> Load<T> {
    /// Renders the result with `draw`, `waiting` while it is loading, and an error with a retry button.
    pub(crate) fn show(
        self,
        waiting: impl Fn() -> AnyView + Send + 'static,
        draw: impl Fn(T) -> AnyView + Send + 'static,
    ) -> impl IntoView {
        move || match self.answer.get() {
            None => waiting(),
            Some(Ok(value)) => draw(value),
            Some(Err(error)) => view! { <ErrorCard error retry=move || self.retry()/> }.into_any(),
        }
    }

    /// The result; `None` while loading.
    pub(crate) fn answer(self) -> RwSignal<Option<Result<T, ApiError>>> {
        self.answer
    }

    /// The loaded value, if there is one.
    pub(crate) fn get(self) -> Option<T> {
        self.answer
            .with(|answer| answer.as_ref().and_then(|answer| answer.as_ref().ok()).cloned())
    }

    /// Fetches again, and shows the loading state.
    pub(crate) fn retry(self) {
        self.answer.set(None);
        self.again.notify();
    }
}
