#!/usr/bin/env python3
"""What the Paytm fraud engine must say (system S7): paytm-fraud.py IN OUT, a plain computation over all payments at once.

For every payment it looks through the list of those that had come before: no state is kept up to date, nothing is forgotten, so that
nothing can be forgotten wrongly. Reasons are told by rule and weight, without their texts.
"""

import json
import math
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

KOLKATA = timezone(timedelta(hours=5, minutes=30))
PLACES = {
    "Mumbai": (19.0760, 72.8777),
    "Delhi": (28.6139, 77.2090),
    "Bengaluru": (12.9716, 77.5946),
    "Chennai": (13.0827, 80.2707),
    "Kolkata": (22.5726, 88.3639),
    "Hyderabad": (17.3850, 78.4867),
    "Pune": (18.5204, 73.8567),
    "Jamtara": (23.9637, 86.8146),
    "Mewat": (28.1024, 77.0130),
}
MERCHANTS = {"M-LOANS": 55, "M-GAMES": 71, "M-COINS": 88}
CATEGORIES = {"gambling": 90, "cryptocurrency": 80, "gift_cards": 70, "forex": 60}
SECOND = 1_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
ACTIONS = {"critical": "block", "high": "manual_review", "medium": "additional_verification", "low": "approve"}


def paise(amount):
    return round(amount * 100)


def kilometres(one, other):
    """Along the surface of the earth, by the haversine formula."""
    (lat1, lon1), (lat2, lon2) = PLACES[one], PLACES[other]
    lat1, lon1, lat2, lon2 = map(math.radians, (lat1, lon1, lat2, lon2))
    chord = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371 * math.asin(min(1, math.sqrt(chord)))


def velocity(payment, earlier):
    """Rules on how much and how often; `earlier` has this payment too."""
    time = payment["timestamp"]
    hour = [p for p in earlier if 0 <= time - p["timestamp"] < HOUR]
    day = [p for p in earlier if 0 <= time - p["timestamp"] < DAY]
    if sum(paise(p["amount"]) for p in hour) > paise(50_000):
        yield "hourly_amount", 40
    if len(hour) > 20:
        yield "hourly_count", 30
    if sum(paise(p["amount"]) for p in day) > paise(200_000):
        yield "daily_amount", 50
    # sorted() leaves payments of one time in the order in which they came.
    last = sorted(hour, key=lambda p: p["timestamp"])[-5:]
    if len(last) == 5 and all(paise(p["amount"]) == paise(payment["amount"]) for p in last):
        yield "equal_amounts", 25


def device(payment, before, users):
    """Rules on the device."""
    fingerprint = payment["device_fingerprint"]
    # Sixteen devices are remembered, those used last.
    used = list(dict.fromkeys(p["device_fingerprint"] for p in reversed(before)))[:16]
    if fingerprint not in used:
        yield "new_device", 20
        if payment["amount"] > 25_000:
            yield "new_device_large", 15
    if len(users) > 3:
        yield "shared_device", 30
    if len(fingerprint) < 10:
        yield "short_device", 35


def amounts(payment, changes):
    """Rules on the amount."""
    amount = payment["amount"]
    if amount in (10_000, 25_000, 50_000, 100_000):
        yield "round_amount", 20
    if amount in (9_999, 24_999, 49_999, 99_999):
        yield "just_below", 35
    if 9_000 <= amount <= 9_999:
        yield "structuring", 25
    local = datetime.fromtimestamp(payment["timestamp"] / SECOND, KOLKATA)
    if local.hour < 6 and amount > 10_000 and "odd_hours" not in changes["off"]:
        yield "odd_hours", 15


def geography(payment, before):
    """Rules on the place."""
    seen = [p for p in before if p["location"]]
    # The newest place by event time; of those of one time, the one that came last.
    last = max(enumerate(seen), key=lambda pair: (pair[1]["timestamp"], pair[0]), default=(0, None))[1]
    place = payment["location"]
    if last and (place == last["location"] or (place in PLACES and last["location"] in PLACES)):
        km = 0 if place == last["location"] else kilometres(last["location"], place)
        hours = abs(payment["timestamp"] - last["timestamp"]) / HOUR
        if km > 900 * hours:
            yield "impossible_travel", 50
        elif km > 100 * hours:
            yield "fast_travel", 20
    if place in ("Jamtara", "Mewat"):
        yield "risky_place", 15


