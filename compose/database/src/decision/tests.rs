use super::*;
use crate::cluster_record::Start;

const CLUSTER: Uuid = Uuid::from_u128(7);

fn around() -> Situation {
    Situation {
        silent: 0,
        founders: 3,
        forced: false,
        waited: true,
    }
}

fn forced() -> Situation {
    Situation {
        forced: true,
        ..around()
    }
}

/// A member of a cluster of three that was started once, stopped, with so much data.
fn member(slot: Slot, seqno: i64) -> Node {
    let participants = (1..=3).map(|slot| (NodeId(slot.into()), slot)).collect();
    let start = Start {
        id: Uuid::from_u128(1),
        cluster: Some(CLUSTER),
        seqno: -1,
        forced: false,
        participants,
    };
    Node {
        id: NodeId(slot.into()),
        slot,
        data: VolumeState::At {
            cluster: Some(CLUSTER),
            seqno,
        },
        memory: Some(ClusterRecord::of_bootstrapper(None, &start)),
        stage: Stage::Deciding { ballot: None },
    }
}

fn empty(slot: Slot) -> Node {
    Node {
        data: VolumeState::Empty,
        memory: None,
        ..member(slot, 0)
    }
}

/// The state of `node` after it has started the cluster by `plan` and has written.
fn started(node: &Node, plan: &BootstrapPlan, id: u128, written: i64) -> Node {
    let start = Start {
        id: Uuid::from_u128(id),
        cluster: node.cluster(),
        seqno: node.seqno().unwrap(),
        forced: plan.forced,
        participants: plan.participants.clone(),
    };
    Node {
        memory: Some(ClusterRecord::of_bootstrapper(plan.newest.as_ref(), &start)),
        data: VolumeState::At {
            cluster: Some(CLUSTER),
            seqno: start.seqno + written,
        },
        ..node.clone()
    }
}

fn plan(decision: Decision) -> BootstrapPlan {
    match decision {
        Decision::Bootstrap(plan) => plan,
        other => panic!("it does not start the cluster: {other:?}"),
    }
}

#[test]
fn the_newest_starts_and_the_lowest_slot_of_equals() {
    let (one, two, three) = (member(1, 5), member(2, 6), member(3, 6));
    let better = Decision::Wait(WaitReason::Better(Slots(vec![2])));
    assert_eq!(decide(&one, &[two.clone(), three.clone()], around()), better);
    assert_eq!(decide(&three, &[one.clone(), two.clone()], around()), better);
    assert!(!plan(decide(&two, &[one, three], around())).forced);
}

#[test]
fn who_is_missing_is_waited_for_and_then_asked_for() {
    let (one, two) = (member(1, 5), member(2, 6));
    let early = Situation {
        waited: false,
        ..around()
    };
    let missing = Slots(vec![3]);
    assert_eq!(
        decide(&two, std::slice::from_ref(&one), early),
        Decision::Wait(WaitReason::Missing(missing.clone()))
    );
    let refusal = StartRefusal::Missing { missing, seqno: 6 };
    assert_eq!(decide(&two, &[one], around()), Decision::Refuse(refusal));
}

#[test]
fn force_starts_from_the_newest_that_is_there_and_from_no_other() {
    let (one, two) = (member(1, 5), member(2, 6));
    let elsewhere = Decision::Refuse(StartRefusal::ForceElsewhere(2));
    assert_eq!(decide(&one, std::slice::from_ref(&two), forced()), elsewhere);
    assert!(plan(decide(&two, &[one], forced())).forced);
}

#[test]
fn writes_that_were_given_up_do_not_come_back() {
    let (one, two, three) = (member(1, 5), member(2, 6), member(3, 8));
    let plan = plan(decide(&two, std::slice::from_ref(&one), forced()));
    let running = Node {
        stage: Stage::Primary,
        memory: started(&two, &plan, 2, 1).memory.map(|mut memory| {
            memory.saw_view(CLUSTER, 1, &BTreeMap::from([(two.id, 2)]));
            memory
        }),
        ..two
    };
    let peers = [running];
    assert_eq!(
        decide(&three, &peers, around()),
        Decision::Refuse(StartRefusal::Diverged)
    );
    // One that has no more than the cluster was started with is only late.
    assert!(matches!(
        decide(&member(3, 6), &peers, around()),
        Decision::Join { .. }
    ));
    assert!(matches!(decide(&one, &peers, around()), Decision::Join { .. }));
}

#[test]
fn two_forced_halves_never_mix() {
    let (one, two) = (member(1, 5), member(2, 6));
    let left = started(&one, &plan(decide(&one, &[], forced())), 2, 3);
    let right = started(&two, &plan(decide(&two, &[], forced())), 3, 3);
    for (own, other) in [(&left, &right), (&right, &left)] {
        let decision = decide(own, std::slice::from_ref(other), around());
        assert!(
            matches!(decision, Decision::Refuse(StartRefusal::Split(_))),
            "{decision:?}"
        );
    }
}

#[test]
fn another_clusters_volume_is_refused() {
    let mut stranger = member(3, 50);
    stranger.id = NodeId(99);
    stranger.data = VolumeState::At {
        cluster: Some(Uuid::from_u128(8)),
        seqno: 50,
    };
    stranger.memory.as_mut().unwrap().cluster = Some(Uuid::from_u128(8));
    let running = Node {
        stage: Stage::Primary,
        ..member(1, 6)
    };
    let decision = decide(&stranger, &[running], around());
    assert!(matches!(
        decision,
        Decision::Refuse(StartRefusal::Foreign { slot: 1, .. })
    ));
}

#[test]
fn a_cluster_is_founded_once_and_by_all() {
    let (one, two, three) = (empty(1), empty(2), empty(3));
    assert!(
        plan(decide(&one, &[two.clone(), three.clone()], around()))
            .newest
            .is_none()
    );
    // Two of three are not enough, nor is a node that does not answer.
    let waits = |decision| matches!(decision, Decision::Wait(WaitReason::Founders { .. }));
    assert!(waits(decide(&one, std::slice::from_ref(&two), around())));
    let silent = Situation {
        silent: 1,
        ..around()
    };
    assert!(waits(decide(&one, &[two.clone(), three.clone()], silent)));
    assert_eq!(
        decide(&two, &[one.clone(), three], around()),
        Decision::Wait(WaitReason::Founder)
    );
    // The others have data: slot 1 lost its own.
    let decision = decide(&one, &[member(2, 6), member(3, 6)], around());
    assert_eq!(
        decision,
        Decision::Wait(WaitReason::VolumeState(Slots(vec![2, 3])))
    );
}

#[test]
fn a_member_whose_data_are_gone_has_not_come_back() {
    let (one, mut two, three) = (member(1, 5), member(2, 6), member(3, 5));
    two.data = VolumeState::Empty;
    assert!(matches!(
        decide(&one, &[two.clone(), three.clone()], around()),
        Decision::Refuse(StartRefusal::Missing { .. })
    ));
    assert_eq!(
        decide(&two, &[one, three], around()),
        Decision::Refuse(StartRefusal::DataGone)
    );
}
