//! Votes: painted in the same frame, one request in flight for each photo, the last intent wins.

use std::collections::HashMap;

use cynic::MutationBuilder;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::components::error_card::words;
use crate::components::notices::Notices;
use crate::graphql::{Id, VoteChoice, VoteTally, schema};
use crate::language::{filled, number, text};
use crate::session::Session;
use crate::{api, first_page};

#[derive(cynic::QueryVariables)]
pub(crate) struct CastVoteVariables {
    pub(crate) photo_id: Id,
    pub(crate) vote: VoteChoice,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "CastVoteVariables")]
pub(crate) struct CastVote {
    #[arguments(photoId: $photo_id, vote: $vote)]
    cast_vote: Counted,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo")]
struct Counted {
    #[expect(dead_code, reason = "a later cache may want it")]
    id: Id,
    votes: Option<VoteTally>,
    viewer_vote: Option<VoteChoice>,
}

/// One photo's votes: what the server last said, what the viewer wants, and what is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ballot {
    settled: VoteTally,
    settled_choice: VoteChoice,
    wanted: VoteChoice,
    in_flight: Option<VoteChoice>,
    /// When a vote of the viewer was last counted.
    counted: Asked,
}

/// When a question was sent, measured in votes counted since the page was loaded: an answer to an older question does
/// not know of a newer vote, and must not undo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked(u32);

impl Ballot {
    pub(crate) fn new(tally: VoteTally, choice: VoteChoice) -> Self {
        Self {
            settled: tally,
            settled_choice: choice,
            wanted: choice,
            in_flight: None,
            counted: Asked::default(),
        }
    }

    /// The viewer's choice, also while it is not confirmed.
    pub(crate) fn choice(&self) -> VoteChoice {
        self.wanted
    }

    /// The score as it will be once the choice is counted.
    fn score(&self) -> i32 {
        self.settled.score - weight(self.settled_choice) + weight(self.wanted)
    }

    /// The score as the language writes numbers.
    pub(crate) fn shown_score(&self) -> String {
        number(self.score())
    }

    /// Pressing the arrow that is chosen already clears the vote.
    fn press(&mut self, arrow: VoteChoice) {
        self.wanted = if self.wanted == arrow {
            VoteChoice::None
        } else {
            arrow
        };
    }

    /// The vote to send now, if one has to be sent and none is on its way.
    fn take_for_sending(&mut self) -> Option<VoteChoice> {
        if self.in_flight.is_some() || self.wanted == self.settled_choice {
            return None;
        }
        self.in_flight = Some(self.wanted);
        self.in_flight
    }

    /// The server's own count, with or without an answer to a vote on its way.
    fn settle(&mut self, tally: VoteTally, choice: VoteChoice, asked: Asked) {
        if asked < self.counted {
            return;
        }
        if self.in_flight.is_none() && self.wanted == self.settled_choice {
            self.wanted = choice;
        }
        self.settled = tally;
        self.settled_choice = choice;
    }

    /// The server has confirmed the vote.
    fn count(&mut self, tally: VoteTally, choice: VoteChoice, now: Asked) {
        self.counted = now;
        self.settled = tally;
        self.settled_choice = choice;
        self.in_flight = None;
    }

