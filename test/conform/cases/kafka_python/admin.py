"""kafka-python creates, describes, alters and deletes; its errors are the right ones."""
import os
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
TOPIC = PREFIX + "topic"
admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def fails(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return
    raise AssertionError(f"expected {error.__name__}")


admin.create_topics([NewTopic(TOPIC, 2, 1, topic_configs={"max.message.bytes": "2000"})])
fails(TopicAlreadyExistsError, admin.create_topics, [NewTopic(TOPIC, 2, 1)])
assert TOPIC in admin.list_topics()
described = repr(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC)]))
assert "max.message.bytes" in described and "2000" in described, described
admin.create_partitions({TOPIC: NewPartitions(4)})
consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
deadline = time.time() + 20
while len(consumer.partitions_for_topic(TOPIC) or ()) != 4:
    assert time.time() < deadline, "four partitions, not in time"
    time.sleep(0.1)

producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
for i in range(10):
    producer.send(TOPIC, b"x", partition=3)
producer.flush()
producer.close()
last = TopicPartition(TOPIC, 3)
assert consumer.end_offsets([last]) == {last: 10} and consumer.beginning_offsets([last]) == {last: 0}
admin.delete_records({last: 6})
assert consumer.beginning_offsets([last]) == {last: 6}
consumer.close()

admin.delete_topics([TOPIC])
deadline = time.time() + 20
while TOPIC in admin.list_topics():
    assert time.time() < deadline, "the topic is gone, not in time"
    time.sleep(0.1)
fails(UnknownTopicOrPartitionError, admin.delete_topics, [TOPIC])
admin.close()
