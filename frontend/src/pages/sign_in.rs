//! Signing in and joining, as pages of their own.

use leptos::prelude::*;

use crate::components::credentials::{LoginForm, RegisterForm};
use crate::components::heading::Heading;
use crate::navigation::Navigation;
use crate::route::{Route, Timeline};

#[component]
pub(crate) fn LoginPage(next: Option<String>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let register = Route::Register { next: next.clone() }.to_string();
    let done = move |_| navigation.replace(after(next.as_deref()));
    view! {
        <div class="page">
            <Heading title="Sign in">"Sign in"</Heading>
            <LoginForm on_done=done/>
            <p>"New here? " <a href=register>"Create an account"</a></p>
        </div>
    }
}

#[component]
pub(crate) fn RegisterPage(next: Option<String>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let login = Route::Login { next }.to_string();
    view! {
        <div class="page">
            <Heading title="Join">"Create an account"</Heading>
            <p>"With an account you can upload, vote and comment. Looking needs none."</p>
            <RegisterForm on_done=move |_| navigation.replace(Route::Welcome)/>
            <p>"You have one? " <a href=login>"Sign in"</a></p>
        </div>
    }
}

fn after(next: Option<&str>) -> Route {
    next.map_or(Timeline::Latest.into(), |path| Route::parse(path, ""))
}
