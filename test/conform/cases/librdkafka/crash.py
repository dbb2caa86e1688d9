"""Load that goes on while the broker is killed and started again, and the check of what it left.

Sends for ever into each partition the numbers 0, 1, 2, ... with an idempotent producer, so that a record's number must be
its offset, and commits ever higher offsets for a group. Each line on standard input asks for a check: `verify` of what is
new, `verify all` of everything. The answer is one line: `ok RECORDS COMMITS`, or `bad` and why.
"""
import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ["BOOTSTRAP"]
TOPIC, GROUP, PARTITIONS = "crash", "crash-group", 3
QUICK = {"bootstrap.servers": BOOTSTRAP, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
         "retry.backoff.ms": 20, "log_level": 0}
QUIET_SECONDS = 60

acked = [0] * PARTITIONS            # how many are acknowledged; they are acknowledged in order
committed = [0] * PARTITIONS        # the last commit that was confirmed
attempted = [0] * PARTITIONS        # the last commit that was sent
verified = [0] * PARTITIONS         # offsets below were read back
problems = []


def load():
    producer = Producer({**QUICK, "enable.idempotence": True, "message.timeout.ms": 0, "linger.ms": 1,
                         "queue.buffering.max.messages": 3000, "compression.type": "lz4"})

    def delivered(error, message):
        p, number = message.partition(), int(message.value().split(b" ")[0])
        if error is not None:
            problems.append(f"partition {p}: record {number} was refused: {error}")
        elif message.offset() != number:
            problems.append(f"partition {p}: record {number} was acknowledged at offset {message.offset()}")
        elif number != acked[p]:
            problems.append(f"partition {p}: record {number} was acknowledged after {acked[p] - 1}")
        else:
            acked[p] = number + 1

    number = 0
    while not problems:
        try:
            for p in range(PARTITIONS):
                body = b"%d %s" % (number, b"x" * (number * 37 % 400))
                while True:
                    try:
                        producer.produce(TOPIC, value=body, partition=p, on_delivery=delivered)
                        break
                    except BufferError:
                        producer.poll(0.05)
            number += 1
            producer.poll(0)
            if number % 40 == 0:
                time.sleep(0.004)    # some 20,000 a second: enough to be cut anywhere, little enough to read all back
        except KafkaException as error:
            problems.append(f"the producer gave up: {error}")


def commit():
    consumer = Consumer({**QUICK, "group.id": GROUP, "enable.auto.commit": False})
    value = 0
    while not problems:
        value += 1
        for p in range(PARTITIONS):
            attempted[p] = value
            try:
                answer = consumer.commit(offsets=[TopicPartition(TOPIC, p, value)], asynchronous=False)
                if answer[0].error is None:
                    committed[p] = value
            except KafkaException:
                time.sleep(0.01)     # the broker is down: a commit that is not confirmed promises nothing
        time.sleep(0.002)


def check_group():
    floor = list(committed)
    consumer = Consumer({**QUICK, "group.id": GROUP, "enable.auto.commit": False})
    try:
        found = [t.offset for t in consumer.committed([TopicPartition(TOPIC, p) for p in range(PARTITIONS)], timeout=30)]
    finally:
        consumer.close()
    for p in range(PARTITIONS):
        if not (max(floor[p], 0) <= max(found[p], 0) <= attempted[p]):
            raise AssertionError(f"partition {p}: committed is {found[p]}, confirmed was {floor[p]}, sent {attempted[p]}")


def check_records(start):
    """Everything acknowledged by now is there, each number at its own offset."""
    promised = list(acked)
    consumer = Consumer({**QUICK, "group.id": GROUP + "-reader", "enable.auto.commit": False, "check.crcs": True,
                         "auto.offset.reset": "error"})
    try:
        consumer.assign([TopicPartition(TOPIC, p, start[p]) for p in range(PARTITIONS)])
        read, last = list(start), time.time()
        while any(read[p] < promised[p] for p in range(PARTITIONS)):
            for message in consumer.consume(2000, 0.2):
                p = message.partition()
                if message.error() is not None:
                    raise AssertionError(f"partition {p} at {read[p]}, acknowledged {promised[p]}: {message.error()}")
                number = int(message.value().split(b" ")[0])
                if not message.offset() == number == read[p]:
                    raise AssertionError(f"partition {p}: record {number} at {message.offset()}, expected {read[p]}")
                read[p], last = number + 1, time.time()
            if time.time() - last > QUIET_SECONDS:
                raise AssertionError(f"read up to {read}, acknowledged {promised}: the rest is lost")
    finally:
        consumer.close()
    return read


def check(everything):
    global verified
    waiting = list(acked)
    deadline = time.time() + QUIET_SECONDS
    while all(a == b for a, b in zip(acked, waiting)) and not problems:
        if time.time() > deadline:
            raise AssertionError("nothing is acknowledged any more")
        time.sleep(0.01)
    check_group()
    verified = check_records([0] * PARTITIONS if everything else verified)
    if problems:
        raise AssertionError("; ".join(problems[:3]))


admin = AdminClient(QUICK)
admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config={"segment.bytes": "1048576"})])[TOPIC].result(30)
for work in (load, commit):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    try:
        check(everything="all" in line)
        print("ok", sum(acked), sum(committed), flush=True)
    except (AssertionError, KafkaException) as error:
        print("bad", error, flush=True)
os._exit(0)
