"""Two members of kafka-python share four partitions; the one that stays takes over, from the committed offsets."""
import os
import threading
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
TOPIC, GROUP, PARTITIONS = PREFIX + "topic", PREFIX + "group", 4

admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
admin.close()
got = []


class Member(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.owned, self.leaving = set(), False
        self.start()

    def run(self):
        consumer = KafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, group_id=GROUP, auto_offset_reset="earliest",
                                 enable_auto_commit=False, session_timeout_ms=10_000, heartbeat_interval_ms=500)
        while not self.leaving:
            for records in consumer.poll(timeout_ms=100).values():
                got.extend(int(r.value) for r in records)
                consumer.commit()
            self.owned = set(consumer.assignment())
        consumer.close()


def produce(start, count):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all")
    for i in range(start, start + count):
        producer.send(TOPIC, str(i).encode(), partition=i % PARTITIONS)
    producer.flush()
    producer.close()


def wait(what, condition):
    deadline = time.time() + 60
    while not condition():
        assert time.time() < deadline, f"not in time: {what}: {len(got)} records, {first.owned}, {second.owned}"
        time.sleep(0.05)


first, second = Member(), Member()
wait("two partitions each", lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2)
produce(0, 200)
wait("the first records", lambda: len(got) == 200)
second.leaving = True
second.join(30)
wait("all partitions for one", lambda: len(first.owned) == PARTITIONS)
produce(200, 100)
wait("the other records", lambda: len(got) == 300)
first.leaving = True
first.join(30)
assert sorted(got) == list(range(300))
