//! The comments on a photo, and the form for new ones.

use contracts::limits::MAX_COMMENT_LENGTH;
use leptos::html::{Li, Textarea};
use leptos::prelude::*;
use linkify::{LinkFinder, LinkKind};
use wasm_bindgen::JsCast;

use crate::components::byline::{Author, RelativeTime};
use crate::components::error_card::error_message;
use crate::components::field::FormSubmission;
use crate::components::notices::Notices;
use crate::conversation::{CommentItem, Conversation, SendState, Thread};
use crate::navigation::{Navigation, focus, is_focus_lost};
use crate::session::session;
use crate::storage;
use ui::format::number;
use ui::language::{Text, filled, text};

#[component]
pub(crate) fn Comments(conversation: Conversation) -> impl IntoView {
    let submission = FormSubmission::new();
    let photo = conversation.photo();
    let wants_comment = expect_context::<Navigation>().take_comment_request();
    view! {
        <section class="comments" aria-labelledby="comments-heading">
            <h2 class="comments-heading" id="comments-heading" tabindex="-1">
                {text!(comment.heading)}
                " "
                <span class="quiet">{move || number(conversation.count())}</span>
            </h2>
            <Composer
                id="new-comment"
                label=text!(comment.yours)
                draft=format!("draft:{}", photo.inner())
                focused=wants_comment
                on_send=move |body| conversation.post(body, None)
            />
            <Show when=move || conversation.threads().is_empty()>
                <p class="quiet">{text!(comment.none)}</p>
            </Show>
            <ol class="threads">
                <For each=move || conversation.threads() key=|thread| thread.head.key.clone() let:thread>
                    <ThreadView conversation thread/>
                </For>
            </ol>
            {submission.error()}
            <Show when=move || conversation.has_more()>
                <button class="button" on:click=move |_| submission.submit(conversation.load_more(), |()| ())>
                    {text!(comment.more)}
                </button>
            </Show>
        </section>
    }
}

#[component]
fn ThreadView(conversation: Conversation, thread: Thread) -> impl IntoView {
    let replying = RwSignal::new(false);
    let submission = FormSubmission::new();
    let head = thread.head.key.inner().to_owned();
    let replies = thread.replies.clone();
    let has_more = {
        let thread = thread.clone();
        move || thread.has_more_replies()
    };
    let thread = StoredValue::new(thread);
    let composer = move || {
        let draft = format!("draft:{}:{head}", conversation.photo().inner());
        replying.get().then(|| {
            view! {
                <Composer
                    id=format!("reply-{head}")
                    label=text!(comment.your_reply)
                    draft
                    focused=true
                    on_send=move |body| {
                        replying.set(false);
                        conversation.post(body, Some(thread.get_value()));
                    }
                    on_cancel=move |()| replying.set(false)
                />
            }
        })
    };
    view! {
        <CommentView conversation comment_item=thread.get_value().head on_reply=Callback::new(move |()| replying.set(true))>
            <ol class="replies">
                <For each=move || replies.get() key=|reply| reply.key.clone() let:reply>
                    <CommentView conversation comment_item=reply reply_to=thread.get_value().head>
                        ""
                    </CommentView>
                </For>
            </ol>
            {submission.error()}
            <Show when=has_more>
                <button
                    class="link"
                    on:click=move |_| submission.submit(conversation.load_more_replies(thread.get_value()), |()| ())
                >
                    {text!(comment.more_replies)}
                </button>
            </Show>
            {composer}
        </CommentView>
    }
}

