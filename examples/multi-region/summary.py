#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

out = Path(sys.argv[1])
REGIONS = ["mumbai", "delhi", "bangalore", "hyderabad"]


def read(name):
    path = out / f"{name}.jsonl"
    return [json.loads(line) for line in open(path)] if path.is_file() else []


routed = {region: Counter(event["topic"] for event in read(region)) for region in REGIONS}
topics = sorted({topic for counts in routed.values() for topic in counts})
print(f"{'topic':<26}" + "".join(f"{region:>12}" for region in REGIONS))
for topic in topics:
    print(f"{topic:<26}" + "".join(f"{routed[region][topic]:>12,}" for region in REGIONS))
print(f"{'all':<26}" + "".join(f"{sum(routed[region].values()):>12,}" for region in REGIONS))
copies = {path.stem: len(read(path.stem)) for path in sorted(out.glob("*-replica.jsonl"))}
print("\ncopies: " + ", ".join(f"{name} {count:,}" for name, count in copies.items()) + f"; backup {len(read('backup')):,}")
held = read("held")
if held:
    print(f"held for regions that were away: {len(held):,}")
print()
for notice in read("health"):
    time = datetime.fromtimestamp(notice["at"] / 1000, timezone.utc).strftime("%H:%M:%S")
    more = (f" ({notice['reason']})" if notice["reason"] else "") + (f", its events go to {notice['to']}" if notice["to"] else "")
    print(f"{time}  {notice['region']:<10} {notice['state']}{more}")