    /// The vote failed: restores the last state from the server.
    fn roll_back(&mut self) {
        self.wanted = self.settled_choice;
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

/// The ballots of all photos seen, so that a tile and the page of the same photo agree.
#[derive(Clone, Copy)]
pub(crate) struct Ballots {
    by_photo: StoredValue<HashMap<Id, ArcRwSignal<Ballot>>>,
    /// Notified when votes of a further photo are known.
    arrival: Trigger,
    now: StoredValue<Asked>,
    session: Session,
    notices: Notices,
}

impl Ballots {
    pub(crate) fn provide(session: Session, notices: Notices) {
        let ballots = Self {
            by_photo: StoredValue::new(HashMap::new()),
            arrival: Trigger::new(),
            now: StoredValue::new(Asked::default()),
            session,
            notices,
        };
        provide_context(ballots);
        if let Some((photo, arrow)) = first_page::pressed() {
            ballots.press(Id::new(photo), arrow);
        }
    }

    /// To be noted before a question is sent whose answer goes to [`Ballots::receive`].
    pub(crate) fn asking(self) -> Asked {
        self.now.get_value()
    }

    /// Takes in what a page was told; a photo whose votes cannot be had keeps what is known of it.
    pub(crate) fn receive(
        self,
        photo: &Id,
        tally: Option<VoteTally>,
        choice: Option<VoteChoice>,
        asked: Asked,
    ) {
        let Some(tally) = tally else { return };
        let choice = choice.unwrap_or(VoteChoice::None);
        if let Some(ballot) = self.find(photo) {
            ballot.update(|ballot| ballot.settle(tally, choice, asked));
            return;
        }
        let ballot = ArcRwSignal::new(Ballot::new(tally, choice));
        self.by_photo.update_value(|ballots| {
            ballots.insert(photo.clone(), ballot);
        });
        self.arrival.notify();
    }

    /// Nothing while the vote service is away; what reads it is told when the votes come.
    pub(crate) fn of(self, photo: &Id) -> Option<ArcRwSignal<Ballot>> {
        let ballot = self.find(photo);
        if ballot.is_none() {
            self.arrival.track();
        }
        ballot
    }

    /// As [`Ballots::of`], at this moment.
    pub(crate) fn find(self, photo: &Id) -> Option<ArcRwSignal<Ballot>> {
        self.by_photo.with_value(|ballots| ballots.get(photo).cloned())
    }

    /// The viewer pressed an arrow. Signed out, the intent waits for the sign-in.
    pub(crate) fn press(self, photo: Id, arrow: VoteChoice) {
        self.session.require(text!(account.to_vote), move || {
            let Some(ballot) = self.find(&photo) else { return };
            ballot.update(|ballot| ballot.press(arrow));
            let shown = ballot.get_untracked();
            self.notices.announce(in_words(&shown));
            self.send(photo.clone(), ballot);
        });
    }

    fn send(self, photo: Id, ballot: ArcRwSignal<Ballot>) {
        // The signal is not told: nothing that is shown changes.
        let Some(vote) = ballot.try_update_untracked(Ballot::take_for_sending).flatten() else {
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
                        Counted {
                            votes: Some(tally),
                            viewer_vote,
                            ..
                        },
                }) => {
                    self.now.update_value(|Asked(now)| *now += 1);
                    let (choice, now) = (viewer_vote.unwrap_or(VoteChoice::None), self.now.get_value());
                    ballot.update(|ballot| ballot.count(tally, choice, now));
                    self.send(photo, ballot);
                }
                Ok(_) => self.failed(photo, ballot, api::Code::Unavailable.into()),
                Err(error) => self.failed(photo, ballot, error),
            }
        });
    }

    fn failed(self, photo: Id, ballot: ArcRwSignal<Ballot>, error: api::ApiError) {
        let wanted = ballot.get_untracked().choice();
        ballot.update(Ballot::roll_back);
        let text = filled!(vote.failed, why = words(&error).get());
        self.notices.offer(text, move || {
            ballot.update(|ballot| ballot.wanted = wanted);
            self.send(photo.clone(), ballot.clone());
        });
    }
}

fn in_words(ballot: &Ballot) -> String {
    let score = ballot.shown_score();
    match ballot.choice() {
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
        let mut ballot = Ballot::new(tally(3, 1), NONE);
        ballot.press(UP);
        assert_eq!((ballot.choice(), ballot.score()), (UP, 3));
        ballot.press(DOWN);
        assert_eq!((ballot.choice(), ballot.score()), (DOWN, 1));
        ballot.press(DOWN);
        assert_eq!((ballot.choice(), ballot.score()), (NONE, 2));
    }

    #[test]
    fn one_vote_is_in_flight_and_the_last_intent_follows_it() {
        let mut ballot = Ballot::new(tally(0, 0), NONE);
        ballot.press(UP);
        assert_eq!(ballot.take_for_sending(), Some(UP));
        for _ in 0..9 {
            ballot.press(DOWN);
            assert_eq!(ballot.take_for_sending(), None);
        }
        ballot.count(tally(1, 0), UP, Asked(1));
        assert_eq!((ballot.choice(), ballot.score()), (DOWN, -1));
        assert_eq!(ballot.take_for_sending(), Some(DOWN));
        ballot.count(tally(0, 1), DOWN, Asked(2));
        assert_eq!((ballot.score(), ballot.take_for_sending()), (-1, None));
    }

    #[test]
    fn a_failure_returns_to_what_the_server_last_said() {
        let mut ballot = Ballot::new(tally(5, 0), UP);
        ballot.press(DOWN);
        assert_eq!(ballot.take_for_sending(), Some(DOWN));
        ballot.press(DOWN);
        ballot.roll_back();
        assert_eq!(
            (ballot.choice(), ballot.score(), ballot.take_for_sending()),
            (UP, 5, None)
        );
    }

    #[test]
    fn news_from_the_server_does_not_undo_an_intent() {
        let mut ballot = Ballot::new(tally(0, 0), NONE);
        ballot.press(UP);
        ballot.settle(tally(4, 0), NONE, Asked(0));
        assert_eq!((ballot.choice(), ballot.score()), (UP, 5));
        let mut untouched = Ballot::new(tally(0, 0), NONE);
        untouched.settle(tally(4, 0), UP, Asked(0));
        assert_eq!((untouched.choice(), untouched.score()), (UP, 4));
    }

    #[test]
    fn an_answer_to_an_older_question_does_not_undo_a_counted_vote() {
        let mut ballot = Ballot::new(tally(0, 0), NONE);
        ballot.press(UP);
        assert_eq!(ballot.take_for_sending(), Some(UP));
        ballot.count(tally(1, 0), UP, Asked(1));
        ballot.settle(tally(0, 0), NONE, Asked(0));
        assert_eq!((ballot.choice(), ballot.score()), (UP, 1));
        ballot.settle(tally(3, 0), UP, Asked(1));
        assert_eq!((ballot.choice(), ballot.score()), (UP, 3));
    }
}
