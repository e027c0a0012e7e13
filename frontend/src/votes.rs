//! Votes: shown immediately, one request at a time per photo, the last choice wins.

use std::collections::HashMap;

use contracts::Code;
use cynic::MutationBuilder;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::components::error_card::error_message;
use crate::components::notices::Notices;
use crate::session::Session;
use crate::{api, first_page};
use ui::format::number;
use ui::graphql::{Id, VoteChoice, VoteTally, schema};
use ui::language::{filled, text};

#[derive(cynic::QueryVariables)]
pub(crate) struct CastVoteVariables {
    pub(crate) photo_id: Id,
    pub(crate) vote: VoteChoice,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "CastVoteVariables")]
pub(crate) struct CastVote {
    #[arguments(photoId: $photo_id, vote: $vote)]
    cast_vote: CountedVotes,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo")]
struct CountedVotes {
    #[expect(dead_code, reason = "a later cache may want it")]
    id: Id,
    votes: Option<VoteTally>,
    viewer_vote: Option<VoteChoice>,
}

/// The votes on a photo: the server's state, the viewer's choice, and the pending request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VoteState {
    confirmed: VoteTally,
    confirmed_choice: VoteChoice,
    wanted: VoteChoice,
    in_flight: Option<VoteChoice>,
    /// The clock when a vote of the viewer was last confirmed.
    counted: VoteClock,
}

/// A logical clock: the number of votes confirmed since the page was loaded. Responses to requests from before a vote
/// must not undo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VoteClock(u32);

impl VoteState {
    pub(crate) fn new(tally: VoteTally, choice: VoteChoice) -> Self {
        Self {
            confirmed: tally,
            confirmed_choice: choice,
            wanted: choice,
            in_flight: None,
            counted: VoteClock::default(),
        }
    }

    /// The viewer's choice, also while it is not confirmed.
    pub(crate) fn choice(&self) -> VoteChoice {
        self.wanted
    }

    /// The score including the viewer's choice.
    fn score(&self) -> i32 {
        self.confirmed.score - weight(self.confirmed_choice) + weight(self.wanted)
    }

    /// The score in the current language.
    pub(crate) fn shown_score(&self) -> String {
        number(self.score())
    }

    /// Pressing the chosen arrow again clears the vote.
    fn press(&mut self, arrow: VoteChoice) {
        self.wanted = if self.wanted == arrow {
            VoteChoice::None
        } else {
            arrow
        };
    }

    /// The vote to send, if it is not confirmed and no request is pending.
    fn take_for_sending(&mut self) -> Option<VoteChoice> {
        if self.in_flight.is_some() || self.wanted == self.confirmed_choice {
            return None;
        }
        self.in_flight = Some(self.wanted);
        self.in_flight
    }

    /// Applies the server's state, as of a request sent at `asked_at`.
    fn apply_server_state(&mut self, tally: VoteTally, choice: VoteChoice, asked_at: VoteClock) {
        if asked_at < self.counted {
            return;
        }
        if self.in_flight.is_none() && self.wanted == self.confirmed_choice {
            self.wanted = choice;
        }
        self.confirmed = tally;
        self.confirmed_choice = choice;
    }

    /// The server has confirmed the vote.
    fn confirm(&mut self, tally: VoteTally, choice: VoteChoice, now: VoteClock) {
        self.counted = now;
        self.confirmed = tally;
        self.confirmed_choice = choice;
        self.in_flight = None;
    }

    /// The vote failed: restores the last state from the server.
    fn roll_back(&mut self) {
        self.wanted = self.confirmed_choice;
        self.in_flight = None;
    }
}

fn weight(choice: VoteChoice) -> i32 {
    match choice {
        VoteChoice::Up => 1,
        VoteChoice::Down => -1,
        VoteChoice::None => 0,
    }
}