#[component]
fn CommentView(
    conversation: Conversation,
    comment_item: CommentItem,
    /// The comment that this one replies to.
    #[prop(optional)]
    reply_to: Option<CommentItem>,
    #[prop(optional)] on_reply: Option<Callback<()>>,
    children: Children,
) -> impl IntoView {
    let item = NodeRef::<Li>::new();
    let editing = RwSignal::new(false);
    let submission = FormSubmission::new();
    let CommentItem {
        key,
        comment,
        send_state,
    } = comment_item.clone();
    let comment_item = StoredValue::new(comment_item);
    let reply_to = StoredValue::new(reply_to);
    let focus_item = move || {
        if let Some(item) = item.get_untracked() {
            focus(&item);
        }
    };
    // Moves the focus to a comment that was posted, deleted or restored.
    Effect::new({
        let send_state = send_state.clone();
        move |before: Option<SendState>| {
            let now = send_state.get();
            let has_changed = before.is_some_and(|before| before != now);
            if has_changed && matches!(now, SendState::Posted | SendState::Deleting) {
                focus_item();
            }
            now
        }
    });
    on_cleanup(|| {
        request_animation_frame(|| {
            let heading = document().get_element_by_id("comments-heading");
            if is_focus_lost()
                && let Some(heading) = heading.and_then(|heading| heading.dyn_into().ok())
            {
                focus(&heading);
            }
        });
    });
    let is_sending = {
        let send_state = send_state.clone();
        move || send_state.with(|send_state| matches!(send_state, SendState::Sending | SendState::Failed(_)))
    };
    let text = {
        let comment = comment.clone();
        let send_state = send_state.clone();
        let is_deleted =
            Memo::new(move |_| matches!(send_state.get(), SendState::Deleting | SendState::Deleted));
        move || {
            let text = comment.get();
            if text.deleted || is_deleted.get() {
                return view! { <p class="quiet">{text!(comment.deleted)}</p> }.into_any();
            }
            if editing.get() {
                return view! {
                    <Composer
                        id=format!("edit-{}", text.id.inner())
                        label=text!(comment.edit_yours)
                        action=text!(photo.save)
                        draft=format!("draft:edit:{}", text.id.inner())
                        initial=text.body
                        focused=true
                        on_send=move |body| {
                            submission.submit(conversation.edit(comment_item.get_value(), body), move |()| {
                                editing.set(false);
                                request_animation_frame(focus_item);
                            });
                        }
                        on_cancel=move |()| editing.set(false)
                    />
                }
                .into_any();
            }
            let edited = text
                .edited_at
                .map(|_| view! { <span class="quiet">{text!(comment.edited)}</span> });
            view! {
                <p class="comment-byline">
                    <Author author=text.author/>
                    " "
                    <RelativeTime at=text.created_at/>
                    " "
                    {edited}
                </p>
                <p class="comment-body" dir="auto">{linkify(&text.body)}</p>
            }
            .into_any()
        }
    };
    let actions = move || {
        let text = comment.get();
        match send_state.get() {
            SendState::Sending => view! { <span class="quiet">{text!(comment.sending)}</span> }.into_any(),
            SendState::Failed(error) => {
                let again = move || {
                    let reply_to = reply_to
                        .get_value()
                        .map(|head| head.comment.with_untracked(|head| head.id.clone()));
                    session().require(text!(account.to_comment), move || conversation.send(comment_item.get_value(), reply_to.clone()));
                };
                view! {
                    <span class="form-error">{error_message(&error)}</span>
                    <button class="link" on:click=move |_| again()>{text!(error.retry)}</button>
                    <button class="link" on:click=move |_| conversation.remove_item(&comment_item.get_value())>{text!(comment.discard)}</button>
                }
                .into_any()
            }
            SendState::Deleting => view! {
                <button class="link" on:click=move |_| conversation.undo_deletion(&comment_item.get_value())>{text!(comment.undo)}</button>
            }
            .into_any(),
            SendState::Deleted => ().into_any(),
            SendState::Posted if editing.get() => ().into_any(),
            SendState::Posted => {
                let reply = on_reply.filter(|_| !text.deleted);
                view! {
                    {reply.map(|reply| view! { <button class="link" on:click=move |_| reply.run(())>{text!(comment.reply)}</button> })}
                    {conversation
                        .may_edit(&text)
                        .then(|| view! { <button class="link" on:click=move |_| editing.set(true)>{text!(comment.edit)}</button> })}
                    {conversation
                        .may_delete(&text)
                        .then(|| {
                            view! {
                                <button class="link" on:click=move |_| conversation.delete(comment_item.get_value())>
                                    {text!(comment.delete)}
                                </button>
                            }
                        })}
                }
                .into_any()
            }
        }
    };
    view! {
        <li class="comment" class:is-sending=is_sending id=format!("comment-{}", key.inner()) tabindex="-1" node_ref=item>
            {text}
            <div class="comment-actions">{actions}</div>
            {submission.error()}
            {children()}
        </li>
    }
}

