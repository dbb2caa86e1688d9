#!/usr/bin/env bash
# kcat sends a file of lines with each codec and reads the same bytes back.
set -euo pipefail
for i in $(seq 500); do printf 'line %d žluťoučký kůň %0*d\n' "$i" $((i % 200)) 0; done > sent
for codec in none gzip snappy lz4 zstd; do
    kcat -b "$BOOTSTRAP" -t "$PREFIX$codec" -p 0 -P -z "$codec" -X acks=all -l sent
    kcat -b "$BOOTSTRAP" -t "$PREFIX$codec" -p 0 -C -o beginning -e -q -X check.crcs=true > got
    cmp sent got
done
