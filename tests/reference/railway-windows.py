#!/usr/bin/env python3
"""What the railway's windows must give (system S3): railway-windows.py IN OUT, tables filled from all events at once.

Only lateness needs the order in which reports came: an hour is over once a report more than a minute after its end has been read.
"""

import json
import sys
from pathlib import Path

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KOLKATA = 5 * HOUR + 30 * MINUTE
BUSINESS = {"CST", "Churchgate", "Lower Parel", "BKC"}
RESIDENTIAL = {"Andheri", "Bandra", "Borivali", "Virar"}


def local(time, size):
    """The beginning of the hour or day in Kolkata."""
    return (time + KOLKATA) // size * size - KOLKATA


def period(hour):
    of_day = (hour + KOLKATA) % DAY // HOUR
    if 7 <= of_day < 10:
        return "morning"
    if 18 <= of_day < 21:
        return "evening"
    return "night" if of_day >= 23 or of_day < 6 else "other"


def sum_hours(reports):
    """Passengers by station and hour, and the reports that came too late for theirs."""
    sums, late, newest = {}, [], None
    for report in reports:
        time = report["timestamp"]
        hour = local(time, HOUR)
        if newest is not None and hour + HOUR <= newest - MINUTE:
            late.append(report)
        else:
            sums[report["station"], hour] = sums.get((report["station"], hour), 0) + report["passengers"]
        newest = time if newest is None else max(newest, time)
    return sums, late


def hours(sums):
    for (station, hour), passengers in sums.items():
        kind = "PEAK" if passengers > 2000 else "BUSY" if passengers > 1000 else "NORMAL" if passengers > 500 else "QUIET"
        row = {"station": station, "window_start": hour, "window_end": hour + HOUR, "passengers": passengers}
        yield row | {"class": kind, "period": period(hour)}


def trends(sums):
    for (station, hour), first in sums.items():
        three = [first, sums.get((station, hour + HOUR)), sums.get((station, hour + 2 * HOUR))]
        if None in three:
            continue
        last = three[2]
        # 1.2 and 0.8 in whole numbers, so that exactly 1.2 is not above it.
        trend = "RISING" if 10 * last > 12 * first else "FALLING" if 10 * last < 8 * first else "STABLE"
        row = {"station": station, "window_start": hour, "window_end": hour + 3 * HOUR, "total": sum(three)}
        yield row | {"mean": sum(three) / 3, "trend": trend}


def periods(sums):
    totals = {}
    for (station, hour), passengers in sums.items():
        key = station, period(hour), local(hour, DAY)
        totals[key] = totals.get(key, 0) + passengers
    for (station, name, day), passengers in totals.items():
        yield {"key": [station, name], "window_start": day, "window_end": day + DAY, "passengers": passengers}


def by_passenger(taps):
    """Each passenger's taps in order of time; of those of one time, in the order in which they came."""
    passengers = {}
    for tap in sorted(taps, key=lambda tap: tap["timestamp"]):
        passengers.setdefault(tap["passenger_id"], []).append(tap)
    return passengers


def sessions(passengers):
    for who, taps in passengers.items():
        runs = [[taps[0]]]
        for before, tap in zip(taps, taps[1:]):
            if tap["timestamp"] - before["timestamp"] > 30 * MINUTE:
                runs.append([])
            runs[-1].append(tap)
        for run in runs:
            row = {"key": who, "window_start": run[0]["timestamp"], "window_end": run[-1]["timestamp"] + 30 * MINUTE}
            yield row | {"taps": len(run), "from": run[0]["station"], "to": run[-1]["station"]}


def journeys(passengers):
    for who, taps in passengers.items():
        for entry, leave in zip(taps, taps[1:]):
            took = leave["timestamp"] - entry["timestamp"]
            if (entry["gate"], leave["gate"]) != ("entry", "exit") or took >= 12 * HOUR:
                continue
            if entry["station"] in RESIDENTIAL and leave["station"] in BUSINESS:
                kind = "home_to_work"
            elif entry["station"] in BUSINESS and leave["station"] in RESIDENTIAL:
                kind = "work_to_home"
            else:
                kind = "local" if took < 20 * MINUTE else "long_distance"
            row = {"passenger_id": who, "from": entry["station"], "to": leave["station"], "minutes": took / MINUTE}
            yield row | {"entered": entry["timestamp"], "left": leave["timestamp"], "pattern": kind}


def main():
    source, out = map(Path, sys.argv[1:])
    reports, taps = ([json.loads(line) for line in open(source / f"{name}.jsonl")] for name in ("counts", "taps"))
    sums, late = sum_hours(reports)
    passengers = by_passenger(taps)
    rows = {"hours": hours(sums), "trends": trends(sums), "periods": periods(sums), "late": late}
    rows |= {"sessions": sessions(passengers), "journeys": journeys(passengers)}
    out.mkdir(parents=True, exist_ok=True)
    for name, events in rows.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


if __name__ == "__main__":
    main()
