"""Offsets by time, watermarks, seeking, and what happens where there is no offset to begin with."""
import os
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
TOPIC = PREFIX + "topic"
START = int(time.time() * 1000) - 100_000

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
producer = Producer({"bootstrap.servers": BOOTSTRAP, "batch.num.messages": 7})
for i in range(100):
    producer.produce(TOPIC, value=str(i).encode(), partition=0, timestamp=START + 1000 * i)
assert producer.flush(30) == 0


def consumer(**options):
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": PREFIX + "group", "enable.auto.commit": False,
                     "enable.partition.eof": True, **options})


def next_record(c):
    deadline = time.time() + 20
    while time.time() < deadline:
        message = c.poll(0.5)
        if message is not None and (message.error() is None or message.error().code() != KafkaError._PARTITION_EOF):
            return message
    raise AssertionError("no record in time")


c = consumer()
assert c.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=20) == (0, 100)
for at, expected in ((0, 0), (START, 0), (START + 1, 1), (START + 49_500, 50), (START + 99_000, 99), (START + 99_001, -1)):
    found = c.offsets_for_times([TopicPartition(TOPIC, 0, at)], timeout=20)[0].offset
    # librdkafka 2.16 says the end where there is no record as late as that.
    assert found == expected or (expected == -1 and found in (-1, 100)), (at - START, found)

c.assign([TopicPartition(TOPIC, 0, 42)])
assert next_record(c).offset() == 42
c.seek(TopicPartition(TOPIC, 0, 97))
assert [next_record(c).offset() for _ in range(3)] == [97, 98, 99]
end = c.poll(20)
assert end.error().code() == KafkaError._PARTITION_EOF and end.offset() == 100
c.close()

for reset, first in (("earliest", 0), ("error", None)):
    c = consumer(**{"auto.offset.reset": reset})
    c.assign([TopicPartition(TOPIC, 0, 5_000)])
    message = next_record(c)
    if first is None:
        assert message.error().code() == KafkaError._AUTO_OFFSET_RESET, message.error()
    else:
        assert message.error() is None and message.offset() == first
    c.close()
