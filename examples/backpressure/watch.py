#!/usr/bin/env python3
"""What happens while it runs: watch.py PORT PID prints a line every ten seconds (SANGAM_WATCH_EVERY), until the process has ended.

Throughput is of the time since the last line. Memory is the process's; buffers are what is read ahead of the operators, of which a topic of
Kafka has some, and a file none.
"""

import os
import re
import sys
import time
import urllib.request

PRIORITIES = ["high", "normal", "low"]


def metrics(port):
    """All samples as (name, labels, value); none while nothing answers."""
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2).read().decode()
    except OSError:
        return []
    return [(name, labels or "", float(value)) for name, labels, value in re.findall(r"^(sangam_\w+)(\{.*?\})? (\S+)", text, re.M)]


def total(samples, name, label=""):
    return sum(value for known, labels, value in samples if known == name and label in labels)


def resident(pid):
    """Megabytes of memory that a process has; nothing where it has ended or the system does not tell."""
    try:
        with open(f"/proc/{pid}/status") as status:
            found = re.search(r"VmRSS:\s+(\d+)", status.read())
            return int(found.group(1)) / 1024 if found else None
    except OSError:
        return None


def alive(pid):
    """Whether it runs; one that nobody has waited for yet has ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def main():
    port, pid = sys.argv[1], int(sys.argv[2])
    every = float(os.environ.get("SANGAM_WATCH_EVERY", "10"))
    head = f"{'s':>5}{'jobs/s':>10}" + "".join(f"{name:>9}" for name in PRIORITIES) + f"{'busy':>7}{'memory':>10}{'stops':>7}" + "".join(f"{'ahead ' + name:>14}" for name in PRIORITIES)
    began = last = time.monotonic()
    before = dict.fromkeys([*PRIORITIES, "busy"], 0.0)
    while alive(pid):
        time.sleep(min(0.2, every))
        if time.monotonic() - last < every:
            continue
        samples, now = metrics(port), time.monotonic()
        if not samples:
            continue
        done = {name: total(samples, "sangam_operator_events_total", f'operator="{name}",outcome="ok"') for name in PRIORITIES}
        busy = total(samples, "sangam_worker_seconds_total", 'state="busy"')
        rate = {name: (done[name] - before[name]) / (now - last) for name in PRIORITIES}
        ahead = [total(samples, "sangam_buffered_records", f'stream="{name}"') for name in PRIORITIES]
        stops = total(samples, "sangam_backpressure_events_total")
        memory = resident(pid)
        # A run that is over before its first line needs no head.
        if head:
            print(head)
            head = None
        print(f"{now - began:>5.0f}{sum(rate.values()):>10,.0f}" + "".join(f"{rate[name]:>9,.0f}" for name in PRIORITIES)
              + f"{(busy - before['busy']) / (now - last):>7.0%}" + (f"{memory:>8,.0f}MB" if memory else f"{'':>10}") + f"{stops:>7,.0f}"
              + "".join(f"{records:>14,.0f}" for records in ahead), flush=True)
        before, last = {**done, "busy": busy}, now


if __name__ == "__main__":
    main()
