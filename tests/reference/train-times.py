#!/usr/bin/env python3
"""In which order trains must be shown, and which come too late for it (system S4): train-times.py IN OUT.

Delays are kept one by one in a sorted list, and what may be shown is looked for among all that wait whenever a train of the line arrives.
"""

import bisect
import json
import math
import sys
from pathlib import Path


def status(delay):
    return "on_time" if delay <= 0 else "minor" if delay <= 120 else "delay" if delay <= 300 else "major"


def learned(delays):
    """The 95th percentile of the delays so far and a minute, in milliseconds."""
    p95 = delays[math.ceil(0.95 * len(delays)) - 1] if delays else 0
    return max(p95, 0) * 1_000 + 60_000


def play(trains, wait_of):
    """What is shown and what is late, when lines wait as `wait_of` their delays says."""
    lines, shown, late, clock = {}, [], [], -math.inf
    for train in trains:
        line = lines.setdefault(train["line"], {"waiting": [], "delays": [], "passed": -math.inf})
        release(line, clock, wait_of, shown)
        # Delays count in whole seconds, rounded up.
        bisect.insort(line["delays"], math.ceil((train["arrived"] - train["scheduled"]) / 1_000))
        if train["scheduled"] <= line["passed"]:
            late.append(row(train, wait_of(line["delays"])))
        else:
            line["waiting"].append(train)
        # All but the last millisecond of what has arrived is over.
        clock = max(clock, train["arrived"] - 1)
    for line in lines.values():
        release(line, math.inf, wait_of, shown)
    return shown, late


def release(line, clock, wait_of, shown):
    """Shows what a line need not wait for any longer."""
    wait = wait_of(line["delays"])
    line["passed"] = max(line["passed"], clock - wait)
    due = [train for train in line["waiting"] if train["scheduled"] <= line["passed"]]
    line["waiting"] = [train for train in line["waiting"] if train["scheduled"] > line["passed"]]
    shown += [row(train, wait) for train in sorted(due, key=lambda train: train["scheduled"])]


def row(train, wait):
    delay = (train["arrived"] - train["scheduled"]) / 1_000
    return train | {"delay": delay, "status": status(delay), "wait": wait / 1_000}


def main():
    source, out = map(Path, sys.argv[1:])
    trains = [json.loads(line) for line in open(source / "trains.jsonl")]
    rows = {}
    rows["learned"], rows["learned-late"] = play(trains, learned)
    rows["buffered"], rows["buffered-late"] = play(trains, lambda _: 300_000)
    out.mkdir(parents=True, exist_ok=True)
    for name, events in rows.items():
        (out / f"{name}.jsonl").write_text("# in order by line\n" + "".join(json.dumps(event) + "\n" for event in events))


if __name__ == "__main__":
    main()
