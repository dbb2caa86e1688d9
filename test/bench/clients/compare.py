#!/usr/bin/env python3
"""Clients side by side: the same load, the same broker, one client after the other, each in its own process on its own core.

    cargo build --release --package vltava && test/bench/clients/compare.py [--rounds 3] [--records-scale 1.0]

Prints a table for RESULTS.md. Needs Linux and taskset; the broker runs on core 0, the client on core 1.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
CLIENTS = ["ours", "rdkafka", "confluent"]
# Record size, how many, codec.
LOADS = [(100, 4_000_000, "none"), (100, 4_000_000, "zstd"), (1024, 1_000_000, "none"), (1024, 1_000_000, "zstd")]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    def __init__(self, binary):
        self.dir = tempfile.mkdtemp(prefix="vltava-clients-")
        self.port = free_port()
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.dir,
                   "--set", "vltava.http.listen=127.0.0.1:0", "--set", "num.partitions=16"]
        self.process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)


def run(bench, broker, **options):
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["taskset", "-c", "1", bench, "--bootstrap", f"127.0.0.1:{broker.port}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records-scale", type=float, default=1.0)
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--broker", default=os.path.join(ROOT, "target", "release", "vltava"))
    parser.add_argument("--bench", default=os.path.join(HERE, "target", "release", "vltava-client-bench"))
    asked = parser.parse_args()
    clients = asked.clients.split(",")
    figures = {}
    for number in range(asked.rounds):
        broker = Broker(asked.broker)
        try:
            for size, records, codec in LOADS:
                records = int(records * asked.records_scale)
                # In turn, and the other way round in every second round.
                for client in clients if number % 2 == 0 else clients[::-1]:
                    topic = f"{client}-{size}-{codec}"
                    common = {"client": client, "topic": topic, "records": records, "record_bytes": size, "codec": codec}
                    for mode in ("produce", "consume"):
                        result = run(asked.bench, broker, mode=mode, **common)
                        for figure in ("records_per_s", "cpu_s_per_gb"):
                            figures.setdefault((mode, size, codec, figure, client), []).append(result[figure])
            for client in clients:
                result = run(asked.bench, broker, mode="memory", client=client, topic="ours-100-none" if "ours" in clients
                             else f"{clients[0]}-100-none", records=1000, record_bytes=100, consumers=10)
                figures.setdefault(("memory", 100, "none", "kib_per_consumer", client), []).append(result["kib_per_consumer"])
        finally:
            broker.stop()
    print("| load | figure | " + " | ".join(clients) + " |")
    print("|---|---|" + "---|" * len(clients))
    for mode, size, codec, figure in dict.fromkeys(key[:4] for key in figures):
        cells = []
        for client in clients:
            values = figures[(mode, size, codec, figure, client)]
            form = "{:,.0f}" if max(values) > 1000 else "{:.3g}"
            cells.append(f"{form.format(statistics.median(values))} ({form.format(min(values))}..{form.format(max(values))})")
        print(f"| {mode} {size} B {codec} | {figure} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
