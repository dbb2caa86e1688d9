"""One thread polls two members of kafka-python in turn, time and again.

kafka-python 3.0.12 drops what a join brings between two of a member's polls and joins again. In turn, it can go on so for
ever: a leader joins again, the follower's poll ends the phase, and the leader misses its answer. A leader that learns of
partitions only after its first assignment does not even join again. The broker sees to it that neither happens.
"""
import os
import time

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, NewTopic

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
TOPIC, PARTITIONS, ROUNDS = PREFIX + "turns", 4, 12

admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
admin.close()


def member(group):
    return KafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, group_id=group, session_timeout_ms=10_000,
                         heartbeat_interval_ms=500)


def share(*members):
    deadline = time.time() + 20
    while not all(len(m.assignment()) == PARTITIONS // len(members) for m in members):
        assert time.time() < deadline, f"not in time: {[m.assignment() for m in members]}"
        for m in members:
            m.poll(timeout_ms=100)
        time.sleep(0.1)
    owned = {p.partition for m in members for p in m.assignment()}
    assert owned == set(range(PARTITIONS)), owned


for turn in range(ROUNDS):
    first = member(f"{PREFIX}turns-{turn}")
    share(first)
    second = member(f"{PREFIX}turns-{turn}")
    share(first, second)
    second.close()
    share(first)
    first.close()
