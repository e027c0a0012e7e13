//! How the order of Hot and Trending comes about, with the real formula.

use leptos::prelude::*;

use crate::components::heading::Heading;

#[component]
pub(crate) fn AboutRankingPage() -> impl IntoView {
    view! {
        <article class="page prose">
            <Heading title="How ranking works">"How ranking works"</Heading>
            <p>
                "Every photo has a score: the upvotes minus the downvotes. The higher score comes first. That is nearly all of it."
            </p>
            <h2>"Three timelines"</h2>
            <p>
                <strong>"Latest"</strong> " shows every photo, the newest first. Votes play no part."
            </p>
            <p>
                <strong>"Hot"</strong>
                " shows the photos that were published today, by score. Nothing decays: midnight (UTC, unless whoever runs this site chose another zone) starts an empty page, and the day that is over stays readable with its winner."
            </p>
            <p>
                <strong>"Trending"</strong> " shows all photos of all time, by score."
            </p>
            <h2>"When two photos have the same score"</h2>
            <p>
                "Then the share of upvotes decides, judged cautiously: ten upvotes against none say more than twenty against ten. We compare the lower bound of the Wilson interval,"
            </p>
            <p class="formula">
                <code>
                    "( p + z²/2n − z · √( p(1 − p)/n + z²/4n² ) ) / ( 1 + z²/n )"
                </code>
            </p>
            <p>
                "with " <code>"n"</code> " votes in all, the share " <code>"p"</code> " of them up, and " <code>"z = 1.28"</code>
                ". If that is equal too, the newer photo comes first."
            </p>
            <h2>"What plays no part"</h2>
            <p>
                "Who you are, what you looked at, how many follow you. Everybody sees the same order. One person has one vote on a photo, none on their own, and can change or clear it at any time."
            </p>
        </article>
    }
}
