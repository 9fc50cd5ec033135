#!/usr/bin/env python3
"""What several regions must do (system S14): multi-region.py IN OUT, a plain computation over all events at once.

First the times at which each region was down, from the reports alone; then each event's region, with loads as fractions; then the copies from
the list of who went where.
"""

import json
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

CAPACITY = {"mumbai": 10_000_000, "delhi": 8_000_000, "bangalore": 6_000_000, "hyderabad": 4_000_000}
APART = {"mumbai delhi": 80, "mumbai bangalore": 45, "mumbai hyderabad": 60, "delhi bangalore": 100, "delhi hyderabad": 90, "bangalore hyderabad": 35}
CONTENT = {"financial": "mumbai", "government": "delhi", "technology": "bangalore", "analytics": "hyderabad"}
COPIES = {("mumbai", "financial_transactions"), ("mumbai", "user_events"), ("delhi", "government_data"), ("delhi", "compliance_events"),
          ("bangalore", "tech_events"), ("bangalore", "analytics_data")}
HOUR = 3_600_000


def latency(one, other):
    return 0 if one == other else APART.get(f"{one} {other}") or APART[f"{other} {one}"]


def closest(region, working):
    """Of those that work the one with the least latency; where none does, Mumbai."""
    return min(working, key=lambda other: latency(region, other), default="mumbai")


def main():
    lines = [json.loads(line) for line in (Path(sys.argv[1]) / "traffic.jsonl").read_text().splitlines()]
    out = Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)

    # For each line the regions that are down when it comes, and what is told.
    down, told, states = set(), [], []
    warned = {}
    for line in lines:
        if line["kind"] == "health":
            region, at = line["region"], line["timestamp"]
            bad = not line["reachable"] or line["error_rate"] > 5
            if bad and region not in down:
                down = down | {region}
                reason = "error_rate" if line["reachable"] else "unreachable"
                to = closest(region, [name for name in CAPACITY if name not in down])
                told.append({"region": region, "state": "failed_over", "reason": reason, "to": to, "at": at})
            elif not bad and region in down:
                down = down - {region}
                told.append({"region": region, "state": "recovered", "reason": None, "to": None, "at": at})
            for reason, now in [("latency", line["latency_ms"] > 200), ("utilisation", Fraction(line["load"], CAPACITY[region]) > Fraction(4, 5))]:
                if warned.get((region, reason), False) != now:
                    warned[region, reason] = now
                    told.append({"region": region, "state": "warning" if now else "cleared", "reason": reason, "to": None, "at": at})
        states.append(down)

    placed = []
    load, hour = Counter(), 0
    for line, down in zip(lines, states):
        if line["kind"] != "event":
            continue
        if line["timestamp"] // HOUR > hour:
            load, hour = Counter(), line["timestamp"] // HOUR
        working = [name for name in CAPACITY if name not in down]
        lightest = min(working, key=lambda name: (Fraction(load[name], CAPACITY[name]), -CAPACITY[name]), default="mumbai")
        topic = line["topic"]
        if topic == "user_events":
            region = closest(line["origin"] if line["origin"] in CAPACITY else "mumbai", working)
        elif topic in ("analytics_data", "tech_events"):
            region = lightest
        elif topic == "financial_transactions":
            region = "mumbai" if line["priority"] <= 3 and "mumbai" in working else lightest
        elif topic in ("government_data", "compliance_events"):
            region = closest(CONTENT.get(line["content_type"], "mumbai"), working)
        else:
            region = closest("mumbai", working)
        load[region] += 1
        placed.append((region, line))

    files = {name: [] for name in [*CAPACITY, "backup", "refused"] + [f"{topic}-replica" for _, topic in COPIES]}
    for region, line in placed:
        common = {"event_id": line["event_id"], "user_id": line["user_id"], "timestamp": line["timestamp"]}
        files[region].append({**common, "topic": line["topic"], "region": region})
        copy = {**common, "topic": f"{line['topic']}-replica", "replicated_from": region}
        if (region, line["topic"]) in COPIES:
            files[f"{line['topic']}-replica"].append(copy)
        if region != "mumbai":
            files["backup"].append(copy)
    files["health"] = told
    for name, rows in files.items():
        order = "# in order by region\n" if name == "health" else "# in order by user_id\n" if rows else ""
        (out / f"{name}.jsonl").write_text(order + "".join(json.dumps(row) + "\n" for row in rows))


main()
