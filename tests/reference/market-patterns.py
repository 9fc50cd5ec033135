#!/usr/bin/env python3
"""Which sequences a day on the market has (system S10): market-patterns.py IN OUT, a plain computation over all events at once.

It sorts each symbol's events by time and walks through them once for every pattern, with loops instead of an automaton.
"""

import json
import math
import re
import sys
from pathlib import Path

GOOD = set("profit growth expansion success achievement breakthrough record high surge boom bull gain rise increase".split())
BAD = set("loss decline fall crash bear recession bankruptcy fraud scandal investigation penalty fine debt".split())
ROUTES = {"bull_run": "desks", "momentum": "desks", "bear_signal": "risk", "panic": "risk", "insider_trading": "regulator", "manipulation": "surveillance"}
SECOND = 1_000


def tone(event):
    """How many more good words than bad ones; none where it is no news."""
    if event["type"] != "news":
        return None
    words = re.findall(r"[a-z0-9]+", event["news_text"].lower())
    return sum(word in GOOD for word in words) - sum(word in BAD for word in words)


def pairs(events, first, second):
    """Pairs of an event and the next one that goes with it. An event counts for one pair only, and so does what lies in between."""
    i = 0
    while i < len(events):
        found = None
        # The pair that is complete first; of those, the one that began first.
        for j in range(i, len(events)):
            found = next((k for k in range(i, j) if first(events[k]) and second(events[k], events[j])), None)
            if found is not None:
                yield [events[found], events[j]]
                i = j + 1
                break
        if found is None:
            return


def gap(one, other, least, most):
    return least * SECOND <= other["timestamp"] - one["timestamp"] <= most * SECOND


def rises(events):
    """Four trades in a row, each higher than the one before."""
    trades = [event for event in events if event["type"] == "trade"]
    i = 0
    while i + 4 <= len(trades):
        four = trades[i : i + 4]
        if all(a["price"] < b["price"] for a, b in zip(four, four[1:])) and gap(four[0], four[3], 0, 180):
            yield four
            i += 4
        else:
            i += 1


def sequences(events, changes):
    """Pattern and events of every sequence."""
    off = [(change["timestamp"], back["timestamp"]) for change in changes if change.get("off") for back in changes
           if back["pattern"] == change["pattern"] and "rule" not in back and not back.get("off")]
    panic = [change["timestamp"] for change in changes if change["pattern"] == "panic"]
    order = lambda event, size: event["type"] == "order" and event["order_size"] > size
    spike = lambda event: event["type"] == "volume_spike"
    # While the pattern is off nothing begins and nothing goes on: before, and after.
    parts = [[event for event in events if event["timestamp"] < begin] for begin, _ in off]
    parts += [[event for event in events if event["timestamp"] >= end] for _, end in off]
    for part in parts or [events]:
        for found in pairs(part, spike, lambda a, b: (tone(b) or 0) > 0 and gap(a, b, 0, 600)):
            yield "bull_run", found
    for found in pairs(events, lambda a: (tone(a) or 0) < 0, lambda a, b: order(b, 10_000) and b["order_type"] == "sell" and gap(a, b, 0, 300)):
        yield "bear_signal", found
    for found in pairs(events, spike, lambda a, b: b["type"] == "news" and gap(a, b, 300, 1_800)):
        yield "insider_trading", found
    opposite = lambda a, b: order(b, 30_000) and b["order_type"] != a["order_type"] and gap(a, b, 0, 60)
    for found in pairs(events, lambda a: order(a, 50_000), opposite):
        yield "manipulation", found
    for found in rises(events):
        yield "momentum", found
    for event in events:
        if panic and event["timestamp"] >= panic[0] and order(event, 95_000) and event["order_type"] == "sell":
            yield "panic", [event]


def alert(pattern, symbol, events):
    started, detected = events[0]["timestamp"], events[-1]["timestamp"]
    confidence = 0.5 + min(0.1 * len(events), 0.3) + max(0, 0.2 - (detected - started) / SECOND / 600)
    confidence = min(1, confidence + (0.2 if pattern == "insider_trading" else 0))
    return {"pattern": pattern, "symbol": symbol, "events": [event["event_id"] for event in events], "started": started,
            "detected": detected, "confidence": math.floor(confidence * 1e6 + 0.5) / 1e6}


def main():
    source, out = map(Path, sys.argv[1:])
    events = [json.loads(line) for line in open(source / "market.jsonl")]
    changes = [json.loads(line) for line in open(source / "rules.jsonl")]
    found = {"regulator": [], "surveillance": [], "desks": [], "risk": [], "late": [], "refused": []}
    for symbol in sorted({event["symbol"] for event in events}):
        # sorted() leaves events of one time in the order in which they came.
        own = sorted((event for event in events if event["symbol"] == symbol), key=lambda event: event["timestamp"])
        for pattern, sequence in sequences(own, changes):
            found[ROUTES[pattern]].append(alert(pattern, symbol, sequence))
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
