use super::*;

fn text(name: &str) -> Text {
    Text::from(name)
}

fn show(assignment: &Assignment) -> String {
    let one = |(id, spots): (&Text, &Vec<Spot>)| {
        let spots: Vec<String> = spots.iter().map(|(topic, index)| format!("{topic}{index}")).collect();
        format!("{id}: {}", spots.join(" "))
    };
    assignment.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn member(topics: &[&str], owned: &[(&str, i32)]) -> Member {
    Member {
        topics: topics.iter().map(|topic| text(topic)).collect(),
        owned: owned.iter().map(|(topic, index)| (text(topic), PartitionIndex(*index))).collect(),
        generation: 1,
        ..Member::default()
    }
}

/// A member whose sticky strategy remembers what it had.
fn with_memory(topics: &[&str], had: &[(&str, i32)], generation: i32) -> Member {
    let had = had.iter().map(|(topic, index)| (text(topic), PartitionIndex(*index))).collect();
    let user_data = Assignor::Sticky.user_data(&BTreeSet::new(), &had, generation);
    Member { user_data, ..member(topics, &[]) }
}

#[test]
fn range_gives_neighbours() {
    let mut members = Members::from([
        (text("x"), member(&["a", "b"], &[])),
        (text("y"), member(&["a", "b"], &[])),
        (text("z"), member(&["b"], &[])),
    ]);
    let topics = BTreeMap::from([(text("a"), 3), (text("b"), 2)]);
    assert_eq!(show(&Assignor::Range.assign(&members, &topics)), "x: a0 a1 b0, y: a2 b1, z: ");
    members.entry(text("z")).and_modify(|member| member.instance_id = Some(text("9")));
    assert_eq!(show(&Assignor::Range.assign(&members, &topics)), "x: a0 a1 b1, y: a2, z: b0");
}

#[test]
fn round_robin_goes_on_from_topic_to_topic() {
    let members = Members::from([
        (text("x"), member(&["a"], &[])),
        (text("y"), member(&["a", "b"], &[])),
        (text("z"), member(&["a", "b", "c"], &[])),
    ]);
    let topics = BTreeMap::from([(text("a"), 1), (text("b"), 2), (text("c"), 3)]);
    assert_eq!(show(&Assignor::RoundRobin.assign(&members, &topics)), "x: a0, y: b0, z: b1 c0 c1 c2");
}

#[test]
fn sticky_moves_in_two_steps_and_no_more_than_it_must() {
    let topics = BTreeMap::from([(text("a"), 4)]);
    let owned = [("a", 0), ("a", 1), ("a", 2), ("a", 3)];
    let mut members = Members::from([(text("x"), member(&["a"], &owned)), (text("y"), member(&["a"], &[]))]);
    let first = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(show(&first), "x: a0 a1, y: ");
    members.insert(text("x"), member(&["a"], &owned[..2]));
    let second = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(show(&second), "x: a0 a1, y: a2 a3");
}

#[test]
fn eager_sticky_remembers_by_what_members_say() {
    let topics = BTreeMap::from([(text("a"), 4)]);
    let members = Members::from([
        (text("x"), with_memory(&["a"], &[("a", 1), ("a", 3)], 7)),
        // What it had in an older generation is another's by now.
        (text("y"), with_memory(&["a"], &[("a", 0), ("a", 1), ("a", 9)], 6)),
        (text("z"), member(&["a"], &[])),
    ]);
    assert_eq!(show(&Assignor::Sticky.assign(&members, &topics)), "x: a1 a3, y: a0, z: a2");
}

#[test]
fn sticky_data_is_laid_out_as_kafkas() {
    let had = BTreeSet::from([(text("ab"), PartitionIndex(1)), (text("ab"), PartitionIndex(2))]);
    let data = Assignor::Sticky.user_data(&BTreeSet::new(), &had, 5).expect("it has some");
    let topic = [&[0, 0, 0, 1, 0, 2, b'a', b'b'][..], &[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]].concat();
    assert_eq!(data, [&topic[..], &[0, 0, 0, 5]].concat());
    assert_eq!(Assignor::Sticky.user_data(&BTreeSet::new(), &BTreeSet::new(), 5), None);
    let data = Assignor::CooperativeSticky.user_data(&BTreeSet::new(), &had, 5);
    assert_eq!(data.as_deref(), Some(&[0, 0, 0, 5][..]));
    // Without a generation, as the first version has it.
    let old = Member { user_data: Some(Bytes::from(topic)), ..member(&["ab"], &[]) };
    let topics = BTreeMap::from([(text("ab"), 3)]);
    let members = Members::from([(text("x"), old), (text("y"), member(&["ab"], &[]))]);
    assert_eq!(show(&Assignor::Sticky.assign(&members, &topics)), "x: ab1 ab2, y: ab0");
}
