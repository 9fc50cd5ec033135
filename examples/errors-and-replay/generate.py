#!/usr/bin/env python3
"""Payments of an hour: generate.py FOLDER [--events N] [--seed S] writes FOLDER/payments.jsonl.

4 % have a transient fault, 1 % a persistent one, 0.1 % a catastrophic one, at which the operator breaks down. In the second half hour there are twice
as many. Payments come up to a second out of order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_700_000_400_000
SPAN = 3_600_000
TRANSIENT = ["timeout", "network unreachable", "temporary failure", "rate_limit exceeded"]
PERSISTENT = ["invalid_account", "insufficient_funds", "blocked_user"]
CATASTROPHIC = ["database_corruption", "system_failure", "data_loss"]


def fault(chance, times):
    """A fault, or none."""
    at = chance.random() * 100 / times
    if at < 0.1:
        return {"message": f"{chance.choice(CATASTROPHIC)} in the ledger", "breaks": True}
    if at < 1.1:
        fault = {"message": chance.choice(PERSISTENT), "component": chance.choice(["processor", "database", "external_api", "printer"])}
        return fault | ({"everywhere": True} if chance.random() < 0.2 else {})
    return {"message": chance.choice(TRANSIENT), "times": chance.choice([0, 0, 0, 1, 1, 2, 3])} if at < 5.1 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    payments = []
    for number in range(arguments.events):
        offset = number * SPAN // arguments.events
        payment = {"payment_id": f"P{number:06}", "account": f"A{chance.randrange(500):03}", "amount": round(chance.lognormvariate(6.2, 1.2), 2),
                   "timestamp": BEGIN + offset}
        found = fault(chance, 1 if 2 * number < arguments.events else 2)
        payments.append((offset + chance.randrange(1_000), payment | ({"fault": found} if found else {})))
    payments.sort(key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(payment, separators=(",", ":")) + "\n" for _, payment in payments)
    (arguments.folder / "payments.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
