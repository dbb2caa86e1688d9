#!/usr/bin/env bash
# Keys, headers, tombstones, offsets, the last N records, and offsets by time.
set -euo pipefail
topic=${PREFIX}topic
send() { kcat -b "$BOOTSTRAP" -t "$topic" -p 0 -P -K: "$@"; }
read_back() { kcat -b "$BOOTSTRAP" -t "$topic" -p 0 -C -e -q "$@"; }
is() { [ "$2" = "$3" ] || { echo "$1: expected [$2], got [$3]"; exit 1; }; }

printf 'a:1\nb:2\n' | send -H colour=red -H shape=round
printf 'c:\n' | send -Z
printf 'd:4\n' | send
is "keys, values and headers" "0 a 1 colour=red,shape=round" "$(read_back -c 1 -f '%o %k %s %h\n')"
is "a tombstone" "2 c -1" "$(read_back -o 2 -c 1 -f '%o %k %S\n')"
is "the last two" $'2\n3' "$(read_back -o -2 -f '%o\n')"
is "all keys" $'a\nb\nc\nd' "$(read_back -o beginning -f '%k\n')"

stamp=$(read_back -o 3 -f '%T\n')
query() { kcat -b "$BOOTSTRAP" -Q -t "$topic:0:$1" | grep -o 'offset [0-9-]*'; }
is "an offset by time" "offset 3" "$(query "$stamp")"
is "the earliest" "offset 0" "$(query -2)"
is "the latest" "offset 4" "$(query -1)"
is "the metadata" "1" "$(kcat -b "$BOOTSTRAP" -L -t "$topic" | grep -c 'partition 0, leader')"
