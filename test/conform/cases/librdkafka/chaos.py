"""The clients of the chaos run. Each process is one client and writes its history: the lines that src/history.rs reads.

chaos.py topic REPLICAS MIN_INSYNC      creates the topic, for as long as it takes
chaos.py produce                        numbered records into every partition; SIGTERM: waits for the last answer
chaos.py consume GROUP STRATEGY         a member of a group that commits; SIGTERM: leaves the group
chaos.py audit                          reads everything once, from the beginning

BOOTSTRAP, TOPIC, PARTITIONS, WHO (this life of this client) and HISTORY (the file) come from the environment.
"""
import json
import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, PARTITIONS, WHO = os.environ["TOPIC"], int(os.environ["PARTITIONS"]), os.environ["WHO"]
# A request to a node behind a cut is given up after a while, as a user with deadlines would have it.
CLIENT = {"bootstrap.servers": os.environ["BOOTSTRAP"], "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500,
          "retry.backoff.ms": 50, "socket.timeout.ms": 5000, "socket.connection.setup.timeout.ms": 2000,
          "topic.metadata.refresh.interval.ms": 5000, "log_level": 3}
RECORDS_EACH_SECOND = 300
ALL_ANSWERED_SECONDS = 60
AUDIT_SECONDS = 90

stopping = False


def stop(*_):
    global stopping
    stopping = True


def say(*words):
    print(time.strftime("%H:%M:%S"), WHO, *words, file=sys.stderr, flush=True)


