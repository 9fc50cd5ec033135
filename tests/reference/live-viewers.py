#!/usr/bin/env python3
"""Who watches a match (system S2): live-viewers.py IN OUT, a plain computation over all events at once.

Of every session it first finds when it began and ended to count; the numbers of viewers are sums over those, and what is said is read off them.
"""

import json
import sys
from collections import Counter
from itertools import accumulate
from pathlib import Path

VIEWERS_PER_SESSION = 10_000
SAY = {"SCALE_ALERT": ("HIGH", "AUTO_SCALE_IMMEDIATELY"), "REGIONAL_OVERLOAD": ("MEDIUM", "ACTIVATE_BACKUP_CDNS"), "POOR_QUALITY": ("MEDIUM", "CHECK_BANDWIDTH")}


def viewers(events):
    """The number of viewers after each event."""
    change = [0] * len(events)
    by_session = {}
    for place, event in enumerate(events):
        if event["event_type"] != "quality_change":
            by_session.setdefault(event["session_id"], []).append((place, event["event_type"] == "play"))
    for steps in by_session.values():
        plays = False
        for place, play in steps:
            change[place] = play - plays
            plays = play
    return [VIEWERS_PER_SESSION * count for count in accumulate(change)]


def alert(name, group, event, count):
    severity, action = SAY[name]
    return {"alert": name, "severity": severity, "action": action, "name": group, "viewers": count, "at": event["timestamp"]}


def too_many(name, group, events, counts, above):
    return [alert(name, group, event, count) for event, before, count in zip(events, [0] + counts, counts) if before <= above < count]


def qualities(group, events):
    changes = [event for event in events if event["event_type"] == "quality_change"]
    return [{"name": group, "qualities": Counter(event["quality"] for event in changes[: i + 1]), "at": change["timestamp"]} for i, change in enumerate(changes)]


def groups(events, field):
    return {name: [event for event in events if event[field] == name] for name in sorted({event[field] for event in events})}


def main():
    source, out = map(Path, sys.argv[1:])
    events = [json.loads(line) for line in open(source / "viewing.jsonl")]
    found = {"milestones": [], "alerts": [], "commands": [], "content-qualities": [], "region-qualities": [], "refused": []}
    for content, own in groups(events, "content_id").items():
        counts = viewers(own)
        for milestone in range(1_000_000, max(counts) + 1, 1_000_000):
            first = next(event for event, count in zip(own, counts) if count >= milestone)
            found["milestones"].append({"name": content, "milestone": milestone, "at": first["timestamp"]})
        found["alerts"] += too_many("SCALE_ALERT", content, own, counts, 50_000_000)
        found["content-qualities"] += qualities(content, own)
    for region, own in groups(events, "location").items():
        counts = viewers(own)
        found["alerts"] += too_many("REGIONAL_OVERLOAD", region, own, counts, 5_000_000)
        found["alerts"] += [alert("POOR_QUALITY", region, event, count) for event, count in zip(own, counts)
                            if event["event_type"] == "quality_change" and event["quality"] in ("480p", "360p")]
        found["region-qualities"] += qualities(region, own)
        for command in ("INVESTIGATE_CDN", "SCALE_OUT"):
            found["commands"] += [{"command": command, "name": region, "session_id": event["session_id"], "buffer_health": event["buffer_health"],
                                   "at": event["timestamp"]} for event in own if event["buffer_health"] < 20]
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
