"""A member of a group among members of other clients. Prints the partition and offset of each record, and leaves when its
input ends. Arguments: the group, the topic."""
import os
import sys
import threading

from confluent_kafka import Consumer

consumer = Consumer({"bootstrap.servers": os.environ["BOOTSTRAP"], "group.id": sys.argv[1], "client.id": "librdkafka",
                     "auto.offset.reset": "earliest", "heartbeat.interval.ms": 300, "auto.commit.interval.ms": 300,
                     "partition.assignment.strategy": "cooperative-sticky"})
leaving = threading.Thread(target=sys.stdin.read, daemon=True)
leaving.start()
consumer.subscribe([sys.argv[2]])
while leaving.is_alive():
    message = consumer.poll(0.05)
    if message is not None and message.error() is None:
        print(message.partition(), message.offset(), flush=True)
consumer.close()
