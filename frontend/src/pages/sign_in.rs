//! The sign-in and registration pages.

use leptos::prelude::*;

use crate::components::credentials::{LoginForm, RegisterForm};
use crate::components::heading::Heading;
use crate::navigation::Navigation;
use ui::language::text;
use ui::route::{Route, Timeline};

#[component]
pub(crate) fn LoginPage(next: Option<String>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let register = Route::Register { next: next.clone() }.to_string();
    let done = move |_| navigation.back_or_replace(destination(next.as_deref()));
    view! {
        <div class="page">
            <Heading title=text!(account.sign_in)>{text!(account.sign_in)}</Heading>
            <LoginForm on_done=done/>
            <p>{text!(account.new_here)} " " <a href=register>{text!(account.create_heading)}</a></p>
        </div>
    }
}

#[component]
pub(crate) fn RegisterPage(next: Option<String>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let login = Route::Login { next: next.clone() }.to_string();
    let done = move |_| navigation.replace(Route::Welcome { next: next.clone() });
    view! {
        <div class="page">
            <Heading title=text!(account.join)>{text!(account.create_heading)}</Heading>
            <p>{text!(account.why)}</p>
            <RegisterForm on_done=done/>
            <p>{text!(account.have_one)} " " <a href=login>{text!(account.sign_in)}</a></p>
        </div>
    }
}

fn destination(next: Option<&str>) -> Route {
    next.map_or(Timeline::Latest.into(), |path| Route::parse(path, ""))
}
