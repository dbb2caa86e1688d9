"""A group of three shares six partitions; one leaves, and nothing is lost or left over. Argument: the strategy."""
import collections
import os
import sys
import threading
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, PREFIX, STRATEGY = os.environ["BOOTSTRAP"], os.environ["PREFIX"], sys.argv[1]
TOPIC, GROUP, PARTITIONS = PREFIX + "topic", PREFIX + "group", 6

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
seen, lock = collections.Counter(), threading.Lock()


class Member(threading.Thread):
    """Polls until told to leave; knows which partitions it owns."""

    def __init__(self):
        super().__init__(daemon=True)
        self.owned, self.leaving, self.error = set(), False, None
        self.start()

    def run(self):
        try:
            consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest",
                                 "partition.assignment.strategy": STRATEGY, "session.timeout.ms": 10000,
                                 "heartbeat.interval.ms": 500, "auto.commit.interval.ms": 500})
            consumer.subscribe([TOPIC])
            while not self.leaving:
                message = consumer.poll(0.1)
                self.owned = {p.partition for p in consumer.assignment()}
                if message is not None and message.error() is None:
                    with lock:
                        seen[message.value()] += 1
            consumer.close()
        except Exception as error:
            self.error = error


def wait(what, condition, members, seconds=60):
    deadline = time.time() + seconds
    while not condition():
        errors = [m.error for m in members if m.error]
        assert not errors, errors
        assert time.time() < deadline, f"not in time: {what}; owned: {[sorted(m.owned) for m in members]}"
        time.sleep(0.05)


def shared(members):
    owned = [p for m in members for p in m.owned]
    return sorted(owned) == list(range(PARTITIONS)) and {len(m.owned) for m in members} == {PARTITIONS // len(members)}


def produce(start, count):
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5})
    for i in range(start, start + count):
        producer.produce(TOPIC, value=str(i).encode(), partition=i % PARTITIONS)
    assert producer.flush(30) == 0


members = [Member() for _ in range(3)]
wait("three members with two partitions each", lambda: shared(members), members)
produce(0, 600)
wait("all records of three members", lambda: len(seen) == 600, members)

gone = members.pop()
gone.leaving = True
gone.join(30)
wait("two members with three partitions each", lambda: shared(members), members)
produce(600, 300)
wait("all records of two members", lambda: len(seen) == 900, members)

for member in members:
    member.leaving = True
for member in members:
    member.join(30)
assert gone.error is None and not [m.error for m in members if m.error]
assert set(seen.values()) == {1}, f"delivered twice: {[v for v, n in seen.items() if n > 1][:5]}"
asked = [ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, p) for p in range(PARTITIONS)])]
committed = admin.list_consumer_group_offsets(asked)[GROUP].result(30).topic_partitions
assert [p.offset for p in committed] == [150] * PARTITIONS, committed
