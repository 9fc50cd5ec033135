#!/usr/bin/env python3
"""What a video platform must do (system S12): live-video.py IN OUT, a plain computation over all events at once.

Sessions are placed in the order in which their events came; the dashboard is then counted from the list of who came and went.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path

QUALITIES = [("4K", 25_000, 10), ("1080p", 8_000, 5), ("720p", 3_000, 3), ("480p", 1_500, 2), ("360p", 800, 1)]
CAPACITY = {"mumbai": 8_000_000, "delhi": 6_000_000, "bangalore": 5_000_000, "hyderabad": 3_000_000, "pune": 2_500_000, "kolkata": 2_000_000}
AT = {"mumbai": (19.0760, 72.8777), "delhi": (28.6139, 77.2090), "bangalore": (12.9716, 77.5946), "hyderabad": (17.3850, 78.4867),
      "pune": (18.5204, 73.8567), "kolkata": (22.5726, 88.3639)}
CITIES = {"pune": "mumbai", "nashik": "mumbai", "gurgaon": "delhi", "noida": "delhi", "mysore": "bangalore", "mangalore": "bangalore",
          "vijayawada": "hyderabad", "bhubaneswar": "kolkata"}
VIEWERS_PER_SESSION = 3_000
MINUTE = 60_000


def kilometres(one, other):
    """By the spherical law of cosines: exact enough between cities, and another formula than the operator's."""
    (lat1, lon1), (lat2, lon2) = (map(math.radians, AT[name]) for name in (one, other))
    cosine = math.sin(lat1) * math.sin(lat2) + math.cos(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
    return 6_371 * math.acos(max(-1, min(1, cosine)))


def commands(event):
    """The quality command and the buffer command for an event; each may be none."""
    names = [name for name, _, _ in QUALITIES]
    place, least = names.index(event["quality"]), dict((name, rate) for name, rate, _ in QUALITIES)[event["quality"]]
    buffer, rate = event["buffer_health"], event["bitrate"]
    step, reason = 0, None
    if buffer < 2 or rate < least:
        step, reason = 1, "buffer_health" if buffer < 2 else "bandwidth_insufficient"
    elif buffer > 8 and rate > 1.5 * least:
        step, reason = -1, "headroom"
    quality = None
    if step and 0 <= place + step < len(names):
        to, _, wanted = QUALITIES[place + step]
        quality = {"session_id": event["session_id"], "from": event["quality"], "to": to, "reason": reason, "buffer": wanted}
    say = ("emergency", "high") if buffer < 1 else ("preventive", "medium") if buffer < 3 else ("optimise", "low") if buffer > 10 else None
    return quality, say and {"session_id": event["session_id"], "action": say[0], "priority": say[1]}


class Circuits:
    """For each region what its sessions said: errors in a row, and since when it is open."""

    def __init__(self):
        self.row, self.opened, self.trial, self.said = Counter(), {}, {}, []

    def tell(self, region, state, time):
        self.said.append({"region": region, "state": state, "at": time})

    def lets_in(self, region, time):
        if region not in self.opened:
            return True
        _, since = self.trial.get(region, (None, self.opened[region]))
        return time - since >= 30_000

    def placed(self, region, session, time):
        if region in self.opened and self.lets_in(region, time):
            if region not in self.trial:
                self.tell(region, "half_open", time)
            self.trial[region] = (session, time)

    def heard(self, region, session, time, error):
        if region in self.opened:
            if self.trial.get(region, (None, 0))[0] == session:
                del self.trial[region]
                if error:
                    self.opened[region] = time
                    self.tell(region, "open", time)
                else:
                    del self.opened[region]
                    self.row[region] = 0
                    self.tell(region, "closed", time)
        else:
            self.row[region] = self.row[region] + 1 if error else 0
            if self.row[region] == 5:
                self.opened[region] = time
                self.tell(region, "open", time)


def place(events):
    """Who is served where: assignments, changes of circuits, of fullness, and everybody who came or went."""
    order = {home: sorted(AT, key=lambda name: kilometres(home, name) if name != home else -1) for home in AT}
    where, load, circuits, full = {}, Counter(), Circuits(), []
    assigned, moves = [], []
    for event in events:
        session, kind, time = event["session_id"], event["event_type"], event["timestamp"]
        if session in where:
            circuits.heard(where[session], session, time, kind == "error")
            if kind in ("pause", "stop"):
                moves.append((time, where[session], -1))
                load[where.pop(session)] -= 1
        elif kind == "play":
            city = event["location"].lower()
            home = CITIES.get(city, city if city in AT else "mumbai")
            room = [name for name in order[home] if (load[name] + 1) * VIEWERS_PER_SESSION <= 0.85 * CAPACITY[name] and circuits.lets_in(name, time)]
            if (not room) != (bool(full) and full[-1]["full"]):
                full.append({"full": not room, "home": home, "at": time})
            region = room[0] if room else home
            circuits.placed(region, session, time)
            where[session] = region
            load[region] += 1
            moves.append((time, region, 1))
            assigned.append({"session_id": session, "home": home, "region": region, "spilled": region != home})
    return assigned, circuits.said, full, moves


def dashboards(events, moves):
    for minute in sorted({event["timestamp"] // MINUTE for event in events}):
        own = [event for event in events if event["timestamp"] // MINUTE == minute]
        regions = {name: sum(by for time, region, by in moves if region == name and time // MINUTE <= minute) for name in AT}
        yield {"minute": minute * MINUTE, "concurrent": sum(regions.values()), "regions": regions, "events": len(own),
               "qualities": Counter(event["quality"] for event in own), "networks": Counter(event["network_type"] for event in own),
               "mean_buffer": math.fsum(event["buffer_health"] for event in own) / len(own),
               "error_rate": sum(event["event_type"] == "error" for event in own) / len(own)}


def main():
    source, out = map(Path, sys.argv[1:])
    events = [json.loads(line) for line in open(source / "viewing.jsonl")]
    said = [commands(event) for event in events if event["event_type"] != "stop"]
    assigned, circuits, full, moves = place(events)
    found = {"quality": [quality for quality, _ in said if quality], "buffer": [buffer for _, buffer in said if buffer], "assigned": assigned,
             "circuits": circuits, "full": full, "dashboard": list(dashboards(events, moves)), "refused": []}
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
