#!/usr/bin/env python3
"""What the UPI payment system must say (system S1): upi-payments.py IN OUT, a plain computation over all payments at once.

Each payment is looked up in the sorted table of balances, and scored by a walk through all payments that its payer made before. Reasons are
told by rule and weight, without their texts.
"""

import bisect
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
    "Thane": (19.2183, 72.9781),
}
SECOND = 1_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR


def paise(amount):
    return round(amount * 100)


def kilometres(one, other):
    """Along the surface of the earth, by the haversine formula."""
    (lat1, lon1), (lat2, lon2) = PLACES[one], PLACES[other]
    lat1, lon1, lat2, lon2 = map(math.radians, (lat1, lon1, lat2, lon2))
    chord = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371 * math.asin(min(1, math.sqrt(chord)))


def refusal(payment, versions):
    """Why a payment is not worth a score; `versions` are the balances of its payer, sorted by time."""
    if payment["amount"] <= 0:
        return "Invalid amount"
    if payment["amount"] > 200_000:
        return "Amount exceeds UPI limit"
    if "@" not in payment["sender_vpa"] or "@" not in payment["receiver_vpa"]:
        return "Invalid VPA format"
    valid = bisect.bisect_right(versions, payment["timestamp"], key=lambda row: row["timestamp"])
    balance = versions[valid - 1]["balance"] if valid else 0
    return "Insufficient balance" if balance < payment["amount"] else None


def factors(payment, before, new_device):
    """Rules that fire, in the order of the preset, without the model."""
    time, amount = payment["timestamp"], payment["amount"]
    hour = [p for p in before if time - p["timestamp"] < HOUR] + [payment]
    day = [p for p in before if time - p["timestamp"] < DAY] + [payment]
    if len(hour) >= 15:
        yield "busy_hour", 30
    if sum(paise(p["amount"]) for p in hour) > paise(50_000):
        yield "hourly_amount", 25
    if amount >= 10_000 and paise(amount) % paise(1_000) == 0:
        yield "round_amount", 15
    last = before[-1] if before else None
    if last and payment["location"] != last["location"] and payment["location"] in PLACES and last["location"] in PLACES:
        km, hours = kilometres(last["location"], payment["location"]), (time - last["timestamp"]) / HOUR
        if km > 500 * hours:
            yield "impossible_travel", 50
        elif km > 100 * hours and km > 50:
            yield "fast_travel", 20
    if sum(paise(p["amount"]) for p in day) > paise(100_000):
        yield "daily_limit", 0
    if len(hour) > 20:
        yield "hourly_limit", 0
    devices = list(dict.fromkeys(p["device_id"] for p in reversed(before)))[:16]
    if payment["device_id"] not in devices:
        yield "new_device", new_device


def model(payment, score):
    """Points of the logistic model."""
    local = datetime.fromtimestamp(payment["timestamp"] / SECOND, KOLKATA)
    since_midnight = local - local.replace(hour=0, minute=0, second=0, microsecond=0)
    circle = since_midnight / timedelta(hours=24) * 2 * math.pi
    z = -9 + 0.6 * math.log(1 + payment["amount"]) + 0.5 * math.cos(circle) + 0.05 * score
    z += 0.2 if local.weekday() >= 5 else 0
    return math.floor(50 / (1 + math.exp(-z)) * 100 + 0.5) / 100


def decide(payment, before, rules):
    """The decision on a payment that holds."""
    changed = [rule["rule"]["weight"] for rule in rules if rule["timestamp"] <= payment["timestamp"]]
    fired = list(factors(payment, before, changed[-1] if changed else 20))
    points = sum(weight for _, weight in fired)
    extra = model(payment, points)
    reasons = [{"rule": rule, "weight": weight} for rule, weight in fired]
    # A rule that a message changes keeps its place among the others.
    order = ["busy_hour", "hourly_amount", "round_amount", "impossible_travel", "fast_travel", "new_device", "daily_limit", "hourly_limit"]
    reasons.sort(key=lambda reason: order.index(reason["rule"]))
    if extra > 40:
        reasons.append({"rule": "model", "weight": extra})
    score = min(100, round(points + extra, 2))
    action = "blocked" if score >= 80 else "review" if score >= 40 else "approved"
    return {"score": score, "action": action, "reasons": reasons}


def main():
    source, out = map(Path, sys.argv[1:])
    payments, balances, rules = ([json.loads(line) for line in open(source / f"{name}.jsonl")] for name in ("payments", "balances", "rules"))
    versions, by_payer = {}, {}
    for row in sorted(balances, key=lambda row: row["timestamp"]):
        versions.setdefault(row["vpa"], []).append(row)
    decided, refused, success, failure = [], [], [], []
    # A payment waits for its balance, so payments are scored in the order of event time.
    for payment in sorted(payments, key=lambda payment: payment["timestamp"]):
        row = {key: payment[key] for key in ("transaction_id", "sender_vpa", "amount")}
        notice = {key: payment[key] for key in ("transaction_id", "sender_vpa")}
        if reason := refusal(payment, versions.get(payment["sender_vpa"], [])):
            refused.append(row | {"reason": reason})
            failure.append(notice | {"message": f"Payment failed: {reason}"})
            continue
        before = by_payer.setdefault(payment["sender_vpa"], [])
        decision = decide(payment, before, rules)
        before.append(payment)
        decided.append(row | decision)
        if decision["action"] == "approved":
            success.append(notice | {"message": "Payment successful"})
        elif decision["action"] == "blocked":
            failure.append(notice | {"message": "Payment blocked"})
    rows = {"decided": decided, "refused": refused, "success": success, "failure": failure, "errors": [], "unreadable": []}
    out.mkdir(parents=True, exist_ok=True)
    for name, events in rows.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


if __name__ == "__main__":
    main()
