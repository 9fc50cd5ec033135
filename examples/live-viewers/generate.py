#!/usr/bin/env python3
"""The evening of a match: generate.py FOLDER [--events N] [--seed S] writes FOLDER/viewing.jsonl.

Six phases, each with its length and its share of the base load; who begins, changes quality, pauses and stops by the phase. The number of
events scales it: 20,000 run in seconds, 200,000,000 in hours.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_700_000_000_000
# Name, seconds, multiplier of the base.
PHASES = [("pre_match", 1_800, 0.3), ("toss", 600, 0.8), ("first_innings", 7_200, 1.0), ("break", 1_200, 0.6), ("second_innings", 7_200, 1.2),
          ("super_over", 600, 1.5)]
KINDS = ["play", "quality_change", "pause", "stop"]
MIX = [60, 15, 20, 5]
SUPER_OVER = [70, 20, 8, 2]
REGIONS = {"mumbai": 15, "chennai": 12, "delhi": 10, "bangalore": 10, "hyderabad": 8, "kolkata": 8, "other_india": 32, "international": 5}
DEVICES = {"mobile": 70, "smart_tv": 15, "tablet": 10, "laptop": 5}
QUALITIES = {"1080p": 10, "720p": 30, "480p": 40, "360p": 20}


def pick(chance, table):
    return chance.choices(list(table), table.values())[0]


def times(events):
    """The offset of every event in ms, and its phase."""
    whole = sum(seconds * share for _, seconds, share in PHASES)
    begin, done = 0, 0.0
    for name, seconds, share in PHASES:
        first, last = round(events * done / whole), round(events * (done + seconds * share) / whole)
        for i in range(first, last):
            yield begin + (i - first) * seconds * 1_000 // max(1, last - first), name
        begin += seconds * 1_000
        done += seconds * share


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    # Who plays, and who has paused, each with what stays the same of a session.
    playing, paused, events = [], [], []
    for number, (offset, phase) in enumerate(times(arguments.events)):
        kind = chance.choices(KINDS, SUPER_OVER if phase == "super_over" else MIX)[0]
        if kind == "play" or not playing:
            kind, again = "play", chance.random()
            if again < 0.05 and playing:
                session = chance.choice(playing)
            elif again < 0.25 and paused:
                session = paused.pop(chance.randrange(len(paused)))
                playing.append(session)
            else:
                content = "final" if chance.random() < 0.95 else chance.choice(["highlights", "interviews"])
                session = {"user_id": f"U{number:06}", "session_id": f"S{number:06}", "content_id": content, "location": pick(chance, REGIONS),
                           "device_type": pick(chance, DEVICES)}
                playing.append(session)
        elif kind == "quality_change":
            session = chance.choice(playing)
        else:
            session = playing.pop(chance.randrange(len(playing)))
            if kind == "pause":
                paused.append(session)
        event = session | {"event_type": kind, "timestamp": BEGIN + offset, "quality": pick(chance, QUALITIES),
                           "buffer_health": round(min(100, max(0, chance.normalvariate(75, 25))), 1)}
        events.append((offset + chance.randrange(3_000), event))
    events.sort(key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(event, separators=(",", ":")) + "\n" for _, event in events)
    (arguments.folder / "viewing.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
