#!/usr/bin/env python3
"""What becomes of payments that fail (system S13): errors-and-replay.py IN OUT, a plain computation over all payments at once.

Accounts are summed up from those payments alone that did not fail; when a payment comes to its end is computed, not waited for.
"""

import json
import sys
from pathlib import Path

CATASTROPHIC = ("database_corruption", "system_failure", "data_loss")
PERSISTENT = ("invalid_account", "insufficient_funds", "blocked_user")
PATHS = {"processor": "backup_operator", "database": "cache", "external_api": "local_fallback"}
TOLERATED = {"transient": 0.05, "persistent": 0.01, "catastrophic": 0.001}
WINDOW = 600_000


def end(payment):
    """Severity, whether it was settled, by whom, after how many tries, and when."""
    fault, time = payment.get("fault"), payment["timestamp"]
    if not fault:
        return "none", True, "processor", 1, time
    if any(word in fault["message"] for word in CATASTROPHIC):
        return "catastrophic", False, "processor", 1, time
    if any(word in fault["message"] for word in PERSISTENT):
        return "persistent", not fault.get("everywhere"), PATHS.get(fault.get("component"), "minimal"), 2, time
    failing = fault.get("times", 0)
    retries = min(failing + 1, 3)
    return "transient", failing < 3, "processor", 1 + retries, time + sum(min(2**n, 60) for n in range(retries)) * 1_000


def report(begin, ends):
    rates = {severity: sum(end[0] == severity for end in ends) / len(ends) for severity in TOLERATED}
    replays = sum(tries - 1 for _, _, _, tries, _ in ends)
    successes = sum(settled for severity, settled, _, _, _ in ends if severity != "none")
    return {"window_start": begin, "payments": len(ends), "replays": replays, "successes": successes, "failures": replays - successes,
            "in_dlq": sum(not settled for _, settled, _, _, _ in ends), "exceeded": [severity for severity, rate in rates.items() if rate > TOLERATED[severity]]
            } | {f"{severity}_rate": rate for severity, rate in rates.items()}


def main():
    source, out = map(Path, sys.argv[1:])
    payments = [json.loads(line) for line in open(source / "payments.jsonl")]
    found = {"booked": [], "outcomes": [], "alerts": [], "dead": [], "report": [], "refused": []}
    windows, totals = {}, {}
    for payment in payments:
        severity, settled, via, tries, at = ended = end(payment)
        windows.setdefault(at // WINDOW * WINDOW, []).append(ended)
        number = payment["payment_id"]
        if severity == "none":
            paise = totals.setdefault(payment["account"], [])
            paise.append(round(payment["amount"] * 100))
            found["booked"].append({"payment_id": number, "account": payment["account"], "total": sum(paise) / 100})
        found["outcomes"].append({"payment_id": number, "severity": severity, "outcome": "settled" if settled else "dead", "via": via, "tries": tries})
        if not settled:
            message = payment["fault"]["message"]
            found["alerts"].append({"payment_id": number, "severity": severity, "message": message, "at": at})
            found["dead"].append({"payment_id": number, "account": payment["account"], "amount": payment["amount"],
                                  "reason": f"{severity}: {message} after {tries} tries"})
    found["report"] = [report(begin, ends) for begin, ends in sorted(windows.items())]
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
