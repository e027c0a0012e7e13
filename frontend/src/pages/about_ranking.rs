//! Explains the ranking of Hot and Trending with its formula.

use leptos::prelude::*;

use crate::components::heading::Heading;
use ui::language::text;

/// Not translated.
const FORMULA: &str = "( p + z²/2n − z · √( p(1 − p)/n + z²/4n² ) ) / ( 1 + z²/n )";
const VOTES_SYMBOL: &str = "n";
const SHARE_SYMBOL: &str = "p";

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
                {text!(ranking.ties_text)}
            </p>
            <p class="formula">
                <code>
                    {FORMULA}
                </code>
            </p>
            <p>
                {text!(ranking.with)} " " <code>{VOTES_SYMBOL}</code> " " {text!(ranking.votes_in_all)} " " <code>{SHARE_SYMBOL}</code> " "
                {text!(ranking.of_them_up)} " " <code>{text!(ranking.z)}</code> {text!(ranking.then_newer)}
            </p>
            <h2>{text!(ranking.no_part)}</h2>
            <p>
                {text!(ranking.no_part_text)}
            </p>
        </article>
    }
}
