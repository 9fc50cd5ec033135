#!/usr/bin/env python3
"""What the departures must give: the windows and totals of pipeline.toml, computed from the data alone.

The rules are Flink's. After every event the watermark is the newest time so far, less the bound, less 1 ms; a window [start, end) has
closed once the watermark has reached end - 1; an event whose window has closed before it came is late. Writes expected/windows.jsonl,
by key and start, and expected/totals.json.
"""

import json
from pathlib import Path

HOUR = 3_600_000
BOUND = 2 * HOUR

here = Path(__file__).parent
windows = {}
late = 0
behind = []
newest = watermark = None
for line in open(here / "departures.jsonl"):
    event = json.loads(line)
    time = event["scheduled_ms"]
    start = time - time % HOUR
    behind.append(0 if newest is None else max(0, newest - time))
    if watermark is not None and start + HOUR - 1 <= watermark:
        late += 1
    else:
        windows.setdefault((event["origin"], start), []).append(event["delay_min"])
    newest = time if newest is None else max(newest, time)
    watermark = newest - BOUND - 1

(here / "expected").mkdir(exist_ok=True)
with open(here / "expected/windows.jsonl", "w") as out:
    for (origin, start), delays in sorted(windows.items()):
        row = {"key": origin, "window_start": start, "window_end": start + HOUR, "count": len(delays), "sum_delay_min": sum(delays)}
        row["mean_delay"] = sum(delays) / len(delays)
        print(json.dumps(row, separators=(",", ":")), file=out)

behind.sort()
totals = {
    "events": len(behind),
    "windows": len(windows),
    "count": sum(len(delays) for delays in windows.values()),
    "late": late,
    "sum_delay_min": sum(sum(delays) for delays in windows.values()),
    "behind_min": {f"p{share * 100:g}": behind[int(share * (len(behind) - 1))] // 60_000 for share in (0.5, 0.9, 0.99, 1)},
}
with open(here / "expected/totals.json", "w") as out:
    print(json.dumps(totals, indent=2), file=out)
print(json.dumps(totals))
