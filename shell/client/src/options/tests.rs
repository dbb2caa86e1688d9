//! The table and what follows from it.

use super::*;

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("it is refused").to_string()
}

#[test]
fn each_default_is_what_stands_where_nothing_is_said() {
    for row in table::TABLE {
        if row.name == "bootstrap.servers" {
            continue;
        }
        let mut settings = Settings::new();
        let before = format!("{settings:?}");
        row.set(&mut settings, row.default).unwrap_or_else(|why| panic!("{}={}: {why}", row.name, row.default));
        assert_eq!(format!("{settings:?}"), before, "{}={}", row.name, row.default);
    }
}

#[test]
fn each_option_is_there_once_and_says_what_it_is() {
    let mut names: Vec<&str> = table::TABLE.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
    assert!(table::TABLE.iter().all(|row| !row.help.is_empty() && row.clients != 0));
}

#[test]
fn options_are_taken_by_their_names() {
    let text = "bootstrap.servers=a:1,b:2\nlinger.ms=20\ncompression.type=ZSTD\ncompression.zstd.level=7\nacks=1";
    let ProducerConfig { options, .. } = ProducerConfig::from_text(text).expect("it is right");
    assert_eq!(options.cluster.bootstrap, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!((options.linger_ms, options.codec, options.acks), (20, (Codec::Zstd, 7), Acks::Leader));
    assert!(!options.idempotent, "acks=1 and nothing was said of idempotence");
    let config = ConsumerConfig::from_map([("group.id", "g"), ("enable.auto.commit", "false")]).expect("it is right");
    assert_eq!(config.options.group.expect("it is right").auto_commit_ms, None);
    for (span, ms) in [("P1D", 86_400_000), ("PT1H30M", 5_400_000), ("P2DT0.5S", 172_800_500)] {
        let config = ConsumerConfig::from_map([("auto.offset.reset", format!("by_duration:{span}"))]).expect(span);
        assert_eq!(config.options.reset, client::Reset::ByDuration(ms));
    }
    for span in ["P", "PT", "1H", "PT1H5", "P-1D", "PT1X"] {
        let config = ConsumerConfig::from_map([("auto.offset.reset", format!("by_duration:{span}"))]);
        assert!(problem(config).contains("is no span of time"), "{span}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_remedy() {
    for (options, expected) in [
        (&[("linger.mss", "5")][..], "there is no option linger.mss: did you mean linger.ms?"),
        (&[("linger.ms", "-5")], "linger.ms=-5: a whole number from 0 to"),
        (&[("acks", "2")], "acks=2: one of `all`, `-1`, `1`, `0` is needed"),
        (&[("group.id", "g")], "group.id is not an option of this kind of client"),
        (&[("metrics.num.samples", "2")], "metrics.num.samples: metrics are counts"),
        (&[("interceptor.classes", "a.B")], "interceptor.classes: Java classes cannot be loaded"),
        (&[("enable.idempotence", "true"), ("acks", "1")], "set acks=all, or enable.idempotence=false"),
        (&[("enable.idempotence", "true"), ("retries", "0")], "set retries to 1 or more"),
        (
            &[("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "6")],
            "max.in.flight.requests.per.connection is above 5",
        ),
        (&[("transactional.id", "t"), ("acks", "1")], "transactional.id cannot be kept while acks is not all"),
        (
            &[("transactional.id", "t"), ("enable.idempotence", "false")],
            "transactional.id needs enable.idempotence=true",
        ),
        (&[("delivery.timeout.ms", "100")], "set it to 30005 or more"),
        (&[("bootstrap.servers", "localhost")], "`localhost` is not a list of HOST:PORT"),
    ] {
        let said = problem(ProducerConfig::from_map(options.iter().copied()));
        assert!(said.contains(expected), "{options:?}: {said}");
    }
    let late = ConsumerConfig::from_map([("heartbeat.interval.ms", "9000"), ("session.timeout.ms", "6000")]);
    assert!(problem(late).contains("set it to 2000 or less"));
}