/// The votes of all seen photos, shared by tiles and photo pages.
#[derive(Clone, Copy)]
pub(crate) struct VoteStates {
    by_photo: StoredValue<HashMap<Id, ArcRwSignal<VoteState>>>,
    /// Notified when votes of a further photo are known.
    arrival: Trigger,
    now: StoredValue<VoteClock>,
    session: Session,
    notices: Notices,
}

impl VoteStates {
    pub(crate) fn provide(session: Session, notices: Notices) {
        let vote_states = Self {
            by_photo: StoredValue::new(HashMap::new()),
            arrival: Trigger::new(),
            now: StoredValue::new(VoteClock::default()),
            session,
            notices,
        };
        provide_context(vote_states);
        if let Some((photo, arrow)) = first_page::take_pressed_vote() {
            vote_states.press(Id::new(photo), arrow);
        }
    }

    /// The current clock. Read it before sending a request whose response goes to [`VoteStates::receive`].
    pub(crate) fn clock(self) -> VoteClock {
        self.now.get_value()
    }

    /// Applies a response. Without a tally, the known state stays.
    pub(crate) fn receive(
        self,
        photo: &Id,
        tally: Option<VoteTally>,
        choice: Option<VoteChoice>,
        asked_at: VoteClock,
    ) {
        let Some(tally) = tally else { return };
        let choice = choice.unwrap_or(VoteChoice::None);
        if let Some(vote_state) = self.find(photo) {
            vote_state.update(|vote_state| vote_state.apply_server_state(tally, choice, asked_at));
            return;
        }
        let vote_state = ArcRwSignal::new(VoteState::new(tally, choice));
        self.by_photo.update_value(|vote_states| {
            vote_states.insert(photo.clone(), vote_state);
        });
        self.arrival.notify();
    }

    /// The votes of a photo, tracked; `None` while they are unknown.
    pub(crate) fn of(self, photo: &Id) -> Option<ArcRwSignal<VoteState>> {
        let vote_state = self.find(photo);
        if vote_state.is_none() {
            self.arrival.track();
        }
        vote_state
    }

    /// As [`VoteStates::of`], untracked.
    pub(crate) fn find(self, photo: &Id) -> Option<ArcRwSignal<VoteState>> {
        self.by_photo
            .with_value(|vote_states| vote_states.get(photo).cloned())
    }

    /// Handles a pressed arrow. Without a session it waits for sign-in.
    pub(crate) fn press(self, photo: Id, arrow: VoteChoice) {
        self.session.require(text!(account.to_vote), move || {
            let Some(vote_state) = self.find(&photo) else {
                return;
            };
            vote_state.update(|vote_state| vote_state.press(arrow));
            let shown = vote_state.get_untracked();
            self.notices.announce(announcement(&shown));
            self.send(photo.clone(), vote_state);
        });
    }

    fn send(self, photo: Id, vote_state: ArcRwSignal<VoteState>) {
        // Untracked, because nothing visible changes.
        let Some(vote) = vote_state
            .try_update_untracked(VoteState::take_for_sending)
            .flatten()
        else {
            return;
        };
        spawn_local(async move {
            let operation = CastVote::build(CastVoteVariables {
                photo_id: photo.clone(),
                vote,
            });
            match api::run(operation).await {
                Ok(CastVote {
                    cast_vote:
                        CountedVotes {
                            votes: Some(tally),
                            viewer_vote,
                            ..
                        },
                }) => {
                    self.now.update_value(|VoteClock(now)| *now += 1);
                    let (choice, now) = (viewer_vote.unwrap_or(VoteChoice::None), self.now.get_value());
                    vote_state.update(|vote_state| vote_state.confirm(tally, choice, now));
                    self.send(photo, vote_state);
                }
                Ok(_) => self.on_failure(photo, vote_state, Code::Unavailable.into()),
                Err(error) => self.on_failure(photo, vote_state, error),
            }
        });
    }

