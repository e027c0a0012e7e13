//! Two toggle buttons around the score.

use leptos::prelude::*;

use crate::components::icon::{Glyph, Icon};
use crate::graphql::{Byline, Id, VoteChoice};
use crate::language::{filled, text};
use crate::session::session;
use crate::votes::{Ballot, Ballots};

#[component]
pub(crate) fn VoteButtons(photo: Id, title: String, author: Option<Byline>) -> impl IntoView {
    let ballots = expect_context::<Ballots>();
    // While the vote service is away there is nothing to show; the buttons come when it answers.
    move || {
        ballots.of(&photo).map(|ballot| {
            let (photo, title, author) = (photo.clone(), title.clone(), author.clone());
            view! { <Buttons ballot photo title author/> }
        })
    }
}

#[component]
fn Buttons(ballot: ArcRwSignal<Ballot>, photo: Id, title: String, author: Option<Byline>) -> impl IntoView {
    let ballots = expect_context::<Ballots>();
    let session = session();
    let score = {
        let ballot = ballot.clone();
        move || ballot.with(Ballot::shown_score)
    };
    let button = move |arrow: VoteChoice| {
        let (icon, name, class) = match arrow {
            VoteChoice::Up => (Icon::Up, text!(vote.up), "vote vote-up"),
            VoteChoice::Down | VoteChoice::None => (Icon::Down, text!(vote.down), "vote vote-down"),
        };
        let (photo, ballot) = (photo.clone(), ballot.clone());
        view! {
            <button
                class=class
                aria-label=name
                title=name
                aria-pressed=move || if ballot.with(Ballot::choice) == arrow { "true" } else { "false" }
                on:click=move |_| ballots.press(photo.clone(), arrow)
            >
                <Glyph icon/>
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
