#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER. All jobs are there when the first one is done, so latency counts from then."""

import json
import sys
from pathlib import Path

out = Path(sys.argv[1])
times = {}
for name in ["high", "normal", "low"]:
    times[name] = sorted(json.loads(line)["done_at"] for line in open(out / f"done-{name}.jsonl"))
everything = sorted(time for each in times.values() for time in each)
if everything:
    began, ended = everything[0], everything[-1]
    print(f"{len(everything):,} jobs, {len(everything) * 1000 / max(1, ended - began):,.0f} a second")
    print(f"{'':<8}{'jobs':>9}{'mean':>10}{'p99':>10}{'last':>10}")
    for name, each in times.items():
        waited = [time - began for time in each]
        mean, p99 = sum(waited) / max(1, len(waited)), waited[max(0, -(-len(waited) * 99 // 100) - 1)] if waited else 0
        print(f"{name:<8}{len(waited):>9,}{mean:>8,.0f}ms{p99:>8,}ms{max(waited, default=0):>8,}ms")
