#!/usr/bin/env bash
# A group reads a topic once; the same group reads nothing twice, only what is new.
set -euo pipefail
topic=${PREFIX}topic group=${PREFIX}group
seq 1 1000 | kcat -b "$BOOTSTRAP" -t "$topic" -P -X acks=all
consume() { timeout 60 kcat -b "$BOOTSTRAP" -G "$group" -X auto.offset.reset=earliest -q -e "$topic" 2>/dev/null; }
consume | sort -n | cmp - <(seq 1 1000)
seq 1001 1100 | kcat -b "$BOOTSTRAP" -t "$topic" -P -X acks=all
consume | sort -n | cmp - <(seq 1001 1100)
