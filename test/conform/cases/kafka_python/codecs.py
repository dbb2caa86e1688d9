"""kafka-python sends and reads every codec, with keys, headers and nothing in place of a value."""
import os

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
COUNT = 300

admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    topic = f"{PREFIX}{codec}"
    admin.create_topics([NewTopic(topic, 1, 1)])
    sent = [(f"key {i}".encode() if i % 3 != 1 else None, f"{codec} {i} żółw ".encode() * (1 + i % 30) if i % 9 else None,
             [("n", str(i).encode())] if i % 2 else []) for i in range(COUNT)]
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", compression_type=codec, linger_ms=20)
    futures = [producer.send(topic, key=k, value=v, headers=h, partition=0) for k, v, h in sent]
    producer.flush()
    assert [f.get(20).offset for f in futures] == list(range(COUNT))
    producer.close()

    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, check_crcs=True, consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    got = []
    for record in consumer:
        got.append((record.key, record.value, list(record.headers)))
        if len(got) == COUNT:
            break
    consumer.close()
    assert got == sent, f"{codec}: {len(got)} of {COUNT}"
admin.close()
