//! Scripts of clients against one coordinator, and what each is told. `script.rs` says what the words mean.

use super::script::check;
use expect_test::expect;

/// Two members `a1` (leader) and `b1` in a stable generation 1.
const STABLE: &str = "
    a join g
    b join g
    wait 6000
    a sync a1=x b1=y
    b sync
    a heartbeat
    b heartbeat
";

fn check_stable(script: &str, expected: expect_test::Expect) {
    super::script::check_after(STABLE, script, expected);
}

#[test]
fn dynamic_members_get_an_id_first_then_form_a_group() {
    check(
        "
        a join g v4
        a join g v4
        b join g v4
        b join g v4
        wait 6000
        b sync
        a sync a1=x b1=y
        a heartbeat
        describe g
        list
        records
        ",
        expect![[r#"
            a: join MEMBER_ID_REQUIRED a1
            b: join MEMBER_ID_REQUIRED b1
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            b: sync ok assignment=y
            a: heartbeat ok
            admin: describe ok g Stable consumer/range [a1@/host metadata=13 assignment=x, b1@/host metadata=13 assignment=y]
            admin: list g Stable(consumer) classic
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1 b1]
        "#]],
    );
}

#[test]
fn the_first_rebalance_waits_while_members_come_up_to_the_rebalance_timeout() {
    check(
        "
        a join g rebalance=8000
        wait 2000
        b join g
        wait 3000
        c join g
        wait 2999
        wait 1
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1 c1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            c: join ok c1 generation=1 protocol=range leader=a1 members=[]
        "#]],
    );
    check(
        "a join g\nwait 2999\nwait 1",
        expect![[r#"
        a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
    "#]],
    );
}

#[test]
fn joins_are_refused_before_anything_is_kept() {
    check(
        "
        a join ''
        a join g session=5999
        a join g session=1800001
        a join g protocols=
        a join g type=
        a join g member=stranger
        list
        records
        ",
        expect![[r#"
            a: join INVALID_GROUP_ID
            a: join INVALID_SESSION_TIMEOUT
            a: join INVALID_SESSION_TIMEOUT
            a: join INCONSISTENT_GROUP_PROTOCOL
            a: join INCONSISTENT_GROUP_PROTOCOL
            a: join UNKNOWN_MEMBER_ID stranger
            admin: list
        "#]],
    );
}

#[test]
fn pending_members_expire_and_hold_up_a_rebalance_until_then() {
    check_stable(
        "
        c join g v4 session=6000
        a join g
        b join g
        wait 5999
        b heartbeat
        wait 1
        ",
        expect![[r#"
            c: join MEMBER_ID_REQUIRED c1
            b: heartbeat REBALANCE_IN_PROGRESS
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=2 protocol=range leader=a1 members=[]
        "#]],
    );
    check(
        "a join g v4\nremove g members=a1\nwait 60000\na join g v4\nrecords",
        expect![[r#"
        a: join MEMBER_ID_REQUIRED a1
        admin: leave ok [a1 ok]
        a: join UNKNOWN_MEMBER_ID a1
        record g generation=0 type= members=[]
        record g deleted
    "#]],
    );
}

#[test]
fn a_joining_member_rebalances_a_stable_group() {
    check_stable(
        "
        c join g
        a heartbeat
        b heartbeat
        a sync
        a join g
        b join g
        a heartbeat
        a sync a1=1 b1=2 c1=3
        c sync
        b sync
        records
        ",
        expect![[r#"
            a: heartbeat REBALANCE_IN_PROGRESS
            b: heartbeat REBALANCE_IN_PROGRESS
            a: sync REBALANCE_IN_PROGRESS assignment=
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 b1 c1]
            b: join ok b1 generation=2 protocol=range leader=a1 members=[]
            c: join ok c1 generation=2 protocol=range leader=a1 members=[]
            a: heartbeat ok
            a: sync ok assignment=1
            c: sync ok assignment=3
            b: sync ok assignment=2
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1 b1]
            record g generation=2 type=consumer members=[a1 b1 c1]
        "#]],
    );
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    check(
        "
        a join g rebalance=5000
        b join g rebalance=5000 session=60000
        wait 6000
        a sync a1=x b1=y
        b sync
        a join g rebalance=5000
        wait 4999
        b heartbeat
        wait 1
        b heartbeat
        b join g
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            b: sync ok assignment=y
            b: heartbeat REBALANCE_IN_PROGRESS
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
            b: heartbeat UNKNOWN_MEMBER_ID
            b: join UNKNOWN_MEMBER_ID b1
        "#]],
    );
}

#[test]
fn sessions_end_without_heartbeats() {
    check_stable(
        "
        wait 9000
        a heartbeat
        wait 999
        describe g
        wait 1
        a heartbeat
        b heartbeat
        a join g
        wait 9999
        a heartbeat
        wait 10000
        a heartbeat
        wait 1000
        describe g
        records
        ",
        expect![[r#"
            a: heartbeat ok
            admin: describe ok g Stable consumer/range [a1@/host metadata=13 assignment=x, b1@/host metadata=13 assignment=y]
            a: heartbeat REBALANCE_IN_PROGRESS
            b: heartbeat UNKNOWN_MEMBER_ID
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
            a: heartbeat ok
            a: heartbeat UNKNOWN_MEMBER_ID
            admin: describe ok g Empty consumer/ []
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1 b1]
            record g generation=3 type=consumer members=[]
        "#]],
    );
    check_stable(
        "wait 9000\na commit t:0=1\nb sync\nwait 9000\na heartbeat\nb heartbeat",
        expect![[r#"
        a: commit t:0 ok
        b: sync ok assignment=y
        a: heartbeat ok
        b: heartbeat ok
    "#]],
    );
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    check(
        "
        a join g rebalance=20000 session=60000
        b join g rebalance=20000 session=60000
        wait 6000
        a sync a1=x b1=y
        wait 19999
        describe g
        wait 1
        describe g
        b sync
        a heartbeat
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            admin: describe ok g Stable consumer/range [a1@/host metadata=13 assignment=x, b1@/host metadata=13 assignment=y]
            admin: describe ok g PreparingRebalance consumer/ [a1@/host metadata=0 assignment=x]
            b: sync UNKNOWN_MEMBER_ID assignment=
            a: heartbeat REBALANCE_IN_PROGRESS
        "#]],
    );
    check(
        "
        a join g session=60000 rebalance=10000
        b join g session=60000 rebalance=10000
        wait 6000
        b sync
        wait 9999
        b heartbeat
        wait 1
        b heartbeat
        describe g
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            b: heartbeat ok
            b: sync REBALANCE_IN_PROGRESS assignment=
            b: heartbeat REBALANCE_IN_PROGRESS
            admin: describe ok g PreparingRebalance consumer/ [b1@/host metadata=0 assignment=]
        "#]],
    );
}

#[test]
fn generations_and_members_are_checked() {
    check_stable(
        "
        a heartbeat generation=0
        a heartbeat member=stranger
        a sync generation=7
        a sync type=connect
        a sync protocol=sticky
        a sync type=consumer protocol=range
        b sync member=stranger
        x heartbeat nowhere
        x sync nowhere
        x leave nowhere
        a commit t:0=1 generation=0
        a commit t:0=1 member=stranger
        x commit g t:0=1 generation=-1
        x commit g t:0=1 generation=-1 member=a1
        x commit nowhere t:0=1 generation=3
        x commit nowhere t:0=1 generation=3 v9
        ",
        expect![[r#"
            a: heartbeat ILLEGAL_GENERATION
            a: heartbeat UNKNOWN_MEMBER_ID
            a: sync ILLEGAL_GENERATION assignment=
            a: sync INCONSISTENT_GROUP_PROTOCOL assignment=
            a: sync INCONSISTENT_GROUP_PROTOCOL assignment=
            a: sync ok assignment=x
            b: sync UNKNOWN_MEMBER_ID assignment=
            x: heartbeat UNKNOWN_MEMBER_ID
            x: sync UNKNOWN_MEMBER_ID assignment=
            x: leave ok [ UNKNOWN_MEMBER_ID]
            a: commit t:0 ILLEGAL_GENERATION
            a: commit t:0 UNKNOWN_MEMBER_ID
            x: commit t:0 UNKNOWN_MEMBER_ID
            x: commit t:0 ILLEGAL_GENERATION
            x: commit t:0 ILLEGAL_GENERATION
            x: commit t:0 GROUP_ID_NOT_FOUND
        "#]],
    );
}

#[test]
fn a_commit_waits_for_the_rebalance_to_complete() {
    check(
        "
        a join g
        wait 3000
        a commit t:0=1
        a sync a1=x
        a commit t:0=1
        a join g
        a commit t:0=2
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
            a: commit t:0 REBALANCE_IN_PROGRESS
            a: sync ok assignment=x
            a: commit t:0 ok
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
            a: commit t:0 REBALANCE_IN_PROGRESS
        "#]],
    );
    check_stable(
        "c join g\na commit t:0=4\nfetch g *",
        expect![[r#"
        a: commit t:0 ok
        admin: fetch ok t:0=4
    "#]],
    );
}

#[test]
fn a_leader_that_joins_again_before_it_says_anything_makes_way_for_who_joins_last() {
    let second_generation = "
        a join g
        b join g
        a sync a1=1 b1=2
        b sync
    ";
    super::script::check_after(
        &format!("{STABLE}{second_generation}"),
        "
        a join g
        b heartbeat
        b join g
        b sync a1=3 b1=4
        a join g
        a sync
        ",
        expect![[r#"
            b: heartbeat REBALANCE_IN_PROGRESS
            a: join ok a1 generation=3 protocol=range leader=b1 members=[]
            b: join ok b1 generation=3 protocol=range leader=b1 members=[a1 b1]
            b: sync ok assignment=4
            a: join ok a1 generation=3 protocol=range leader=b1 members=[]
            a: sync ok assignment=3
        "#]],
    );
    super::script::check_after(
        &format!("{STABLE}{second_generation}a commit g t:0=1"),
        "a join g\nb join g",
        expect![[r#"
            a: join ok a1 generation=3 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=3 protocol=range leader=a1 members=[]
        "#]],
    );
}

#[test]
fn a_leader_that_rejoins_rebalances_and_a_follower_that_changes_nothing_does_not() {
    check_stable(
        "
        b join g
        b join g protocols=range:t+u
        a join g
        a sync
        b join g protocols=range:t+u
        b sync
        ",
        expect![[r#"
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=2 protocol=range leader=a1 members=[]
            a: sync ok assignment=
            b: join ok b1 generation=2 protocol=range leader=a1 members=[]
            b: sync ok assignment=
        "#]],
    );
    check_stable(
        "a join g\nb heartbeat\nb join g",
        expect![[r#"
        b: heartbeat REBALANCE_IN_PROGRESS
        a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 b1]
        b: join ok b1 generation=2 protocol=range leader=a1 members=[]
    "#]],
    );
}

#[test]
fn a_repeated_join_or_sync_answers_the_one_before() {
    check(
        "
        a join g
        wait 3000
        a sync a1=x
        b join g
        a join g
        b sync
        b sync
        a sync a1=x b1=y
        b join g protocols=range:u
        b join g protocols=range:v
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
            a: sync ok assignment=x
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=2 protocol=range leader=a1 members=[]
            b: sync REBALANCE_IN_PROGRESS assignment=
            a: sync ok assignment=x
            b: sync ok assignment=y
            b: join REBALANCE_IN_PROGRESS b1
        "#]],
    );
}

#[test]
fn protocols_are_negotiated_by_votes_among_what_all_support() {
    check(
        "
        a join g protocols=range:t,sticky:t
        b join g protocols=sticky:t,range:t
        c join g protocols=sticky:t,other:t,range:t
        d join g protocols=other:t
        d join g type=connect protocols=range:t
        wait 10000
        ",
        expect![[r#"
            d: join INCONSISTENT_GROUP_PROTOCOL
            d: join INCONSISTENT_GROUP_PROTOCOL
            a: join ok a1 generation=1 protocol=sticky leader=a1 members=[a1 b1 c1]
            b: join ok b1 generation=1 protocol=sticky leader=a1 members=[]
            c: join ok c1 generation=1 protocol=sticky leader=a1 members=[]
        "#]],
    );
}

#[test]
fn the_group_has_a_greatest_size() {
    check(
        "
        set max_size=2
        a join g
        b join g
        c join g
        wait 6000
        a sync a1=x b1=y
        b sync
        c join g
        a join g
        b join g
        ",
        expect![[r#"
            c: join GROUP_MAX_SIZE_REACHED
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            b: sync ok assignment=y
            c: join GROUP_MAX_SIZE_REACHED
            a: join ok a1 generation=2 protocol=range leader=b1 members=[]
            b: join ok b1 generation=2 protocol=range leader=b1 members=[a1 b1]
        "#]],
    );
    check_stable(
        "
        set max_size=1
        crash
        describe g
        b join g
        a join g
        ",
        expect![[r#"
            admin: describe ok g PreparingRebalance consumer/ [a1@/host metadata=0 assignment=x, b1@/host metadata=0 assignment=y]
            a: join GROUP_MAX_SIZE_REACHED
            b: join ok b1 generation=2 protocol=range leader=b1 members=[b1]
        "#]],
    );
}

#[test]
fn members_leave_one_by_one_or_many_at_once() {
    check_stable(
        "
        b leave reason=done
        a heartbeat
        a join g
        remove g members=a1,stranger
        a heartbeat
        describe g
        list
        records
        ",
        expect![[r#"
            b: leave ok [b1 ok]
            a: heartbeat REBALANCE_IN_PROGRESS
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
            admin: leave ok [a1 ok, stranger UNKNOWN_MEMBER_ID]
            a: heartbeat UNKNOWN_MEMBER_ID
            admin: describe ok g Empty consumer/ []
            admin: list g Empty(consumer) classic
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1 b1]
            record g generation=3 type=consumer members=[]
        "#]],
    );
    check_stable(
        "a join g\nb leave\na sync a1=z\nb leave",
        expect![[r#"
        a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
        b: leave ok [b1 ok]
        a: sync ok assignment=z
        b: leave ok [b1 UNKNOWN_MEMBER_ID]
    "#]],
    );
}

#[test]
fn a_member_that_leaves_while_it_waits_is_told() {
    check(
        "a join g\nb join g\nremove g members=\nwait 1000\nunload",
        expect![[r#"
        admin: leave ok [ UNKNOWN_MEMBER_ID]
        a: join NOT_COORDINATOR a-910a2dec-8902-4cc1-beeb-8da1658eec67
        b: join NOT_COORDINATOR b-f893a2ee-fb32-455e-b1c1-8690ee42c90b
    "#]],
    );
    check_stable(
        "c join g\nremove g members=a1,b1",
        expect![[r#"
        c: join ok c1 generation=2 protocol=range leader=c1 members=[c1]
        admin: leave ok [a1 ok, b1 ok]
    "#]],
    );
}

#[test]
fn offsets_are_committed_and_fetched() {
    check(
        "
        x commit g t:0=5 t:1=6/note
        x commit g t:0=4
        fetch g t:0 t:1 t:2 u:0
        fetch g *
        fetch nowhere t:0
        fetch nowhere *
        x commit g t:0=7/4097 t:1=8/4096
        x commit '' t:0=1
        list
        describe g
        counts
        crash
        fetch g t:0
        list
        ",
        expect![[r#"
            x: commit t:0 ok, t:1 ok
            x: commit t:0 ok
            admin: fetch ok t:0=4, t:1=6/note, t:2=-1, u:0=-1
            admin: fetch ok t:0=4, t:1=6/note
            admin: fetch ok t:0=-1
            admin: fetch ok
            x: commit t:0 OFFSET_METADATA_TOO_LARGE, t:1 ok
            x: commit t:0 ok
            admin: list  Empty() classic, g Empty() classic
            admin: describe ok g Empty / []
            Counts { empty: 2, preparing_rebalance: 0, completing_rebalance: 0, stable: 0, members: 0, offsets: 3 }
            admin: fetch ok t:0=4
            admin: list  Empty() classic, g Empty() classic
        "#]],
    );
    check(
        "set message_bytes=180\nx commit g t:0=1\nx commit g t:0=2 t:1=2\nfetch g *",
        expect![[r#"
            x: commit t:0 ok
            x: commit t:0 INVALID_COMMIT_OFFSET_SIZE, t:1 INVALID_COMMIT_OFFSET_SIZE
            admin: fetch ok t:0=1
        "#]],
    );
}

#[test]
fn an_offset_of_a_deleted_topic_is_not_the_new_topics() {
    check(
        "
        x commit g t:0=5 id=1
        fetch g t:0 id=1
        fetch g t:0 id=2
        fetch g t:0
        topic-deleted t id=2
        fetch g t:0
        topic-deleted t id=1
        fetch g t:0
        records
        ",
        expect![[r#"
            x: commit t:0 ok
            admin: fetch ok t:0=5
            admin: fetch ok t:0=-1
            admin: fetch ok t:0=5
            admin: fetch ok t:0=5
            admin: fetch ok t:0=-1
            record g t:0 = 5 at=1000000
            record g t:0 deleted
        "#]],
    );
}

#[test]
fn offsets_are_deleted_where_nobody_reads() {
    check(
        "
        a join g protocols=range:t
        wait 3000
        a sync a1=x
        a commit t:0=1 u:0=2
        delete-offsets g t:0 u:0 u:1
        fetch g *
        delete-offsets nowhere t:0
        b join h type=connect
        wait 3000
        delete-offsets h t:0
        c join k protocols=range:garbage
        wait 3000
        c sync
        c commit t:0=1
        delete-offsets k t:0
        x commit s t:0=1
        delete-offsets s t:0
        fetch s *
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
            a: sync ok assignment=x
            a: commit t:0 ok, u:0 ok
            admin: delete-offsets ok t:0 GROUP_SUBSCRIBED_TO_TOPIC, u:0 ok, u:1 ok
            admin: fetch ok t:0=1
            admin: delete-offsets GROUP_ID_NOT_FOUND
            b: join ok b1 generation=1 protocol=range leader=b1 members=[b1]
            admin: delete-offsets NON_EMPTY_GROUP
            c: join ok c1 generation=1 protocol=range leader=c1 members=[c1]
            c: sync ok assignment=
            c: commit t:0 ok
            admin: delete-offsets ok t:0 GROUP_SUBSCRIBED_TO_TOPIC
            x: commit t:0 ok
            admin: delete-offsets ok t:0 ok
            admin: fetch ok
        "#]],
    );
}

#[test]
fn groups_are_deleted_when_they_are_empty() {
    check_stable(
        "
        a commit t:0=1 t:1=2
        delete g nowhere
        remove g members=a1,b1
        fetch g *
        delete g
        list
        describe g
        describe g v6
        fetch g *
        records
        crash
        list
        ",
        expect![[r#"
            a: commit t:0 ok, t:1 ok
            admin: delete g NON_EMPTY_GROUP, nowhere GROUP_ID_NOT_FOUND
            admin: leave ok [a1 ok, b1 ok]
            admin: fetch ok t:0=1, t:1=2
            admin: delete g ok
            admin: list
            admin: describe ok g Dead / []
            admin: describe GROUP_ID_NOT_FOUND g Dead / [] Group g not found.
            admin: fetch ok
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1 b1]
            record g t:0 = 1 at=1006000
            record g t:1 = 2 at=1006000
            record g generation=2 type=consumer members=[]
            record g t:0 deleted
            record g t:1 deleted
            record g deleted
            admin: list
        "#]],
    );
}

#[test]
fn groups_are_listed_by_state_and_type() {
    check_stable(
        "
        x commit s t:0=1
        c join p
        list
        list states=stable,Empty
        list states=PreparingRebalance types=CLASSIC
        list types=consumer
        counts
        ",
        expect![[r#"
            x: commit t:0 ok
            admin: list g Stable(consumer) classic, p PreparingRebalance(consumer) classic, s Empty() classic
            admin: list g Stable(consumer) classic, s Empty() classic
            admin: list p PreparingRebalance(consumer) classic
            admin: list
            Counts { empty: 1, preparing_rebalance: 1, completing_rebalance: 0, stable: 1, members: 3, offsets: 1 }
        "#]],
    );
}

#[test]
fn offsets_of_an_empty_group_end_by_retention_and_the_group_with_them() {
    check(
        "
        set retention=600000
        a join g
        wait 3000
        a sync a1=x
        a commit t:0=1
        wait 9000
        a commit t:0=1 u:0=2
        x commit simple t:0=3
        wait 540000
        list
        fetch g *
        fetch simple *
        wait 60000
        list
        wait 60000
        list
        records
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
            a: sync ok assignment=x
            a: commit t:0 ok
            a: commit t:0 ok, u:0 ok
            x: commit t:0 ok
            admin: list g Empty(consumer) classic, simple Empty() classic
            admin: fetch ok t:0=1, u:0=2
            admin: fetch ok t:0=3
            admin: list g Empty(consumer) classic, simple Empty() classic
            admin: list
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1]
            record g t:0 = 1 at=1003000
            record g t:0 = 1 at=1012000
            record g u:0 = 2 at=1012000
            record simple t:0 = 3 at=1012000
            record g generation=2 type=consumer members=[]
            record g t:0 deleted
            record g u:0 deleted
            record g deleted
            record simple t:0 deleted
            record simple deleted
        "#]],
    );
}

#[test]
fn a_subscribed_topic_keeps_its_offsets_and_others_end() {
    check(
        "
        set retention=100000
        a join g session=1800000 protocols=range:t
        wait 3000
        a sync a1=x
        a commit t:0=1 u:0=2
        wait 200000
        fetch g *
        a heartbeat
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
            a: sync ok assignment=x
            a: commit t:0 ok, u:0 ok
            admin: fetch ok t:0=1
            a: heartbeat ok
        "#]],
    );
}

#[test]
fn old_clients_choose_a_retention_of_their_own() {
    check(
        "
        x commit g t:0=1 keep=100000
        x commit g t:1=1
        records
        crash
        wait 60000
        fetch g *
        wait 60000
        fetch g *
        ",
        expect![[r#"
            x: commit t:0 ok
            x: commit t:1 ok
            record g t:0 = 1 at=1000000 until=1100000
            record g t:1 = 1 at=1000000
            admin: fetch ok t:0=1, t:1=1
            admin: fetch ok t:1=1
        "#]],
    );
}

#[test]
fn a_restart_keeps_groups_and_begins_sessions_anew() {
    check_stable(
        "
        a commit t:0=9
        wait 9000
        crash
        wait 9000
        describe g
        a heartbeat
        b sync
        a join g
        b join g
        crash
        a heartbeat
        wait 10000
        list
        ",
        expect![[r#"
            a: commit t:0 ok
            admin: describe ok g Stable consumer/range [a1@/host metadata=13 assignment=x, b1@/host metadata=13 assignment=y]
            a: heartbeat ok
            b: sync ok assignment=y
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=2 protocol=range leader=a1 members=[]
            a: heartbeat ILLEGAL_GENERATION
            admin: list g Empty(consumer) classic
        "#]],
    );
}

#[test]
fn what_cannot_be_stored_is_undone_and_told() {
    check(
        "
        fail
        a join g v4
        list
        fail
        a join g
        list
        a join g
        wait 3000
        fail
        a sync a1=x
        a heartbeat
        a join g
        a sync a1=x
        fail
        a commit t:0=1
        fetch g *
        fail
        a leave
        list
        fail
        delete g
        list
        ",
        expect![[r#"
            a: join NOT_COORDINATOR
            admin: list
            a: join NOT_COORDINATOR a-f893a2ee-fb32-455e-b1c1-8690ee42c90b
            admin: list
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
            a: sync NOT_COORDINATOR assignment=
            a: heartbeat REBALANCE_IN_PROGRESS
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
            a: sync ok assignment=x
            a: commit t:0 NOT_COORDINATOR
            admin: fetch ok
            a: leave NOT_COORDINATOR []
            admin: list g Empty(consumer) classic
            admin: delete g NOT_COORDINATOR
            admin: list g Empty(consumer) classic
        "#]],
    );
}

#[test]
fn an_assignment_too_large_for_a_record_is_refused() {
    check(
        "set message_bytes=180\na join g\nwait 3000\na sync a1=x\nrecords",
        expect![[r#"
        a: join ok a1 generation=1 protocol=range leader=a1 members=[a1]
        a: sync UNKNOWN_SERVER_ERROR assignment=
        record g generation=0 type= members=[]
    "#]],
    );
}

#[test]
fn who_waits_when_the_partition_is_lost_looks_for_the_new_coordinator() {
    check(
        "a join g\nb join g\nwait 6000\nb sync\nc join h\nunload",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            b: sync NOT_COORDINATOR assignment=
            c: join NOT_COORDINATOR c-71bb54d8-d101-45b9-834d-0bff90150280
        "#]],
    );
}
