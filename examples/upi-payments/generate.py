#!/usr/bin/env python3
"""UPI payments of a day with a surge of bets: generate.py FOLDER [--events N] [--seed S] writes payments, balances and rules.

Half of the payments are those of an ordinary day, some of which are too large, badly addressed, not covered, hurried, or made far apart. The
other half is the surge: amounts of 100 + i mod 1000 from two cities in turn, by 1,000 devices, within a few minutes. Payments come up to 90 ms
out of order.
"""

import argparse
import json
import random
from pathlib import Path

CITIES = ["Mumbai", "Delhi", "Bengaluru", "Chennai", "Kolkata", "Hyderabad", "Pune", "Thane"]
BEGIN = 1_699_986_600_000  # 2023-11-15 00:00 in Kolkata
SECOND = 1_000
HOUR = 3_600 * SECOND


def ordinary(number, time, payers, chance):
    """A payment of an ordinary day."""
    # One of them after the other is in a hurry: for half an hour.
    who = payers[number // 250 % 12] if chance.random() < 0.1 else chance.choice(payers)
    amount = round(chance.lognormvariate(6.9, 1.4), 2)
    if chance.random() < 0.05:
        amount = chance.choice([10_000, 20_000, 45_000, 50_000.01, 75_000, 200_000, 200_000.01, 0, -5])
    receiver = f"shop{chance.randrange(500)}@upi" if chance.random() < 0.98 else "shop-without-a-bank"
    return {
        "transaction_id": f"P{number:07}",
        "sender_vpa": who["vpa"],
        "receiver_vpa": receiver,
        "amount": amount,
        "timestamp": time,
        "device_id": who["device"] if chance.random() < 0.93 else f"borrowed-{chance.randrange(4)}-{who['vpa']}",
        "location": who["home"] if chance.random() < 0.95 else chance.choice(CITIES + ["Nowhere"]),
        "merchant_category": chance.choice(["grocery", "fuel", "rent"]),
    }


def bet(number, i, time):
    """A payment of the surge."""
    return {
        "transaction_id": f"P{number:07}",
        "sender_vpa": f"fan{i % 4_000}@upi",
        "receiver_vpa": "bets@upi",
        "amount": 100 + i % 1_000,
        "timestamp": time,
        "device_id": f"device{i % 1_000}",
        "location": ["Mumbai", "Delhi"][i % 2],
        "merchant_category": "betting",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    half = arguments.events // 2
    payers = [{"vpa": f"user{i}@bank", "home": chance.choice(CITIES), "device": f"phone-of-{i}"} for i in range(max(20, half // 15))]
    payments = []
    for number in range(half):
        time = BEGIN + number * 20 * HOUR // half + chance.randrange(SECOND)
        payments.append((time + chance.randrange(90), ordinary(number, time, payers, chance)))
    for i in range(arguments.events - half):
        time = BEGIN + 20 * HOUR + i * 20
        payments.append((time + chance.randrange(90), bet(half + i, i, time)))
    payments.sort(key=lambda pair: pair[0])
    accounts = [who["vpa"] for who in payers] + [f"fan{i}@upi" for i in range(4_000)]
    balances = [{"vpa": vpa, "balance": chance.choice([800, 60_000, 1_000_000, 1_000_000]), "timestamp": BEGIN - HOUR} for vpa in accounts[1:]]
    for _ in range(half // 10):
        balances.append({"vpa": chance.choice(accounts), "balance": chance.choice([0, 500, 100_000]), "timestamp": BEGIN + chance.randrange(20 * HOUR)})
    balances.sort(key=lambda row: row["timestamp"])
    rules = [{"id": "new_device", "rule": {"type": "new_device", "weight": 25}, "timestamp": BEGIN + 12 * HOUR}]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, events in [("payments", [event for _, event in payments]), ("balances", balances), ("rules", rules)]:
        (arguments.folder / f"{name}.jsonl").write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))


if __name__ == "__main__":
    main()
