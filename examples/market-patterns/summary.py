#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path

out = Path(sys.argv[1])
found = {name: [json.loads(line) for line in open(out / f"{name}.jsonl")] for name in ("regulator", "surveillance", "desks", "risk")}
print(f"{'pattern':<18}{'to':<14}{'alerts':>8}{'mean confidence':>18}")
for name, alerts in found.items():
    for pattern, count in sorted(Counter(alert["pattern"] for alert in alerts).items()):
        mean = sum(alert["confidence"] for alert in alerts if alert["pattern"] == pattern) / count
        print(f"{pattern:<18}{name:<14}{count:>8,}{mean:>18.2f}")
surest = max((alert for alerts in found.values() for alert in alerts), key=lambda alert: alert["confidence"], default=None)
if surest:
    print(f"\nthe surest: {surest['pattern']} of {surest['symbol']}, {', '.join(surest['events'])}, {surest['confidence']:g}")
