#!/usr/bin/env bash
# kafka-dump-log reads a topic's segments and indexes, the offsets of a group and the cluster's metadata.
# Argument: the data directory of a stopped broker after `librdkafka/restart.py before`.
set -euo pipefail
shopt -s nullglob
data=$1
dump() {
    java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m -cp "$CLASSPATH" org.apache.kafka.tools.DumpLogSegments "$@" 2>&1
}
list() { local IFS=,; echo "$*"; }
fail() { printf '%s\n' "$1"; tail -n 20 dumped; exit 1; }

dump --deep-iteration --files "$(list "$data"/kept-*/*.log)" > dumped
grep -q 'isvalid: false' dumped && fail "an invalid batch"
records=$(grep -c '^| offset:' dumped || true)
[ "$records" = 2000 ] || fail "$records records, not 2000"
grep -q 'compresscodec: lz4' dumped || fail "no batch is compressed with lz4"

# An index that does not fit its segment is told by these words.
dump --index-sanity-check --files "$(list "$data"/kept-*/*.index "$data"/kept-*/*.timeindex)" > dumped || fail "the indexes"
grep -qi 'mismatch\|found timestamp\|out of order\|exception' dumped && fail "an index does not fit its segment"

offsets=("$data"/__consumer_offsets-*/*.log)
dump --offsets-decoder --files "$(list "${offsets[@]}")" > dumped
for partition in 0 1 2 3; do
    grep -q "\"group\":\"keeper\",\"topic\":\"kept\",\"partition\":$partition" dumped || fail "no offset of partition $partition"
    grep -q "\"offset\":$((100 + partition)),.*\"metadata\":\"mark $partition" dumped || fail "not offset $((100 + partition))"
done

dump --cluster-metadata-decoder --files "$(list "$data"/__cluster_metadata-0/*.log)" > dumped
grep -q '"type":"TOPIC_RECORD".*"name":"kept"' dumped || fail "the metadata log has no topic"
grep -q '"type":"CONFIG_RECORD".*"777777777"' dumped || fail "the metadata log has no configuration"
