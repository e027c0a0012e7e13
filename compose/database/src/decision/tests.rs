use super::*;
use crate::cluster_record::Start;

const CLUSTER: Uuid = Uuid::from_u128(7);

fn situation() -> Situation {
    Situation {
        silent: 0,
        founders: 3,
        forced: false,
        waited: true,
    }
}

fn forced_situation() -> Situation {
    Situation {
        forced: true,
        ..situation()
    }
}

/// A stopped member of a cluster of three nodes that was started once. `seqno` is the position of its data.
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
fn the_node_with_the_newest_data_starts() {
    let (one, two, three) = (member(1, 5), member(2, 6), member(3, 6));
    let better = Decision::Wait(WaitReason::Better(Slots(vec![2])));
    assert_eq!(decide(&one, &[two.clone(), three.clone()], situation()), better);
    assert_eq!(decide(&three, &[one.clone(), two.clone()], situation()), better);
    assert!(!plan(decide(&two, &[one, three], situation())).forced);
}

#[test]
fn missing_nodes_are_waited_for_and_then_need_an_operator() {
    let (one, two) = (member(1, 5), member(2, 6));
    let early = Situation {
        waited: false,
        ..situation()
    };
    let missing = Slots(vec![3]);
    assert_eq!(
        decide(&two, std::slice::from_ref(&one), early),
        Decision::Wait(WaitReason::Missing(missing.clone()))
    );
    let refusal = StartRefusal::Missing { missing, seqno: 6 };
    assert_eq!(decide(&two, &[one], situation()), Decision::Refuse(refusal));
}

#[test]
fn a_forced_start_uses_the_newest_available_data() {
    let (one, two) = (member(1, 5), member(2, 6));
    let elsewhere = Decision::Refuse(StartRefusal::ForceElsewhere(2));
    assert_eq!(
        decide(&one, std::slice::from_ref(&two), forced_situation()),
        elsewhere
    );
    assert!(plan(decide(&two, &[one], forced_situation())).forced);
}

#[test]
fn discarded_writes_do_not_return() {
    let (one, two, three) = (member(1, 5), member(2, 6), member(3, 8));
    let plan = plan(decide(&two, std::slice::from_ref(&one), forced_situation()));
    let running = Node {
        stage: Stage::Primary,
        memory: started(&two, &plan, 2, 1).memory.map(|mut memory| {
            memory.record_membership(CLUSTER, 1, &BTreeMap::from([(two.id, 2)]));
            memory
        }),
        ..two
    };
    let peers = [running];
    assert_eq!(
        decide(&three, &peers, situation()),
        Decision::Refuse(StartRefusal::Diverged)
    );
    // A node without later data than the cluster was started with can join.
    assert!(matches!(
        decide(&member(3, 6), &peers, situation()),
        Decision::Join { .. }
    ));
    assert!(matches!(decide(&one, &peers, situation()), Decision::Join { .. }));
}

#[test]
fn two_forced_clusters_do_not_merge() {
    let (one, two) = (member(1, 5), member(2, 6));
    let left = started(&one, &plan(decide(&one, &[], forced_situation())), 2, 3);
    let right = started(&two, &plan(decide(&two, &[], forced_situation())), 3, 3);
    for (own, other) in [(&left, &right), (&right, &left)] {
        let decision = decide(own, std::slice::from_ref(other), situation());
        assert!(
            matches!(decision, Decision::Refuse(StartRefusal::Split(_))),
            "{decision:?}"
        );
    }
}

#[test]
fn the_volume_of_another_cluster_is_refused() {
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
    let decision = decide(&stranger, &[running], situation());
    assert!(matches!(
        decision,
        Decision::Refuse(StartRefusal::Foreign { slot: 1, .. })
    ));
}

#[test]
fn a_new_cluster_needs_all_nodes() {
    let (one, two, three) = (empty(1), empty(2), empty(3));
    assert!(
        plan(decide(&one, &[two.clone(), three.clone()], situation()))
            .newest
            .is_none()
    );
    // All three are required: two are not enough, and neither is an unreachable node.
    let waits = |decision| matches!(decision, Decision::Wait(WaitReason::Founders { .. }));
    assert!(waits(decide(&one, std::slice::from_ref(&two), situation())));
    let silent = Situation {
        silent: 1,
        ..situation()
    };
    assert!(waits(decide(&one, &[two.clone(), three.clone()], silent)));
    assert_eq!(
        decide(&two, &[one.clone(), three], situation()),
        Decision::Wait(WaitReason::Founder)
    );
    // The others have data, so slot 1 has lost its volume.
    let decision = decide(&one, &[member(2, 6), member(3, 6)], situation());
    assert_eq!(
        decision,
        Decision::Wait(WaitReason::VolumeState(Slots(vec![2, 3])))
    );
}

#[test]
fn a_member_without_its_data_counts_as_missing() {
    let (one, mut two, three) = (member(1, 5), member(2, 6), member(3, 5));
    two.data = VolumeState::Empty;
    assert!(matches!(
        decide(&one, &[two.clone(), three.clone()], situation()),
        Decision::Refuse(StartRefusal::Missing { .. })
    ));
    assert_eq!(
        decide(&two, &[one, three], situation()),
        Decision::Refuse(StartRefusal::DataGone)
    );
}
