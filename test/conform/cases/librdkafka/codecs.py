"""Every codec, idempotent and acks=all: what comes back is what was sent, with keys, headers and timestamps."""
import os
import time

from confluent_kafka import Consumer, Producer, TopicPartition, TIMESTAMP_CREATE_TIME
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
COUNT = 600

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    topic = PREFIX + codec
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    now = int(time.time() * 1000)
    sent = []
    for i in range(COUNT):
        key = None if i % 7 == 0 else f"key {i}".encode()
        value = None if i % 11 == 0 else (f"{codec} {i} ěščř ".encode() * (1 + i % 40))
        headers = [("n", str(i).encode()), ("n", b"again"), ("empty", b""), ("null", None)][: i % 5] or None
        sent.append((key, value, headers, now + i))

    failures = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "compression.type": codec,
                         "linger.ms": 20})
    for key, value, headers, timestamp in sent:
        producer.produce(topic, key=key, value=value, headers=headers, timestamp=timestamp, partition=0,
                         on_delivery=lambda error, message: error and failures.append(error))
    assert producer.flush(30) == 0 and not failures, failures

    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": PREFIX, "check.crcs": True,
                         "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = []
    deadline = time.time() + 30
    while len(got) < COUNT and time.time() < deadline:
        for message in consumer.consume(COUNT, 0.5):
            assert message.error() is None, message.error()
            got.append(message)
    consumer.close()
    assert [m.offset() for m in got] == list(range(COUNT)), f"{codec}: {len(got)} of {COUNT}"
    for message, (key, value, headers, timestamp) in zip(got, sent):
        assert (message.key(), message.value(), message.headers()) == (key, value, headers), message.offset()
        assert message.timestamp() == (TIMESTAMP_CREATE_TIME, timestamp), message.timestamp()
