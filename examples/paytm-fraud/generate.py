#!/usr/bin/env python3
"""Wallet payments of two days: generate.py FOLDER [--events N] [--seed S] writes FOLDER/payments.jsonl and FOLDER/rules.jsonl.

Amounts are log-normal with a median of 500 and a sigma of 1.5, up to 100,000; three in ten have a merchant. A few payers hurry, repeat
themselves, share a device, or pay just below a limit. Payments come up to four seconds out of order.
"""

import argparse
import json
import random
from pathlib import Path

CITIES = ["Mumbai", "Delhi", "Bengaluru", "Chennai", "Kolkata", "Hyderabad", "Pune"]
ROUND = [9_000, 9_999, 10_000, 24_999, 25_000, 49_999, 50_000, 99_999, 100_000]
MERCHANTS = ["M-TEA", "M-BOOKS", "M-LOANS", "M-GAMES", "M-COINS", "M-NEW-SHOES", "NEWMART", "M-RAIL"]
CATEGORIES = {"M-GAMES": "gambling", "M-COINS": "cryptocurrency", "M-BOOKS": "books"}
BEGIN = 1_699_900_200_000  # 2023-11-14 00:00 in Kolkata
HOUR = 3_600_000


def payer(i, chance):
    """A payer: who, where, with what."""
    home = chance.choice(CITIES + ["Jamtara"]) if i % 40 == 0 else chance.choice(CITIES)
    device = f"shared-device-{i % 7}" if i % 20 == 0 else f"fp{i}" if i % 33 == 0 else f"device-of-{i:05}"
    return {"phone": f"+9198{i:08}", "home": home, "device": device, "hurried": i % 50 == 0, "repeats": i % 60 == 1}


def payment(number, who, time, chance):
    """One payment of a payer."""
    amount = min(100_000, round(chance.lognormvariate(6.2146, 1.5), 2))
    if who["repeats"]:
        amount = 250
    elif chance.random() < 0.04:
        amount = chance.choice(ROUND)
    event = {
        "transaction_id": f"T{number:07}",
        "sender_phone": who["phone"],
        "receiver_phone": f"+9197{chance.randrange(10**8):08}",
        "amount": amount,
        "payment_method": chance.choice(["wallet", "wallet", "upi", "card"]),
        "location": who["home"] if chance.random() < 0.93 else chance.choice(CITIES + ["Mewat", "Nowhere"]),
        "device_fingerprint": who["device"] if chance.random() < 0.95 else f"other-device-{chance.randrange(3)}-{who['phone']}",
        "timestamp": time,
        "transaction_type": "p2p" if chance.random() < 0.8 else "bill_payment",
    }
    if chance.random() < 0.3:
        event["merchant_id"] = chance.choice(MERCHANTS)
        event["transaction_type"] = "p2m"
        if event["merchant_id"] in CATEGORIES:
            event["merchant_category"] = CATEGORIES[event["merchant_id"]]
    return event


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    payers = [payer(i, chance) for i in range(max(50, arguments.events // 25))]
    hurried = [who for who in payers if who["hurried"] or who["repeats"]]
    span = 48 * HOUR
    payments = []
    for number in range(arguments.events):
        time = BEGIN + number * span // arguments.events + chance.randrange(500)
        # One of them after the other hurries more than the others: for an hour.
        others = hurried if chance.random() < 0.2 else payers
        who = hurried[number // 400 % len(hurried)] if chance.random() < 0.08 else chance.choice(others)
        payments.append((time + chance.randrange(4_000), payment(number, who, time, chance)))
    payments.sort(key=lambda pair: pair[0])
    changes = [
        {"merchant": "M-TEA", "score": 60, "timestamp": BEGIN + 6 * HOUR},
        {"id": "odd_hours", "off": True, "timestamp": BEGIN + 25 * HOUR},
        {"id": "huge", "rule": {"type": "amount_above", "amount": 60_000, "weight": 30}, "timestamp": BEGIN + 30 * HOUR},
    ]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, events in [("payments", [event for _, event in payments]), ("rules", changes)]:
        (arguments.folder / f"{name}.jsonl").write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))


if __name__ == "__main__":
    main()
