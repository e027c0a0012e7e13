//! Waiting for what a page needs.

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

/// Fetches now, and again whenever a signal changes that `fetch` read before its future was made.
/// Leaving the page drops the future, which aborts the request. An earlier answer stays until the next one is here.
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
        // Boxed, so that the machinery of waiting is compiled once and not for every type.
        let waiting = async move { answer.set(Some(future.await)) }.boxed_local();
        spawn_local_scoped_with_cancellation(waiting);
    });
    Load { answer, again }
}

impl<T: Clone + Send + Sync + 'static> Load<T> {
    /// Shows the answer with `draw`, `waiting` before it is here, and a card with Retry in place of a failure.
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

    /// The answer or the failure.
    pub(crate) fn answer(self) -> RwSignal<Option<Result<T, ApiError>>> {
        self.answer
    }

    /// The answer, once it is here.
    pub(crate) fn get(self) -> Option<T> {
        self.answer
            .with(|answer| answer.as_ref().and_then(|answer| answer.as_ref().ok()).cloned())
    }

    /// Asks again, showing that it waits.
    pub(crate) fn retry(self) {
        self.answer.set(None);
        self.again.notify();
    }
}
