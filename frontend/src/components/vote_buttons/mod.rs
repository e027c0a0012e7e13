//! Two toggle buttons around the score.

use leptos::prelude::*;

use crate::session::session;
use crate::votes::{VoteState, VoteStates};
use ui::components::icon::{IconName, icon};
use ui::graphql::{Byline, Id, VoteChoice};
use ui::language::{filled, text};

#[component]
pub(crate) fn VoteButtons(photo: Id, title: String, author: Option<Byline>) -> impl IntoView {
    let vote_states = expect_context::<VoteStates>();
    // Nothing is shown until the votes are known.
    move || {
        vote_states.of(&photo).map(|vote_state| {
            let (photo, title, author) = (photo.clone(), title.clone(), author.clone());
            view! { <Buttons vote_state photo title author/> }
        })
    }
}

#[component]
fn Buttons(
    vote_state: ArcRwSignal<VoteState>,
    photo: Id,
    title: String,
    author: Option<Byline>,
) -> impl IntoView {
    let vote_states = expect_context::<VoteStates>();
    let session = session();
    let score = {
        let vote_state = vote_state.clone();
        move || vote_state.with(VoteState::shown_score)
    };
    let button = move |arrow: VoteChoice| {
        let (shape, name, class) = match arrow {
            VoteChoice::Up => (IconName::Up, text!(vote.up), "vote vote-up"),
            VoteChoice::Down | VoteChoice::None => (IconName::Down, text!(vote.down), "vote vote-down"),
        };
        let (photo, vote_state) = (photo.clone(), vote_state.clone());
        view! {
            <button
                class=class
                aria-label=name
                title=name
                aria-pressed=move || if vote_state.with(VoteState::choice) == arrow { "true" } else { "false" }
                on:click=move |_| vote_states.press(photo.clone(), arrow)
            >
                {icon(shape)}
            </button>
        }
    };
    let score_view = move || {
        view! {
            <span class="score">
                <span class="visually-hidden">{text!(vote.score)} " "</span>
                {score.clone()}
            </span>
        }
    };
    let is_own = Memo::new(move |_| author.as_ref().is_some_and(|author| session.is(&author.id)));
    let label = Signal::derive(move || filled!(vote.on, title = &title));
    move || {
        if is_own.get() {
            view! { <p class="votes votes-own" title=text!(vote.own)>{score_view()}</p> }.into_any()
        } else {
            view! {
                <div class="votes" role="group" aria-label=label>
                    {button(VoteChoice::Up)}
                    {score_view()}
                    {button(VoteChoice::Down)}
                </div>
            }
            .into_any()
        }
    }
}
