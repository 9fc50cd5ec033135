#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

out = Path(sys.argv[1])


def read(name):
    return [json.loads(line) for line in open(out / f"{name}.jsonl")]


ways = Counter((row["severity"], row["outcome"], row["via"], row["tries"]) for row in read("outcomes"))
print(f"{'severity':<14}{'outcome':<10}{'via':<17}{'tries':>5}{'payments':>10}")
for (severity, outcome, via, tries), count in sorted(ways.items()):
    print(f"{severity:<14}{outcome:<10}{via:<17}{tries:>5}{count:>10,}")
print(f"\n{'from':<8}{'payments':>9}{'replays':>9}{'succeeded':>11}{'dead':>6}{'transient':>11}{'persistent':>12}{'catastrophic':>14}  too many")
for row in read("report"):
    begin = datetime.fromtimestamp(row["window_start"] / 1000, timezone.utc).strftime("%H:%M")
    print(f"{begin:<8}{row['payments']:>9,}{row['replays']:>9,}{row['successes']:>11,}{row['in_dlq']:>6,}{row['transient_rate']:>11.2%}"
          f"{row['persistent_rate']:>12.2%}{row['catastrophic_rate']:>14.3%}  {', '.join(row['exceeded'])}")