/// The length that the comment service counts: the characters of the NFC form, or 0 for invisible text.
fn stored_length(text: &str) -> usize {
    const VISIBLE: &str = r"[^\s\p{Default_Ignorable_Code_Point}\p{Cf}\p{Mn}\p{Me}\u2800\uFFFC]";
    let text = text.trim();
    if !js_sys::RegExp::new(VISIBLE, "u").test(text) {
        return 0;
    }
    String::from(js_sys::JsString::from(text).normalize("NFC"))
        .chars()
        .count()
}

#[component]
fn Composer(
    #[prop(into)] id: String,
    label: Text,
    /// The label of the button.
    #[prop(default = text!(comment.send))]
    action: Text,
    /// The storage key of an unfinished text.
    draft: String,
    #[prop(optional, into)] initial: String,
    #[prop(optional)] focused: bool,
    #[prop(into)] on_send: Callback<String>,
    #[prop(optional, into)] on_cancel: Option<Callback<()>>,
) -> impl IntoView {
    let area = NodeRef::<Textarea>::new();
    let kept = storage::read(storage::tab().as_ref(), &draft);
    let text = RwSignal::new(kept.unwrap_or(initial));
    let session = session();
    let draft = StoredValue::new(draft);
    let keep = move |value: Option<&str>| {
        draft.with_value(|draft| storage::write(storage::tab().as_ref(), draft, value));
    };
    let length = move || text.with(|text| stored_length(text));
    let is_too_long = move || length() > MAX_COMMENT_LENGTH;
    let too_long = move || {
        is_too_long().then(|| {
            filled!(
                comment.too_long,
                count = &format_count(length() - MAX_COMMENT_LENGTH)
            )
        })
    };
    let notices = expect_context::<Notices>();
    let send = move || {
        let body = text.get_untracked().trim().to_owned();
        if let Some(why) = untrack(too_long) {
            // The text stays, and the reason is announced to screen readers.
            notices.announce(why);
            if let Some(area) = area.get_untracked() {
                focus(&area);
            }
            return;
        }
        if untrack(length) == 0 {
            return;
        }
        session.require(text!(account.to_comment), move || {
            on_send.run(body.clone());
            text.try_set(String::new());
            draft.try_with_value(|draft| storage::write(storage::tab().as_ref(), draft, None));
        });
    };
    let on_key = move |event: web_sys::KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            send();
        }
    };
    Effect::new(move || {
        if let Some(area) = area.get()
            && focused
        {
            focus(&area);
        }
    });
    view! {
        <form
            class="composer"
            on:submit=move |event| {
                event.prevent_default();
                send();
            }
        >
            <label class="visually-hidden" for=id.clone()>
                {label}
            </label>
            <textarea
                id=id.clone()
                rows="2"
                dir="auto"
                placeholder=label
                node_ref=area
                aria-describedby=format!("{id}-error")
                aria-invalid=move || is_too_long().then_some("true")
                prop:value=move || text.get()
                on:input:target=move |event| {
                    let value = event.target().value();
                    keep(Some(&value).filter(|value| !value.is_empty()).map(String::as_str));
                    text.set(value);
                }
                on:keydown=on_key
            ></textarea>
            <p class="field-error" id=format!("{id}-error")>
                {too_long}
            </p>
            <div class="composer-actions">
                <button
                    class="button button-action"
                    type="submit"
                    aria-disabled=move || (length() == 0 || is_too_long()).then_some("true")
                >
                    {action}
                </button>
                {on_cancel
                    .map(|cancel| {
                        view! {
                            <button
                                class="button"
                                type="button"
                                on:click=move |_| {
                                    keep(None);
                                    cancel.run(());
                                }
                            >
                                {text!(comment.cancel)}
                            </button>
                        }
                    })}
                <span class="composer-count quiet" class:form-error=is_too_long>
                    {move || format!("{} / {}", format_count(length()), format_count(MAX_COMMENT_LENGTH))}
                </span>
            </div>
        </form>
    }
}

/// Formats a length in the current language.
fn format_count(length: usize) -> String {
    number(i32::try_from(length).unwrap_or(i32::MAX))
}

/// Converts URLs in plain text to links without referrer and ranking.
fn linkify(body: &str) -> Vec<AnyView> {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let view = |span: linkify::Span<'_>| {
        let text = span.as_str().to_owned();
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        if span.kind().is_some() && is_web {
            let address = text.clone();
            view! { <a href=address target="_blank" rel="noopener noreferrer nofollow ugc">{text}</a> }
                .into_any()
        } else {
            text.into_any()
        }
    };
    finder.spans(body).map(view).collect()
}
