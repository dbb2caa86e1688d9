"""Measures a broker: CPU per GB, latency, memory, start and stop. `cargo xtask bench` runs it; the README explains it.

    measure.py --broker PATH [--rounds N] [--only NAME,NAME] [--size FACTOR] [--broker-core N] [--client-core N]

Prints one Markdown table: median (lowest..highest) over the rounds. Each scenario has its own broker in an empty folder.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TICK = os.sysconf("SC_CLK_TCK")
SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


class Broker:
    """`vltava serve` on a core of its own."""

    def __init__(self, options, settings=()):
        self.options, self.settings = options, settings
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vltava-bench-", dir=options.folder))
        # Below the ports of outgoing connections, so that no client takes it while the broker is down.
        self.port = free_port()
        self.start()

    def start(self):
        command = [self.options.broker, "serve", "--listen", self.address, "--data-dir", str(self.folder / "data")]
        for setting in self.settings:
            command += ["--set", setting]
        core = self.options.broker_core
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VLTAVA_")}
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=environment, preexec_fn=lambda: pin(core))
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the broker does not start: see {self.folder / 'log'}")
                time.sleep(0.001)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, which="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(which))

    def stop(self, how=signal.SIGTERM):
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(60)
        self.log.close()
        return time.monotonic() - started

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port():
    while True:
        port = random.randrange(10_000, 20_000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def pin(core):
    if core >= 0 and hasattr(os, "sched_setaffinity") and os.cpu_count() > core:
        os.sched_setaffinity(0, {core})


def quiet(address):
    """Where to connect; brokers come and go here, which clients need not report."""
    return {"bootstrap.servers": address, "log_level": 2}


def create(broker, name, partitions, **config):
    admin = AdminClient(quiet(broker.address))
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(60)


def bodies(size):
    """Text with random numbers in it: real enough for a codec, the same in every run."""
    rng = random.Random(7)
    made = []
    for _ in range(500):
        words = []
        while sum(map(len, words)) < size:
            words.append(f'{{"id":"{rng.getrandbits(64):016x}","state":"active","amount":{rng.randrange(10**6)}}},')
        made.append("".join(words)[:size].encode())
    return made


def send(broker, topic, partitions, size, total, **options):
    """Sends `total` bytes of payload, partition after partition in runs of 64 KiB; seconds taken."""
    made, count, run = bodies(size), total // size, max(1, 65_536 // size)
    failures = []
    producer = Producer({**quiet(broker.address), "linger.ms": 5, "batch.size": 65_536 * 2, "acks": "1",
                         "queue.buffering.max.messages": 400_000, "queue.buffering.max.kbytes": 262_144, **options})
    note = lambda error, _: error and failures.append(error)
    started, partition = time.monotonic(), 0
    for i in range(count):
        if i % run == 0:
            partition = i // run % partitions
            producer.poll(0)
        while True:
            try:
                producer.produce(topic, made[i % 500], partition=partition, on_delivery=note)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(300) or failures:
        sys.exit(f"records were not delivered: {failures[:3]}")
    return time.monotonic() - started


def produce(options, size, gigabytes, partitions=16, settings=(), **client):
    with Broker(options, settings) as broker:
        create(broker, "bench", partitions)
        send(broker, "bench", partitions, size, int(5e7), **client)          # warm-up
        before, total = broker.cpu(), int(gigabytes * 1e9 * options.size)
        took = send(broker, "bench", partitions, size, total, **client)
        return {"CPU s/GB": (broker.cpu() - before) / (total / 1e9), "MB/s": total / 1e6 / took,
                "peak MiB": broker.memory("VmHWM")}


IDEMPOTENT = {"acks": "all", "enable.idempotence": True}


@scenario
def produce_1k(o): return produce(o, 1024, 1)


@scenario
def produce_1k_idempotent(o): return produce(o, 1024, 1, **IDEMPOTENT)


@scenario
def produce_100b(o): return produce(o, 100, 0.3, **IDEMPOTENT)


@scenario
def produce_1k_lz4(o): return produce(o, 1024, 1, **IDEMPOTENT, **{"compression.type": "lz4"})


@scenario
def produce_1k_zstd(o): return produce(o, 1024, 1, **IDEMPOTENT, **{"compression.type": "zstd"})


@scenario
def produce_1000_partitions(o): return produce(o, 1024, 1, partitions=1000)


@scenario
def produce_1k_group_commit(o):
    return produce(o, 1024, 0.5, settings=["log.flush.interval.messages=1"], **IDEMPOTENT)


def send_one_by_one(address, seconds, core, results):
    pin(core)
    producer = Producer({**quiet(address), "linger.ms": 0, "acks": "all"})
    count, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        producer.produce("bench", b"x" * 100)
        producer.flush(30)
        count += 1
    results.put(count)


def one_by_one(options, producers, settings=()):
    with Broker(options, settings) as broker:
        create(broker, "bench", 8)
        results = multiprocessing.Queue()
        before, seconds = broker.cpu(), 5
        workers = [multiprocessing.Process(target=send_one_by_one,
                                           args=(broker.address, seconds, options.client_core, results))
                   for _ in range(producers)]
        for worker in workers:
            worker.start()
        count = sum(results.get() for _ in workers)
        for worker in workers:
            worker.join()
        return {"us CPU/request": (broker.cpu() - before) / count * 1e6, "records/s": count / seconds}


@scenario
def one_record_a_request(o): return one_by_one(o, 4)


@scenario
def group_commit_1_producer(o): return one_by_one(o, 1, ["log.flush.interval.messages=1"])


@scenario
def group_commit_8_producers(o): return one_by_one(o, 8, ["log.flush.interval.messages=1"])


@scenario
def consume_1k(options):
    total = int(1e9 * options.size) // 1024 * 1024
    with Broker(options) as broker:
        create(broker, "bench", 16)
        send(broker, "bench", 16, 1024, total)
        consumer = Consumer({**quiet(broker.address), "group.id": "bench", "enable.auto.commit": False,
                             "fetch.message.max.bytes": 1 << 20, "queued.max.messages.kbytes": 131_072})
        before, started, got = broker.cpu(), time.monotonic(), 0
        consumer.assign([TopicPartition("bench", p, 0) for p in range(16)])
        while got < total // 1024:
            got += len(consumer.consume(10_000, 1.0))
        took = time.monotonic() - started
        consumer.close()
        return {"CPU s/GB": (broker.cpu() - before) / (total / 1e9), "MB/s": total / 1e6 / took}


def listen(address, count, core, ready, results):
    pin(core)
    consumer = Consumer({**quiet(address), "group.id": "bench", "enable.auto.commit": False,
                         "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition("bench", 0, 0)])
    latencies = []
    while len(latencies) < count:
        message = consumer.poll(10)
        if message is None:
            break
        if message.error() is None:
            latencies.append(time.monotonic_ns() - int(message.value()[:20]))
            ready.set()
    results.put(latencies)


@scenario
def latency_1000_a_second(options):
    with Broker(options) as broker:
        create(broker, "bench", 1)
        count, gap = int(10_000 * options.size), 0.001
        ready, results = multiprocessing.Event(), multiprocessing.Queue()
        reader = multiprocessing.Process(target=listen, args=(broker.address, count, options.client_core, ready, results))
        reader.start()
        producer = Producer({**quiet(broker.address), "linger.ms": 0, "acks": "all"})
        while not ready.is_set():
            producer.produce("bench", b"%020d" % time.monotonic_ns())
            producer.flush()
            time.sleep(0.05)
        start = time.monotonic()
        for i in range(count):
            due = start + i * gap
            while (left := due - time.monotonic()) > 0:
                producer.poll(left)
            # From the intended time, so that a stall is not forgiven.
            producer.produce("bench", b"%020d" % int(due * 1e9))
        producer.flush(30)
        latencies = sorted(results.get())[: count - 100]
        reader.join()
        return {"p50 ms": latencies[len(latencies) // 2] / 1e6, "p99 ms": latencies[len(latencies) * 99 // 100] / 1e6}


@scenario
def idle_connections(options):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10_000), hard))
    with Broker(options) as broker:
        before, started = broker.memory(), time.monotonic()
        hello = bytes.fromhex("0000000a 0012 0000 00000001 0000".replace(" ", ""))     # ApiVersions 0, no client id
        opened = []
        for _ in range(2_000):
            s = socket.create_connection(("127.0.0.1", broker.port))
            s.sendall(hello)
            opened.append(s)
        for s in opened:
            assert s.recv(65_536)
        took = time.monotonic() - started
        used = (broker.memory() - before) * 1024 / len(opened)
        for s in opened:
            s.close()
        return {"KiB each": used, "s to open": took}


@scenario
def start_and_stop(options):
    started = time.monotonic()
    with Broker(options) as broker:
        producer = Producer({**quiet(broker.address), "linger.ms": 0})
        producer.produce("first", b"x")
        assert producer.flush(30) == 0
        first = time.monotonic() - started
        time.sleep(1)
        return {"s to first ack": first, "MiB idle": broker.memory(), "s to stop": broker.stop()}


@scenario
def thousand_partitions_and_kill(options):
    with Broker(options) as broker:
        started = time.monotonic()
        create(broker, "bench", 1000)
        send(broker, "bench", 1000, 100, 1000 * 65_536 // 8)
        written = time.monotonic() - started
        send(broker, "bench", 1000, 1024, int(5e9 * options.size))
        broker.stop(signal.SIGKILL)
        started = time.monotonic()
        broker.start()
        consumer = Consumer({**quiet(broker.address), "group.id": "bench"})
        for partition in range(1000):
            assert consumer.get_watermark_offsets(TopicPartition("bench", partition), timeout=60)[1] > 0
        back = time.monotonic() - started
        consumer.close()
        return {"s to create and write": written, "s back after kill -9": back}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--size", type=float, default=1.0, help="multiplies the amount of data")
    parser.add_argument("--broker-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--folder", default=None, help="where data goes; default: the folder for temporary files")
    parser.add_argument("--json", default=None, help="a file for every sample")
    options = parser.parse_args()
    pin(options.client_core)
    wanted = [name for name in SCENARIOS if not options.only or name in options.only.split(",")]
    samples = {}
    for turn in range(options.rounds):
        for name in wanted:
            print(f"round {turn + 1}: {name}", file=sys.stderr, flush=True)
            for figure, value in SCENARIOS[name](options).items():
                samples.setdefault((name, figure), []).append(value)
    print("| Scenario | Figure | Median | Lowest..highest |\n|---|---|---:|---|")
    for (name, figure), values in samples.items():
        print(f"| {name} | {figure} | {statistics.median(values):.3g} | {min(values):.3g}..{max(values):.3g} |")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps([[*key, values] for key, values in samples.items()], indent=1))


if __name__ == "__main__":
    main()
