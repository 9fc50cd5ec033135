#!/usr/bin/env python3
"""Twenty minutes of a match: generate.py FOLDER [--events N] [--seed S] writes FOLDER/viewing.jsonl.

Of the events 60 % are play, 15 % quality_change, 20 % pause, 5 % stop, and besides errors: one region after the other fails for half a minute.
Events come up to three seconds out of order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_700_000_000_000
SPAN = 1_200_000
CITIES = {"Mumbai": 22, "Pune": 10, "Nashik": 4, "Delhi": 14, "Gurgaon": 6, "Noida": 6, "Bangalore": 11, "Mysore": 3, "Mangalore": 2,
          "Hyderabad": 8, "Vijayawada": 3, "Kolkata": 6, "Bhubaneswar": 2, "Springfield": 3}
FAILING = ["Delhi", "Kolkata", "Mumbai", "Bangalore"]
LEAST = {"4K": 25_000, "1080p": 8_000, "720p": 3_000, "480p": 1_500, "360p": 800}


def playing(chance):
    """What a player says of its quality."""
    quality = chance.choices(list(LEAST), [5, 15, 30, 35, 15])[0]
    return {
        "quality": quality,
        "buffer_health": round(max(0, chance.normalvariate(6, 3.5)), 1),
        "bitrate": round(LEAST[quality] * chance.choice([0.8, 1, 1.2, 1.5, 1.6, 2])),
        "network_type": chance.choices(["4g", "5g", "wifi", "fiber"], [40, 20, 30, 10])[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    events, active, homes = [], [], {}
    for number in range(arguments.events):
        offset = number * SPAN // arguments.events
        kind = chance.choices(["play", "quality_change", "pause", "stop"], [60, 15, 20, 5])[0]
        # In every fifth minute a city fails for 30 s: a third of what its sessions say are errors.
        minute = offset // 60_000
        failing = FAILING[minute // 5 % 4] if minute % 5 == 3 and offset % 60_000 < 30_000 else None
        if failing and chance.random() < 0.33 and any(homes[session] == failing for session in active[-200:]):
            kind, session = "error", chance.choice([session for session in active[-200:] if homes[session] == failing])
        elif kind == "play" or not active:
            # One in twenty plays again what plays already.
            session = chance.choice(active) if active and chance.random() < 0.05 else f"S{number:06}"
            kind = "play"
        else:
            session = active.pop(chance.randrange(len(active))) if kind in ("pause", "stop") else chance.choice(active)
        if kind == "play" and session not in homes:
            homes[session] = chance.choices(list(CITIES), CITIES.values())[0]
            active.append(session)
        event = {"event_id": f"E{number:06}", "user_id": f"U{session[1:]}", "session_id": session, "content_id": "final", "event_type": kind,
                 "timestamp": BEGIN + offset, "location": homes[session], "device_id": f"D{session[1:]}",
                 "device_type": chance.choices(["mobile", "smart_tv", "tablet", "laptop"], [70, 15, 10, 5])[0]} | playing(chance)
        events.append((offset + chance.randrange(3_000), event))
    events.sort(key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(event, separators=(",", ":")) + "\n" for _, event in events)
    (arguments.folder / "viewing.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
