#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path

out = Path(sys.argv[1])


def read(name):
    return [json.loads(line) for line in open(out / f"{name}.jsonl")]


print(f"{'rule':<30}{'impact':<8}{'fired':>7}{'recovered':>11}")
alerts = Counter((row["metric"], row["impact"], row["state"]) for row in read("changes") if row["change"] == "alert")
for metric, impact in sorted({key[:2] for key in alerts}):
    print(f"{metric:<30}{impact:<8}{alerts[metric, impact, 'firing']:>7,}{alerts[metric, impact, 'recovered']:>11,}")
print("\ntold: " + ", ".join(f"{channel} {len(read(channel)):,}" for channel in ("pagerduty", "slack", "sms", "email")))
health = read("health")
spans = Counter()
for row, following in zip(health, health[1:]):
    spans[row["status"]] += following["at"] - row["at"]
whole = sum(spans.values()) or 1
print("health: " + ", ".join(f"{status} {span / whole:.0%}" for status, span in spans.most_common()))
