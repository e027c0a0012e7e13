//! The profile of a user with their photos.

use contracts::Code;
use cynic::QueryBuilder;
use leptos::prelude::*;

use crate::api::{self, ApiError, ErrorCode};
use crate::components::byline::RelativeTime;
use crate::components::heading::Heading;
use crate::components::photo_grid::PhotoGrid;
use crate::feed::{PageRequest, PhotoPage};
use crate::load::load;
use crate::pages::timeline::open_feed;
use crate::pages::welcome::{ByUsername, ByUsernameFields};
use crate::session::session;
use ui::graphql::{DateTime, Id, schema};
use ui::language::{filled, text};
use ui::route::{Route, Timeline};

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "ByUsername")]
pub(crate) struct ProfileByUsername {
    #[arguments(username: $username)]
    user: Option<Person>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "User")]
struct Person {
    id: Id,
    username: String,
    display_name: String,
    bio: Option<String>,
    joined_at: DateTime,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct PhotosOfVariables {
    pub(crate) username: String,
    pub(crate) first: i32,
    pub(crate) after: Option<String>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "PhotosOfVariables")]
pub(crate) struct PhotosOf {
    #[arguments(username: $username)]
    user: Option<Photographer>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "User", variables = "PhotosOfVariables")]
struct Photographer {
    #[arguments(first: $first, after: $after)]
    photos: Option<PhotoPage>,
}

impl PhotosOf {
    pub(crate) async fn fetch(
        username: String,
        PageRequest { first, after }: PageRequest,
    ) -> Result<PhotoPage, ApiError> {
        let answer = api::run(Self::build(PhotosOfVariables {
            username,
            first,
            after,
        }))
        .await?;
        answer
            .user
            .ok_or(Code::NotFound)?
            .photos
            .ok_or_else(|| ErrorCode::Response(Code::Unavailable).into())
    }
}

#[component]
pub(crate) fn ProfilePage(username: String) -> impl IntoView {
    let asked = username.clone();
    let person = load(move || {
        let variables = ByUsername {
            username: asked.clone(),
        };
        async { Ok(api::run(ProfileByUsername::build(variables)).await?.user) }
    });
    let waiting = || view! { <div class="profile-head"></div> }.into_any();
    person.show(waiting, move |person| match person {
        Some(person) => view! { <PersonView person/> }.into_any(),
        None => view! {
            <div class="page">
                <Heading title=text!(profile.not_found)>{text!(profile.no_user)}</Heading>
                <p>{text!(profile.no_user_text)}</p>
                <p>
                    <a href=Timeline::Latest.to_string()>{text!(photo.see_latest)}</a>
                </p>
            </div>
        }
        .into_any(),
    })
}

#[component]
fn PersonView(person: Person) -> impl IntoView {
    let session = session();
    let Person {
        id,
        username,
        display_name,
        bio,
        joined_at,
    } = person;
    let feed = open_feed(&Timeline::Person(username.clone()));
    let is_me = Memo::new(move |_| session.is(&id));
    let name = display_name.clone();
    let label = Signal::derive(move || filled!(profile.photos_by, name = &name));
    let empty = move || {
        if is_me.get() {
            view! {
                <p class="empty">
                    {text!(profile.yours_empty)} " " <a href=Route::Upload.to_string()>{text!(timeline.upload_first)}</a>
                </p>
            }
            .into_any()
        } else {
            view! { <p class="empty">{text!(timeline.none)}</p> }.into_any()
        }
    };
    view! {
        <div class="profile-head">
            <Heading title=display_name.clone()>{display_name.clone()}</Heading>
            <p class="quiet">"@" {username} " · " {text!(profile.joined)} " " <RelativeTime at=joined_at/></p>
            {bio.map(|bio| view! { <p class="profile-bio" dir="auto">{bio}</p> })}
            <Show when=move || is_me.get()>
                <p class="buttons">
                    <a class="button" href=Route::Settings.to_string()>{text!(settings.heading)}</a>
                </p>
            </Show>
        </div>
        <PhotoGrid feed label ranked=false empty/>
    }
}
