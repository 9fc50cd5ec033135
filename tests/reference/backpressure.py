#!/usr/bin/env python3
"""What becomes of jobs of three priorities (system S11): backpressure.py IN OUT.

Every job comes out, in the order of its priority. Where its rounds end is not looked for round by round: n steps of x → a·x + c are one
step with aⁿ and c·(aⁿ − 1)/(a − 1).
"""

import json
import sys
from pathlib import Path

FACTOR, TERM, ROUNDS = 6364136223846793005, 1442695040888963407, 40_000
WHOLE = 1 << 64


def main():
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    # Modulo (a − 1) times as much, the division leaves nothing.
    power = pow(FACTOR, ROUNDS, WHOLE * (FACTOR - 1))
    factor, term = power % WHOLE, (power - 1) // (FACTOR - 1) * TERM % WHOLE
    for name in ["high", "normal", "low"]:
        jobs = [json.loads(line) for line in (source / f"{name}.jsonl").read_text().splitlines()]
        done = ({"id": job["id"], "result": str((job["seed"] * factor + term) % WHOLE)} for job in jobs)
        (out / f"done-{name}.jsonl").write_text("".join(json.dumps(job) + "\n" for job in done))
    (out / "refused.jsonl").write_text("")


main()
