"""The life of a topic and of a group through the admin client, and the errors that a mistake earns."""
import os
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)

BOOTSTRAP, PREFIX = os.environ["BOOTSTRAP"], os.environ["PREFIX"]
TOPIC, GROUP = PREFIX + "topic", PREFIX + "group"
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def fails(code, futures):
    for future in futures.values():
        try:
            future.result(30)
        except KafkaException as error:
            assert error.args[0].code() == code, error
            return
        raise AssertionError(f"expected {code}")


def wait(what, condition):
    deadline = time.time() + 20
    while not condition():
        assert time.time() < deadline, f"not in time: {what}"
        time.sleep(0.05)


def topics():
    return admin.list_topics(timeout=10).topics


def config(name):
    resource = ConfigResource(ResourceType.TOPIC, TOPIC)
    return admin.describe_configs([resource])[resource].result(30)[name]


# Topics.
admin.create_topics([NewTopic(TOPIC, 3, 1, config={"retention.ms": "123456"})])[TOPIC].result(30)
wait("the topic is listed", lambda: TOPIC in topics() and len(topics()[TOPIC].partitions) == 3)
fails(KafkaError.TOPIC_ALREADY_EXISTS, admin.create_topics([NewTopic(TOPIC, 3, 1)]))
fails(KafkaError.INVALID_CONFIG, admin.create_topics([NewTopic(PREFIX + "bad", 1, 1, config={"retention.ms": "soon"})]))
fails(KafkaError.INVALID_PARTITIONS, admin.create_topics([NewTopic(PREFIX + "bad", 0, 1)]))
fails(KafkaError.TOPIC_EXCEPTION, admin.create_topics([NewTopic("no/such name", 1, 1)]))
fails(KafkaError.INVALID_REPLICATION_FACTOR, admin.create_topics([NewTopic(PREFIX + "bad", 1, 9)]))
admin.create_topics([NewTopic(PREFIX + "dry", 1, 1)], validate_only=True)[PREFIX + "dry"].result(30)
assert PREFIX + "dry" not in topics()
assert config("retention.ms").value == "123456" and not config("retention.ms").is_default
assert config("cleanup.policy").value == "delete" and config("cleanup.policy").is_default

# Configuration and partitions.
change = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[
    ConfigEntry("segment.bytes", "2097152", incremental_operation=AlterConfigOpType.SET),
    ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
    ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND)])
admin.incremental_alter_configs([change])[change].result(30)
wait("the configuration is changed", lambda: config("segment.bytes").value == "2097152")
assert config("retention.ms").is_default and set(config("cleanup.policy").value.split(",")) == {"delete", "compact"}
admin.create_partitions([NewPartitions(TOPIC, 5)])[TOPIC].result(30)
wait("five partitions", lambda: len(topics()[TOPIC].partitions) == 5)
fails(KafkaError.INVALID_PARTITIONS, admin.create_partitions([NewPartitions(TOPIC, 2)]))

# Records and offsets.
producer = Producer({"bootstrap.servers": BOOTSTRAP})
for i in range(50):
    producer.produce(TOPIC, key=str(i % 5).encode(), value=str(i).encode(), partition=i % 5)
assert producer.flush(30) == 0
asked = TopicPartition(TOPIC, 0)
assert admin.list_offsets({asked: OffsetSpec.latest()})[asked].result(30).offset == 10
deleted = admin.delete_records([TopicPartition(TOPIC, 0, 4)])
assert [f.result(30).low_watermark for f in deleted.values()] == [4]
assert admin.list_offsets({asked: OffsetSpec.earliest()})[asked].result(30).offset == 4

# Groups.
consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest",
                     "enable.auto.commit": False})
consumer.subscribe([TOPIC])
got = []
wait("the records", lambda: got.extend(consumer.consume(50, 0.2)) or len(got) == 46)
consumer.commit(asynchronous=False)
described = admin.describe_consumer_groups([GROUP])[GROUP].result(30)
assert described.state.name == "STABLE" and len(described.members) == 1, described.state
assert len(described.members[0].assignment.topic_partitions) == 5
assert GROUP in [g.group_id for g in admin.list_consumer_groups().result(30).valid]
fails(KafkaError.NON_EMPTY_GROUP, admin.delete_consumer_groups([GROUP]))
consumer.close()
wait("an empty group", lambda: admin.describe_consumer_groups([GROUP])[GROUP].result(30).state.name == "EMPTY")
admin.delete_consumer_groups([GROUP])[GROUP].result(30)
fails(KafkaError.GROUP_ID_NOT_FOUND, admin.delete_consumer_groups([GROUP]))

# The cluster, and the end.
cluster = admin.describe_cluster().result(30)
assert cluster.cluster_id and len(cluster.nodes) == 1 and cluster.controller is not None
admin.delete_topics([TOPIC])[TOPIC].result(30)
wait("the topic is gone", lambda: TOPIC not in topics())
fails(KafkaError.UNKNOWN_TOPIC_OR_PART, admin.delete_topics([TOPIC]))