    fn on_failure(self, photo: Id, vote_state: ArcRwSignal<VoteState>, error: api::ApiError) {
        let wanted = vote_state.get_untracked().choice();
        vote_state.update(VoteState::roll_back);
        let text = filled!(vote.failed, why = error_message(&error).get());
        self.notices.offer_retry(text, move || {
            vote_state.update(|vote_state| vote_state.wanted = wanted);
            self.send(photo.clone(), vote_state.clone());
        });
    }
}

fn announcement(vote_state: &VoteState) -> String {
    let score = vote_state.shown_score();
    match vote_state.choice() {
        VoteChoice::Up => filled!(vote.upvoted, score = &score),
        VoteChoice::Down => filled!(vote.downvoted, score = &score),
        VoteChoice::None => filled!(vote.removed, score = &score),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: VoteChoice = VoteChoice::None;
    const UP: VoteChoice = VoteChoice::Up;
    const DOWN: VoteChoice = VoteChoice::Down;

    fn tally(up: i32, down: i32) -> VoteTally {
        VoteTally {
            up,
            down,
            score: up - down,
        }
    }

    #[test]
    fn a_press_is_counted_at_once_and_the_same_press_clears_it() {
        let mut vote_state = VoteState::new(tally(3, 1), NONE);
        vote_state.press(UP);
        assert_eq!((vote_state.choice(), vote_state.score()), (UP, 3));
        vote_state.press(DOWN);
        assert_eq!((vote_state.choice(), vote_state.score()), (DOWN, 1));
        vote_state.press(DOWN);
        assert_eq!((vote_state.choice(), vote_state.score()), (NONE, 2));
    }

    #[test]
    fn one_vote_is_in_flight_and_the_last_intent_follows_it() {
        let mut vote_state = VoteState::new(tally(0, 0), NONE);
        vote_state.press(UP);
        assert_eq!(vote_state.take_for_sending(), Some(UP));
        for _ in 0..9 {
            vote_state.press(DOWN);
            assert_eq!(vote_state.take_for_sending(), None);
        }
        vote_state.confirm(tally(1, 0), UP, VoteClock(1));
        assert_eq!((vote_state.choice(), vote_state.score()), (DOWN, -1));
        assert_eq!(vote_state.take_for_sending(), Some(DOWN));
        vote_state.confirm(tally(0, 1), DOWN, VoteClock(2));
        assert_eq!((vote_state.score(), vote_state.take_for_sending()), (-1, None));
    }

    #[test]
    fn a_failure_restores_the_servers_state() {
        let mut vote_state = VoteState::new(tally(5, 0), UP);
        vote_state.press(DOWN);
        assert_eq!(vote_state.take_for_sending(), Some(DOWN));
        vote_state.press(DOWN);
        vote_state.roll_back();
        assert_eq!(
            (
                vote_state.choice(),
                vote_state.score(),
                vote_state.take_for_sending()
            ),
            (UP, 5, None)
        );
    }

    #[test]
    fn updates_do_not_undo_a_pending_vote() {
        let mut vote_state = VoteState::new(tally(0, 0), NONE);
        vote_state.press(UP);
        vote_state.apply_server_state(tally(4, 0), NONE, VoteClock(0));
        assert_eq!((vote_state.choice(), vote_state.score()), (UP, 5));
        let mut untouched = VoteState::new(tally(0, 0), NONE);
        untouched.apply_server_state(tally(4, 0), UP, VoteClock(0));
        assert_eq!((untouched.choice(), untouched.score()), (UP, 4));
    }

    #[test]
    fn older_responses_do_not_undo_a_confirmed_vote() {
        let mut vote_state = VoteState::new(tally(0, 0), NONE);
        vote_state.press(UP);
        assert_eq!(vote_state.take_for_sending(), Some(UP));
        vote_state.confirm(tally(1, 0), UP, VoteClock(1));
        vote_state.apply_server_state(tally(0, 0), NONE, VoteClock(0));
        assert_eq!((vote_state.choice(), vote_state.score()), (UP, 1));
        vote_state.apply_server_state(tally(3, 0), UP, VoteClock(1));
        assert_eq!((vote_state.choice(), vote_state.score()), (UP, 3));
    }
}
