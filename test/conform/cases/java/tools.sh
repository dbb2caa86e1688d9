#!/usr/bin/env bash
# Kafka's own command-line tools: topics, configs, console producer and consumer, groups, offsets, log folders.
set -euo pipefail
topic=${PREFIX}topic group=${PREFIX}group
tool() {
    local class=$1
    shift
    java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m -cp "$CLASSPATH" "$class" --bootstrap-server "$BOOTSTRAP" "$@"
}
topics() { tool org.apache.kafka.tools.TopicCommand "$@"; }
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@"; }
has() { grep -q -- "$2" <<< "$1" || { printf 'no [%s] in:\n%s\n' "$2" "$1"; exit 1; }; }

topics --create --topic "$topic" --partitions 2 --config retention.ms=100000
has "$(topics --describe --topic "$topic")" "PartitionCount: 2"
tool kafka.admin.ConfigCommand --alter --topic "$topic" --add-config max.message.bytes=9000
has "$(tool kafka.admin.ConfigCommand --describe --topic "$topic")" "max.message.bytes=9000"

seq 1 200 | tool org.apache.kafka.tools.ConsoleProducer --topic "$topic"
tool org.apache.kafka.tools.consumer.ConsoleConsumer --topic "$topic" --group "$group" --from-beginning \
    --max-messages 200 --timeout-ms 30000 2>/dev/null | sort -n | cmp - <(seq 1 200)
has "$(groups --describe --group "$group")" "$topic"
groups --reset-offsets --group "$group" --topic "$topic" --to-earliest --execute
described=$(groups --describe --group "$group")
lag=$(awk -v t="$topic" '$2 == t {sum += $6} END {print sum}' <<< "$described")
[ "$lag" = 200 ] || { printf 'the lag is %s in:\n%s\n' "$lag" "$described"; exit 1; }

end=$(tool org.apache.kafka.tools.GetOffsetShell --topic "$topic" | awk -F: '{sum += $3} END {print sum}')
[ "$end" = 200 ] || { echo "the ends sum up to $end"; exit 1; }
has "$(tool org.apache.kafka.tools.LogDirsCommand --describe --topic-list "$topic")" "\"partition\":\"$topic-1\""
groups --delete --group "$group"
topics --delete --topic "$topic"
