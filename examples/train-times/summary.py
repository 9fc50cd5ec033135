#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path

for how in ("learned", "buffered"):
    shown, late = ([json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")] for name in (how, f"{how}-late"))
    waits = sorted(train["wait"] for train in shown)
    statuses = Counter(train["status"] for train in shown + late)
    print(f"{how}: {len(shown):,} in the order of the schedule, {len(late):,} late ({len(late) / len(shown + late):.1%}); ", end="")
    print(f"waits from {waits[0] / 60:.0f} to {waits[-1] / 60:.0f} min, {waits[len(waits) // 2] / 60:.1f} in the middle")
print("status: " + ", ".join(f"{count:,} {status}" for status, count in statuses.most_common()))