def merchant(payment, before, changes):
    """Rules on the merchant."""
    name = payment.get("merchant_id")
    if not name:
        return
    score = changes["merchants"].get(name, MERCHANTS.get(name, 0))
    if score > 70:
        yield "risky_merchant", 30
    elif score > 50:
        yield "doubtful_merchant", 15
    first = min((p["timestamp"] for p in before if p.get("merchant_id") == name), default=payment["timestamp"])
    if "NEW" in name or payment["timestamp"] - first < 30 * DAY:
        yield "new_merchant", 10
    if CATEGORIES.get(payment.get("merchant_category"), 0) > 0:
        yield "risky_category", 5


def model(payment, score):
    """Points of the logistic model."""
    local = datetime.fromtimestamp(payment["timestamp"] / SECOND, KOLKATA)
    since_midnight = local - local.replace(hour=0, minute=0, second=0, microsecond=0)
    circle = since_midnight / timedelta(hours=24) * 2 * math.pi
    z = -9 + 0.6 * math.log(1 + payment["amount"]) + 0.5 * math.cos(circle) + 0.05 * score
    z += 0.2 if local.weekday() >= 5 else 0
    z += {"p2p": 0.3, "bill_payment": -0.5}.get(payment["transaction_type"], 0)
    z += {"wallet": 0.2, "card": 0.1}.get(payment["payment_method"], 0)
    return math.floor(30 / (1 + math.exp(-z)) * 100 + 0.5) / 100


def level(score):
    for name, limit in [("critical", 80), ("high", 60), ("medium", 40)]:
        if score >= limit:
            return name
    return "low"


def in_effect(changes, time):
    """What messages up to a time have said."""
    said = {"merchants": {}, "off": set(), "huge": None}
    for change in sorted(changes, key=lambda change: change["timestamp"]):
        if change["timestamp"] > time:
            break
        if "merchant" in change:
            said["merchants"][change["merchant"]] = change["score"]
        elif change.get("off"):
            said["off"].add(change["id"])
        elif change["id"] == "huge":
            said["huge"] = change["rule"]
    return said


def score(payment, before, users, changes):
    """Score and reasons of a payment."""
    fired = [*velocity(payment, before + [payment]), *device(payment, before, users), *amounts(payment, changes)]
    fired += [*geography(payment, before), *merchant(payment, before, changes)]
    points = sum(weight for _, weight in fired)
    # The model comes last in the preset; a rule from a message comes after it.
    extra = model(payment, points)
    reasons = [{"rule": rule, "weight": weight} for rule, weight in fired]
    if extra > 20:
        reasons.append({"rule": "model", "weight": extra})
    if changes["huge"] and payment["amount"] > changes["huge"]["amount"]:
        points += changes["huge"]["weight"]
        reasons.append({"rule": "huge", "weight": changes["huge"]["weight"]})
    return min(100, points + extra), reasons


def main():
    source, out = map(Path, sys.argv[1:])
    payments = [json.loads(line) for line in open(source / "payments.jsonl")]
    changes = [json.loads(line) for line in open(source / "rules.jsonl")]
    scored, by_payer, by_device, days = [], {}, {}, {}
    for payment in payments:
        before = by_payer.setdefault(payment["sender_phone"], [])
        users = by_device.setdefault(payment["device_fingerprint"], set())
        users.add(payment["sender_phone"])
        points, reasons = score(payment, before, users, in_effect(changes, payment["timestamp"]))
        before.append(payment)
        name = level(points)
        row = {"transaction_id": payment["transaction_id"], "sender_vpa": payment["sender_phone"], "amount": payment["amount"]}
        row |= {"score": round(points, 2), "level": name, "action": ACTIONS[name], "reasons": reasons}
        scored.append(row)
        local = datetime.fromtimestamp(payment["timestamp"] / SECOND, KOLKATA)
        midnight = int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * SECOND
        days.setdefault(midnight, []).append(name)
    totals = []
    for begin, levels in days.items():
        approved, blocked = levels.count("low"), levels.count("critical")
        review = len(levels) - approved - blocked
        row = {"window_start": begin, "window_end": begin + DAY, "approved": approved, "review": review, "blocked": blocked}
        totals.append(row | {"rate": (blocked + review) / len(levels)})
    alerts = [row for row in scored if row["level"] in ("high", "critical")]
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in {"scored": scored, "alerts": alerts, "totals": totals, "refused": []}.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
