#!/usr/bin/env python3
"""A match as its viewers see it: generate.py FOLDER [--events N] [--seed S] writes FOLDER/events.jsonl.

Its phases have the published lengths and multipliers, so most events are in the innings; regions, devices, qualities and buffers are mixed as
published. The number of events scales all of it. Sessions pause and stop only what they play, mostly.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_700_400_600_000  # 2023-11-19 19:00 in Kolkata
PHASES = [("pre_match", 1_800, 0.3), ("toss", 600, 0.8), ("first_innings", 7_200, 1.0), ("break", 1_200, 0.6), ("second_innings", 7_200, 1.2), ("super_over", 600, 1.5)]
REGIONS = {"mumbai": 15, "chennai": 12, "delhi": 10, "bangalore": 10, "hyderabad": 8, "kolkata": 8, "other_india": 32, "international": 5}
DEVICES = {"mobile": 70, "smart_tv": 15, "tablet": 10, "laptop": 5}
MIX = {"play": 60, "quality_change": 15, "pause": 20, "stop": 5}
SUPER_OVER = {"play": 70, "quality_change": 20, "pause": 8, "stop": 2}
QUALITIES = {"1080p": 10, "720p": 30, "480p": 40, "360p": 20}


def one_of(weights, chance):
    return chance.choices(list(weights), list(weights.values()))[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    whole = sum(seconds * times for _, seconds, times in PHASES)
    sessions, events, start = {}, [], BEGIN
    for phase, seconds, times in PHASES:
        for _ in range(round(arguments.events * seconds * times / whole)):
            who = chance.randrange(arguments.events * 3 // 4)
            region = sessions.setdefault(who, one_of(REGIONS, chance))
            event = {
                "user_id": f"u{who // 2}",
                "session_id": f"s{who}",
                "content_id": "final" if chance.random() < 0.98 else "film",
                "event_type": one_of(SUPER_OVER if phase == "super_over" else MIX, chance),
                "timestamp": start + chance.randrange(seconds * 1_000),
                "quality": one_of(QUALITIES, chance),
                "buffer_health": round(min(100, max(0, chance.gauss(75, 25))), 1),
                "location": region,
                "device_type": one_of(DEVICES, chance),
            }
            events.append(event)
        start += seconds * 1_000
    events = sorted(events, key=lambda event: event["timestamp"] + chance.randrange(4_000))[: arguments.events]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "events.jsonl").write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))


if __name__ == "__main__":
    main()
