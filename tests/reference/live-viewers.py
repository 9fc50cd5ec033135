#!/usr/bin/env python3
"""What the viewers of a match must give (system S2): live-viewers.py IN OUT.

Who watches what is a table of sessions; viewers are counted in it after every event, from the first session to the last.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

SCALE = 10_000


def main():
    source, out = map(Path, sys.argv[1:])
    rows = defaultdict(list)
    playing = {}
    watching = {"content": Counter(), "region": Counter()}
    quality = {"content": defaultdict(Counter), "region": defaultdict(Counter)}
    reached = Counter()

    def count(session, now):
        """Lets a session play something else, or nothing; tells who has a viewer more or less."""
        for seen, change in ((playing.pop(session, None), -1), (now, 1)):
            if seen is None:
                continue
            for kind, key, name, limit in (("content", seen[0], "viewers", 50_000_000), ("region", seen[1], "regions", 5_000_000)):
                before = watching[kind][key]
                after = watching[kind][key] = before + change
                rows[name].append({"key": key, "viewers": after})
                if kind == "content" and after * SCALE >= (reached[key] + 1) * 1_000_000:
                    reached[key] += 1
                    rows["milestones"].append({"key": key, "viewers": after})
                if before * SCALE <= limit < after * SCALE:
                    names = ("SCALE_ALERT", "HIGH", "AUTO_SCALE_IMMEDIATELY") if kind == "content" else ("REGIONAL_OVERLOAD", "MEDIUM", "ACTIVATE_BACKUP_CDNS")
                    row = dict(zip(("alert", "severity", "action"), names)) | {"key": key, "viewers": after}
                    rows["scale-alerts" if kind == "content" else "overloads"].append(row)
        if now is not None:
            playing[session] = now

    for line in open(source / "events.jsonl"):
        event = json.loads(line)
        session, kind, region = event["session_id"], event["event_type"], event["location"]
        here = {"region": region, "content_id": event["content_id"], "session_id": session, "quality": event["quality"]}
        if kind == "play" and playing.get(session, (None,))[0] != event["content_id"]:
            count(session, (event["content_id"], region))
        elif kind in ("pause", "stop"):
            count(session, None)
        elif kind == "quality_change":
            for of, key, name in (("content", event["content_id"], "content-quality"), ("region", region, "region-quality")):
                quality[of][key][event["quality"]] += 1
                rows[name].append({"key": key, "counts": dict(quality[of][key])})
            if event["quality"] in ("480p", "360p"):
                rows["alerts"].append(here | {"alert": "POOR_QUALITY"})
        if event["buffer_health"] < 20:
            rows["alerts"].append(here | {"alert": "CDN_INVESTIGATION", "buffer_health": event["buffer_health"]})
            rows["commands"].append({"command": "SCALE_OUT", "region": region})
    out.mkdir(parents=True, exist_ok=True)
    for name in ("viewers", "milestones", "scale-alerts", "regions", "overloads", "content-quality", "region-quality", "alerts", "commands", "refused"):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[name]))


if __name__ == "__main__":
    main()
