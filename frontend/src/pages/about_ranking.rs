//! How the order of Hot and Trending comes about, with the real formula.

use leptos::prelude::*;

use crate::components::heading::Heading;
use crate::language::text;

/// Mathematics is the same in every language.
const FORMULA: &str = "( p + z²/2n − z · √( p(1 − p)/n + z²/4n² ) ) / ( 1 + z²/n )";
const VOTES: &str = "n";
const SHARE: &str = "p";

#[component]
pub(crate) fn AboutRankingPage() -> impl IntoView {
    view! {
        <article class="page prose">
            <Heading title=text!(app.how_ranking_works)>{text!(app.how_ranking_works)}</Heading>
            <p>
                {text!(ranking.score)}
            </p>
            <h2>{text!(ranking.timelines)}</h2>
            <p>
                <strong>{text!(timeline.latest)}</strong> " " {text!(ranking.latest)}
            </p>
            <p>
                <strong>{text!(timeline.hot)}</strong>
                " " {text!(ranking.hot)}
            </p>
            <p>
                <strong>{text!(timeline.trending)}</strong> " " {text!(ranking.trending)}
            </p>
            <h2>{text!(ranking.ties)}</h2>
            <p>
                {text!(ranking.ties_words)}
            </p>
            <p class="formula">
                <code>
                    {FORMULA}
                </code>
            </p>
            <p>
                {text!(ranking.with)} " " <code>{VOTES}</code> " " {text!(ranking.votes_in_all)} " " <code>{SHARE}</code> " "
                {text!(ranking.of_them_up)} " " <code>{text!(ranking.z)}</code> {text!(ranking.then_newer)}
            </p>
            <h2>{text!(ranking.no_part)}</h2>
            <p>
                {text!(ranking.no_part_words)}
            </p>
        </article>
    }
}
