#!/usr/bin/env python3
"""Which alerts samples of metrics give (system S16): monitoring.py IN OUT, a plain computation over all samples at once.

For every sample it looks through all samples of its metric and region that had come by then.
"""

import json
import sys
from pathlib import Path

THRESHOLDS = {"processing_latency_ms": (200, 500), "events_per_second": (-100_000, -50_000), "error_rate_percent": (2, 5),
              "memory_utilization_percent": (75, 90), "consumer_lag_messages": (100_000, 500_000), "network_utilization_percent": (70, 85),
              "disk_io_percent": (80, 95), "inter_region_latency_ms": (150, 300)}
# Metric, minutes, channels, impact.
RULES = {"error_rate_percent": (2, ["pagerduty", "slack", "sms"], "HIGH", "error-rate"),
         "processing_latency_ms": (5, ["slack", "email"], "MEDIUM", "processing-latency"),
         "consumer_lag_messages": (3, ["pagerduty", "slack"], "HIGH", "consumer-lag"),
         "inter_region_latency_ms": (5, ["slack", "email"], "MEDIUM", "inter-region-latency"),
         "memory_utilization_percent": (10, ["slack"], "LOW", "memory")}
LEVELS = ["ok", "warning", "critical"]


def level(sample):
    """0, 1 or 2. What is bad when it is low is turned round."""
    value = -sample["value"] if sample["metric"] == "events_per_second" else sample["value"]
    return sum(value > limit for limit in THRESHOLDS[sample["metric"]])


def verdict(samples, minutes):
    """What the samples of the last minutes say: none where they are too few, else how many, how many beyond, and the level."""
    newest = max(sample["timestamp"] for sample in samples)
    levels = [level(sample) for sample in samples if newest - sample["timestamp"] < minutes * 60_000]
    if len(levels) < 3:
        return None
    beyond = [sum(one >= least for one in levels) for least in (1, 2)]
    fires, critical = (5 * count >= 4 * len(levels) for count in beyond)
    return fires, len(levels), beyond[0], "critical" if critical else "warning"


def changes_of(series):
    """Changes of a metric of a region, each with the place of its sample among all; and alerts by channel."""
    changes, alerts, firing, before = [], [], False, 0
    for i, (place, sample) in enumerate(series):
        common = {"metric": sample["metric"], "region": sample["region"], "at": sample["timestamp"]}
        now = level(sample)
        if now != before:
            changes.append((place, common | {"change": "level", "state": LEVELS[now], "impact": None}))
            before = now
        if sample["metric"] not in RULES:
            continue
        minutes, channels, impact, runbook = RULES[sample["metric"]]
        # Twenty minutes of samples reach farther back than any rule.
        said = verdict([sample for _, sample in series[max(0, i - 40) : i + 1]], minutes)
        if said and said[0] != firing:
            firing = said[0]
            state = "firing" if firing else "recovered"
            changes.append((place, common | {"change": "alert", "state": state, "impact": impact}))
            alert = common | {"state": state, "level": said[3], "impact": impact, "value": sample["value"], "samples": said[1], "breaching": said[2],
                              "runbook": f"https://runbooks.example/{runbook}"}
            alerts += [(channel, alert) for channel in channels]
    return changes, alerts


def health(changes):
    """The score whenever it changes."""
    alerts, critical, told, found = {}, set(), 100, []
    for change in changes:
        key = change["region"], change["metric"]
        if change["change"] == "alert":
            alerts[key] = change["impact"] if change["state"] == "firing" else None
        else:
            critical = critical | {key} if change["state"] == "critical" else critical - {key}
        regions = sorted({region for region, _ in critical})
        high = sum(impact == "HIGH" for impact in alerts.values())
        other = sum(impact in ("MEDIUM", "LOW") for impact in alerts.values())
        score = max(0, 100 - 20 * high - 5 * other - 15 * len(regions))
        if score != told:
            told = score
            status = "excellent" if score >= 90 else "good" if score >= 70 else "warning" if score >= 50 else "critical"
            found.append({"score": score, "status": status, "high_alerts": high, "other_alerts": other, "unhealthy_regions": regions, "at": change["at"]})
    return found


def main():
    source, out = map(Path, sys.argv[1:])
    samples = [json.loads(line) for line in open(source / "samples.jsonl")]
    series = {}
    for place, sample in enumerate(samples):
        series.setdefault((sample["region"], sample["metric"]), []).append((place, sample))
    found = {name: [] for name in ("pagerduty", "slack", "sms", "email", "changes", "health", "refused")}
    changes = []
    for own in series.values():
        more, alerts = changes_of(own)
        changes += more
        for channel, alert in alerts:
            found[channel].append(alert)
    # sort() leaves what one sample has changed in its order.
    changes.sort(key=lambda change: change[0])
    found["changes"] = [change for _, change in changes]
    found["health"] = health(found["changes"])
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
