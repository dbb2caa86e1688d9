//! Every client against a fresh broker. Ignored by a plain `cargo test`, because it installs clients.

use conform_suite::case::check;

macro_rules! cases {
    ($($name:ident: $case:literal $($argument:literal)*;)*) => {
        $(
            #[test]
            #[ignore = "needs foreign clients: `cargo xtask test` runs it"]
            fn $name() {
                check($case, &[$($argument),*]);
            }
        )*
    };
}

cases! {
    kcat_codecs: "kcat/codecs.sh";
    kcat_records: "kcat/records.sh";
    kcat_group: "kcat/group.sh";
    librdkafka_codecs: "librdkafka/codecs.py";
    librdkafka_eager_group: "librdkafka/group.py" "range";
    librdkafka_cooperative_group: "librdkafka/group.py" "cooperative-sticky";
    librdkafka_admin: "librdkafka/admin.py";
    librdkafka_offsets: "librdkafka/offsets.py";
    kafka_python_codecs: "kafka_python/codecs.py";
    kafka_python_group: "kafka_python/group.py";
    kafka_python_in_turn: "kafka_python/in_turn.py";
    kafka_python_admin: "kafka_python/admin.py";
    java_codecs: "java/Codecs.java";
    java_eager_group: "java/Group.java" "RangeAssignor";
    java_cooperative_group: "java/Group.java" "CooperativeStickyAssignor";
    java_admin: "java/Administration.java";
    java_tools: "java/tools.sh";
}
