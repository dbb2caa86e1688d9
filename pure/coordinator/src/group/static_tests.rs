//! Scripts of static members (KIP-345, KIP-814), and what each is told. `script.rs` says what the words mean.

use super::script::check;
use expect_test::expect;

fn check_static(script: &str, expected: expect_test::Expect) {
    super::script::check_after(STATIC, script, expected);
}

/// Static members `a1` (leader) and `b1`.
const STATIC: &str = "
    a join g instance=i
    b join g instance=j
    wait 6000
    a sync a1=x b1=y
    b sync
";

#[test]
fn a_static_member_returns_without_a_rebalance() {
    check_static(
        "
        b join g member= v9
        b sync
        b heartbeat member=b1
        b sync member=b1
        a join g member= v9
        a sync
        a heartbeat
        describe g
        records
        crash
        a heartbeat
        b heartbeat
        ",
        expect![[r#"
            b: join ok b2 generation=1 protocol=range leader=a1 members=[]
            b: sync ok assignment=y
            b: heartbeat FENCED_INSTANCE_ID
            b: sync FENCED_INSTANCE_ID assignment=
            a: join ok a2 generation=1 protocol=range leader=a2 members=[a2 b2] skip-assignment
            a: sync ok assignment=x
            a: heartbeat ok
            admin: describe ok g Stable consumer/range [a2/i@/host metadata=13 assignment=x, b2/j@/host metadata=13 assignment=y]
            record g generation=0 type= members=[]
            record g generation=1 type=consumer members=[a1 b1]
            record g generation=1 type=consumer members=[a1 b2]
            record g generation=1 type=consumer members=[a2 b2]
            a: heartbeat ok
            b: heartbeat ok
        "#]],
    );
}

#[test]
fn a_static_member_whose_return_is_not_stored_stays_who_it_was() {
    check_static(
        "fail\na join g member= v9\na heartbeat\nb heartbeat\na join g member= v9\na heartbeat",
        expect![[r#"
            a: join NOT_COORDINATOR
            a: heartbeat ok
            b: heartbeat ok
            a: join ok a2 generation=1 protocol=range leader=a2 members=[a2 b1] skip-assignment
            a: heartbeat ok
        "#]],
    );
}

#[test]
fn an_old_static_leader_is_told_its_former_id_as_leader() {
    check_static(
        "a join g member= v4\na sync\na join g\nb heartbeat",
        expect![[r#"
        a: join ok a2 generation=1 protocol=range leader=a1 members=[]
        a: sync ok assignment=x
        b: heartbeat REBALANCE_IN_PROGRESS
    "#]],
    );
}

#[test]
fn a_static_member_whose_protocol_changes_the_groups_rebalances() {
    check(
        "
        a join g instance=i protocols=range:t,sticky:t
        b join g instance=j protocols=range:t,sticky:t
        wait 6000
        a sync a1=x b1=y
        b sync
        b join g member= protocols=sticky:t
        a heartbeat
        a join g protocols=range:t,sticky:t
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            b: sync ok assignment=y
            a: heartbeat REBALANCE_IN_PROGRESS
            a: join ok a1 generation=2 protocol=sticky leader=a1 members=[a1 b2]
            b: join ok b2 generation=2 protocol=sticky leader=a1 members=[]
        "#]],
    );
}

#[test]
fn a_static_member_replaced_while_it_waits_is_fenced() {
    check(
        "
        a join g instance=i
        b join g instance=j
        c join g instance=j
        wait 9000
        c sync
        d join g instance=j
        a join g
        a sync a1=x d1=y
        d sync
        ",
        expect![[r#"
            b: join FENCED_INSTANCE_ID j-f893a2ee-fb32-455e-b1c1-8690ee42c90b
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 c1]
            c: join ok c1 generation=1 protocol=range leader=a1 members=[]
            c: sync FENCED_INSTANCE_ID assignment=
            a: join ok a1 generation=2 protocol=range leader=a1 members=[a1 d1]
            d: join ok d1 generation=2 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            d: sync ok assignment=y
        "#]],
    );
}

#[test]
fn static_members_outlive_the_rebalance_but_not_the_sync_phase_or_their_session() {
    check(
        "
        a join g instance=i rebalance=6000 session=60000
        b join g instance=j rebalance=6000 session=60000
        wait 6000
        a sync a1=x b1=y
        b sync
        b join g protocols=range:t+u rebalance=6000 session=60000
        wait 6000
        a heartbeat
        b sync b1=y a1=x
        wait 6000
        a heartbeat
        b heartbeat
        ",
        expect![[r#"
            a: join ok a1 generation=1 protocol=range leader=a1 members=[a1 b1]
            b: join ok b1 generation=1 protocol=range leader=a1 members=[]
            a: sync ok assignment=x
            b: sync ok assignment=y
            b: join ok b1 generation=2 protocol=range leader=b1 members=[a1 b1]
            a: heartbeat ILLEGAL_GENERATION
            b: sync ok assignment=y
            a: heartbeat UNKNOWN_MEMBER_ID
            b: heartbeat REBALANCE_IN_PROGRESS
        "#]],
    );
    check_static(
        "wait 9999\na heartbeat\nwait 1\na heartbeat\nb heartbeat",
        expect![[r#"
        a: heartbeat ok
        a: heartbeat REBALANCE_IN_PROGRESS
        b: heartbeat UNKNOWN_MEMBER_ID
    "#]],
    );
    check_static(
        "remove g instances=j,k\na join g",
        expect![[r#"
        admin: leave ok [j ok, k UNKNOWN_MEMBER_ID]
        a: join ok a1 generation=2 protocol=range leader=a1 members=[a1]
    "#]],
    );
}
