"""Before and after a restart: records, committed offsets, configuration and members' group stay as they were."""
import os
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

BOOTSTRAP, WHEN = os.environ["BOOTSTRAP"], sys.argv[1]
TOPIC, GROUP, PARTITIONS, COUNT = "kept", "keeper", 4, 2000
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def read(consumer, count):
    got, deadline = [], time.time() + 30
    while len(got) < count and time.time() < deadline:
        for message in consumer.consume(count - len(got), 0.5):
            assert message.error() is None, message.error()
            got.append(message)
    assert len(got) == count, f"{len(got)} of {count}"
    return got


def group():
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest",
                     "session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "enable.auto.commit": False})


def produce(start):
    failures = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "compression.type": "lz4"})
    for i in range(start, start + COUNT):
        producer.produce(TOPIC, value=str(i).encode(), partition=i % PARTITIONS,
                         on_delivery=lambda error, message: error and failures.append(error))
    assert producer.flush(60) == 0 and not failures, failures


if WHEN == "before":
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config={"retention.ms": "777777777"})])[TOPIC].result(30)
    produce(0)
    consumer = group()
    consumer.subscribe([TOPIC])
    read(consumer, COUNT)
    positions = [TopicPartition(TOPIC, p, 100 + p, metadata=f"mark {p}") for p in range(PARTITIONS)]
    consumer.commit(offsets=positions, asynchronous=False)
    # Leaves without a word where the broker is killed: what was committed must hold all the same.
    os._exit(0)

resource = ConfigResource(ResourceType.TOPIC, TOPIC)
assert admin.describe_configs([resource])[resource].result(30)["retention.ms"].value == "777777777"
asked = [ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, p) for p in range(PARTITIONS)])]
committed = admin.list_consumer_group_offsets(asked)[GROUP].result(30).topic_partitions
assert [(p.offset, p.metadata) for p in committed] == [(100 + p, f"mark {p}") for p in range(PARTITIONS)], committed

produce(COUNT)
consumer = group()
consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
got = read(consumer, 2 * COUNT)
consumer.close()
for partition in range(PARTITIONS):
    own = [m for m in got if m.partition() == partition]
    assert [m.offset() for m in own] == list(range(2 * COUNT // PARTITIONS))
    assert [int(m.value()) for m in own] == list(range(partition, 2 * COUNT, PARTITIONS))

# The member that vanished is still known until its session ends; the group goes on from the committed offsets.
consumer = group()
consumer.subscribe([TOPIC])
first = {}
deadline = time.time() + 90
while len(first) < PARTITIONS and time.time() < deadline:
    message = consumer.poll(0.5)
    if message is not None and message.error() is None:
        first.setdefault(message.partition(), message.offset())
consumer.close()
assert first == {p: 100 + p for p in range(PARTITIONS)}, first
