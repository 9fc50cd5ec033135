#!/usr/bin/env python3
"""What streaming costs, and where it would cost less (system S15): cost-adviser.py IN OUT, a plain computation over all usage at once, in fractions."""

import json
import math
import sys
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

PRICES = {"mumbai": ("8.0", "1.5", "0.8", "50"), "delhi": ("7.5", "1.4", "0.75", "45"), "bangalore": ("7.0", "1.3", "0.7", "40")}
MONTH = 30 * 24 * 3_600_000
KOLKATA = timezone(timedelta(hours=5, minutes=30))
TIMES = {hour: Fraction(times) for hours, times in [(range(8, 12), "2.5"), (range(12, 15), "1.8"), (range(17, 23), "3"), ([23, *range(8)], "0.3")] for hour in hours}


def exact(samples, field):
    return sum(Fraction(str(sample[field])) if not isinstance(sample[field], float) else Fraction(sample[field]) for sample in samples)


def costs(region, samples):
    """Compute, storage, network, partitions."""
    compute, storage, network, partition = map(Fraction, PRICES[region])
    return [exact(samples, "instance_hours") * compute, exact(samples, "storage_gb") / len(samples) * storage,
            exact(samples, "network_gb") * network, exact(samples, "partitions") / len(samples) * partition]


def rupees(amount):
    return float(round(amount, 8))


def advice(month, region, kind, to, saving):
    for priority, above in [("high", 5_000), ("medium", 3_000), ("low", 1_000)]:
        if saving > above:
            return [{"month": month, "region": region, "advice": kind, "to": to, "saving": rupees(saving), "priority": priority}]
    return []


def plan(sample):
    hour = datetime.fromtimestamp(sample["timestamp"] / 1_000, KOLKATA).hour
    wanted = max(2, math.ceil(sample["instances"] * TIMES.get(hour, 1)))
    return {"region": sample["region"], "hour": hour, "instances": sample["instances"], "wanted": wanted}


def main():
    source, out = map(Path, sys.argv[1:])
    usage = [json.loads(line) for line in open(source / "usage.jsonl")]
    found = {"bills": [], "totals": [], "advice": [], "plan": [plan(sample) for sample in usage], "late": [], "refused": []}
    for month in sorted({sample["timestamp"] // MONTH for sample in usage}):
        begin, totals = month * MONTH, []
        for region in PRICES:
            samples = [sample for sample in usage if sample["timestamp"] // MONTH == month and sample["region"] == region]
            if not samples:
                continue
            parts = costs(region, samples)
            published = 720 * Fraction(PRICES[region][0]) + sum(parts[1:])
            totals.append((sum(parts), published))
            names = ("compute", "storage", "network", "partitions")
            found["bills"].append({"month": begin, "region": region, "total": rupees(sum(parts)), "published_total": rupees(published)}
                                  | {name: rupees(part) for name, part in zip(names, parts)})
            cheapest = min(sorted(PRICES), key=lambda other: sum(costs(other, samples)))
            if cheapest != region:
                found["advice"] += advice(begin, region, "cheapest_region", cheapest, sum(parts) - sum(costs(cheapest, samples)))
            found["advice"] += advice(begin, region, "storage_tiering", None, parts[1] * Fraction(8, 10) / 2)
        found["totals"].append({"month": begin, "total": rupees(sum(total for total, _ in totals)), "published_total": rupees(sum(published for _, published in totals))})
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