class History:
    """Lines are written out before what they announce is done, so that a killed client has announced all it did."""

    def __init__(self):
        self.file, self.lines, self.written = open(os.environ["HISTORY"], "a"), [], time.monotonic()

    def add(self, event, partition, rest):
        self.lines.append('{"at":%d,"who":"%s","event":"%s","topic":"%s","partition":%d%s}\n'
                          % (time.time_ns() // 1000, WHO, event, TOPIC, partition, rest))

    def write(self):
        self.file.write("".join(self.lines))
        self.file.flush()
        self.lines, self.written = [], time.monotonic()


def topic(replicas, min_insync):
    admin = AdminClient(CLIENT)
    # Segments are small, so that replicas roll them and recover from more than one.
    config = {"min.insync.replicas": min_insync, "segment.bytes": str(1 << 20)}
    wanted = NewTopic(TOPIC, PARTITIONS, int(replicas), config=config)
    deadline = time.monotonic() + 60
    while True:
        try:
            admin.create_topics([wanted], operation_timeout=5)[TOPIC].result(10)
            return
        except KafkaException as error:
            if error.args[0].name() == "TOPIC_ALREADY_EXISTS":
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def produce():
    history = History()
    producer = Producer({**CLIENT, "enable.idempotence": True, "acks": "all", "message.timeout.ms": 0, "linger.ms": 5,
                         "queue.buffering.max.messages": 20000, "request.timeout.ms": 5000,
                         "compression.type": "lz4" if WHO.startswith("p1") else "none"})
    waiting = 0

    def delivered(error, message):
        nonlocal waiting
        waiting -= 1
        number = int(message.value().split(b" ")[1])
        if error is not None:
            say(f"partition {message.partition()}: record {number} is refused: {error}")
            history.add("unknown", message.partition(), ',"number":%d' % number)
            return
        offset = message.offset()
        told = "null" if offset is None or offset < 0 else str(offset)
        history.add("acked", message.partition(), ',"number":%d,"offset":%s' % (number, told))

    def send_until_stopped():
        nonlocal waiting
        number, due = 0, time.monotonic()
        while not stopping:
            for p in range(PARTITIONS):
                history.add("send", p, ',"number":%d' % number)
            history.write()
            for p in range(PARTITIONS):
                body = b"%s %d %s" % (WHO.encode(), number, b"x" * (number * 37 % 400))
                while True:
                    try:
                        producer.produce(TOPIC, value=body, partition=p, on_delivery=delivered)
                        waiting += 1
                        break
                    except BufferError:
                        producer.poll(0.05)
                        history.write()
            number += 1
            # What an outage delayed is not made up for.
            due = max(due + PARTITIONS / RECORDS_EACH_SECOND, time.monotonic() - 1)
            producer.poll(0)
            # Each call returns with the first answer. A negative time would be for ever.
            while (left := due - time.monotonic()) > 0:
                producer.poll(left)

    try:
        send_until_stopped()
    except KafkaException as error:
        history.write()
        sys.exit(f"{WHO} can send no more: {error}")
    deadline = time.monotonic() + ALL_ANSWERED_SECONDS
    while waiting > 0 and time.monotonic() < deadline:
        producer.poll(0.1)
        history.write()
    history.write()
    if waiting > 0:
        sys.exit(f"{WHO}: {waiting} records have no answer {ALL_ANSWERED_SECONDS} s after the last was sent")


def consume(group, strategy):
    history = History()
    consumer = Consumer({**CLIENT, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "check.crcs": True,
                         "partition.assignment.strategy": strategy, "on_commit": lambda *a: told(*a)})
    batch, positions, confirmed = {}, {}, {}
    in_group = ',"group":"%s"' % group

    def handed_out():
        for p, records in batch.items():
            history.add("polled", p, ',"records":' + json.dumps(records, separators=(",", ":")))
        batch.clear()

    def told(error, offsets):
        for done in offsets if error is None else []:
            if done.error is None and done.offset >= 0:
                history.add("committed", done.partition, '%s,"offset":%d' % (in_group, done.offset))
                confirmed[done.partition] = done.offset

    def commit(partitions, wait):
        offsets = [TopicPartition(TOPIC, p, positions[p]) for p in partitions
                   if p in positions and positions[p] != confirmed.get(p)]
        for one in offsets:
            history.add("committing", one.partition, '%s,"offset":%d' % (in_group, one.offset))
        history.write()
        if not offsets:
            return
        try:
            done = consumer.commit(offsets=offsets, asynchronous=not wait)
            if wait:
                told(None, done)
        except KafkaException as error:
            say("commit:", error)

    def assigned(_, partitions):
        handed_out()
        for one in partitions:
            history.add("assigned", one.partition, in_group)
        history.write()

    def revoked(_, partitions):
        handed_out()
        commit([one.partition for one in partitions], wait=True)
        lost(None, partitions)

    def lost(_, partitions):
        handed_out()
        for one in partitions:
            history.add("revoked", one.partition, "")
            positions.pop(one.partition, None)
            confirmed.pop(one.partition, None)
        history.write()

    consumer.subscribe([TOPIC], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    next_commit = time.monotonic() + 1
    while not stopping:
        message, count = consumer.poll(0.1), 0
        while message is not None:
            if message.error() is not None:
                say("poll:", message.error())
            else:
                p, (who, number, _) = message.partition(), message.value().split(b" ", 2)
                batch.setdefault(p, []).append((message.offset(), who.decode(), int(number)))
                positions[p] = message.offset() + 1
            count += 1
            message = consumer.poll(0) if count < 500 else None
        handed_out()
        if time.monotonic() > next_commit:
            next_commit = time.monotonic() + 0.5
            commit(list(positions), wait=False)
        elif time.monotonic() > history.written + 0.1:
            history.write()
    consumer.close()
    handed_out()
    history.write()


def audit():
    history = History()
    consumer = Consumer({**CLIENT, "group.id": "chaos-audit", "enable.auto.commit": False, "check.crcs": True,
                         "auto.offset.reset": "error"})
    deadline, bounds = time.monotonic() + AUDIT_SECONDS, {}
    while len(bounds) < PARTITIONS:
        p = len(bounds)
        try:
            bounds[p] = consumer.get_watermark_offsets(TopicPartition(TOPIC, p), timeout=5)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
    position = {p: start for p, (start, _) in bounds.items()}
    for p in bounds:
        history.add("assigned", p, "")
    consumer.assign([TopicPartition(TOPIC, p, start) for p, start in position.items()])
    while any(position[p] < end for p, (_, end) in bounds.items()):
        batch = {}
        for message in consumer.consume(2000, 0.2):
            if message.error() is not None:
                sys.exit(f"{WHO}: partition {message.partition()} at {position}: {message.error()}")
            p, (who, number, _) = message.partition(), message.value().split(b" ", 2)
            batch.setdefault(p, []).append((message.offset(), who.decode(), int(number)))
            position[p] = message.offset() + 1
        for p, records in batch.items():
            history.add("polled", p, ',"records":' + json.dumps(records, separators=(",", ":")))
        history.write()
        if time.monotonic() > deadline:
            sys.exit(f"{WHO}: has read up to {position} of {bounds} after {AUDIT_SECONDS} s")
    for p, (start, end) in bounds.items():
        history.add("bounds", p, ',"start":%d,"end":%d' % (start, end))
    history.write()
    consumer.close()


# What a terminal sends is for the harness, which ends its clients itself.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, stop)
{"topic": topic, "produce": produce, "consume": consume, "audit": audit}[sys.argv[1]](*sys.argv[2:])
