#!/usr/bin/env python3
"""Runs and checks the example systems: scripts/example calls it, and so do the tests. It needs a program and guests that are built.

    example.py list
    example.py plugins NAME                                         the plugins that its pipeline names
    example.py clusters NAME                                        the clusters that it has at Kafka, besides the first
    example.py pipeline NAME --kafka ADDRESS --run RUN              its pipeline over topics that are called RUN.STREAM
    example.py run NAME [--events N] [--seed S] [--kafka ADDRESS]
    example.py follow NAME [--events N] [--seed S]                  goes on when its events are through, with its doors open
    example.py check NAME [--seeded] [--kafka ADDRESS]              --seeded: without the hand-made cases

An example reads files of the folder ${SANGAM_IN} and writes files of ${SANGAM_OUT}; such a file is called as its stream. With --kafka
each of those streams is a topic instead: the tool writes the pipeline that says so, and fills and reads the topics by pipelines of their own.
What stands behind `# kafka: ` in the pipeline is part of that one. Right behind a file, `# kafka: cluster = "NAME"` puts the topic at another cluster,
whose address is SANGAM_KAFKA_NAME, or else the first one's.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
REFERENCE = ROOT / "tests" / "reference"
GUESTS = Path(os.environ.get("SANGAM_PLUGINS", ROOT / "target" / "guests"))
EVENTS = 20_000
SEED = 1

# `file = "${SANGAM_IN:-...}/payments.jsonl"`, and the cluster of the topic that it is at Kafka.
CARRIER = re.compile(r'^file = "\$\{SANGAM_(IN|OUT)(?::-[^}]*)?\}/([\w.-]+)\.jsonl"(?:\n# kafka: cluster = "([\w-]+)")?', re.M)


class Example:
    """A folder of examples/."""

    def __init__(self, name):
        self.name = name
        self.folder = EXAMPLES / name
        path = self.folder / "pipeline.toml"
        if not path.is_file() or not CARRIER.search(path.read_text()):
            sys.exit(f"there is no example `{name}`; there are: {', '.join(names())}")
        self.pipeline = path.read_text()
        found = CARRIER.findall(self.pipeline)
        self.inputs = [stream for way, stream, _ in found if way == "IN"]
        self.outputs = [stream for way, stream, _ in found if way == "OUT"]
        self.clusters = {stream: cluster or "main" for _, stream, cluster in found}
        # Streams that it has at Kafka only.
        self.kept = re.findall(r"^# kafka: \[streams\.([\w-]+)\]", self.pipeline, re.M)
        self.clusters |= dict.fromkeys(self.kept, "main")

    def plugins(self):
        """The plugins that the pipeline names: an operator's own name, unless it says another."""
        named = {}
        for operator, body in re.findall(r"^\[operators\.([\w-]+)\]\n(.*?)(?=^\[(?!operators\.\1\.)|\Z)", self.pipeline, re.M | re.S):
            plugin = re.search(r'^plugin = "([\w-]+)"', body, re.M)
            named[plugin.group(1) if plugin else operator] = None
        return list(named)

    def cases(self):
        """The hand-made cases."""
        folder = self.folder / "cases"
        return sorted(case.name for case in folder.iterdir() if case.is_dir()) if folder.is_dir() else []

    def generate(self, into, events, seed):
        """Makes a seeded stream of events, or takes the data that the example has."""
        into.mkdir(parents=True, exist_ok=True)
        generator = self.folder / "generate.py"
        if generator.is_file():
            call([sys.executable, generator, into, "--events", str(events), "--seed", str(seed)])
        else:
            copy_lines(self.folder / "data", into)


def names():
    """All examples that read and write such files."""
    pipelines = sorted(EXAMPLES.glob("*/pipeline.toml"))
    return [path.parent.name for path in pipelines if CARRIER.search(path.read_text())]


def call(command, **environment):
    """Runs a command to its end; what it says is shown when it fails."""
    ran = subprocess.run([str(word) for word in command], env={**os.environ, **environment}, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in command)}:\n{ran.stdout}{ran.stderr}")
    return ran


def copy_lines(source, into):
    """Copies files of events without the lines that are comments."""
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.jsonl")):
        events = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        (into / path.name).write_text("".join(line + "\n" for line in events))


def run_pipeline(example, path, log, watch, **settings):
    """Runs a pipeline of an example to its end, with its watch.py beside it where somebody wants to see; returns what the program prints, its log is in a file."""
    port = free_port() if "SANGAM_ADMIN_PORT" in example.pipeline else ""
    environment = {**os.environ, **settings, "SANGAM_ADMIN_PORT": port}
    with tempfile.TemporaryFile("w+") as said, open(log, "w+") as logged:
        running = subprocess.Popen([program(), "run", str(path), "--no-screen"], env=environment, stdout=said, stderr=logged)
        if watch:
            subprocess.run([sys.executable, str(example.folder / "watch.py"), port, str(running.pid)])
        failed = running.wait() != 0
        said.seek(0)
        logged.seek(0)
        if failed:
            sys.exit(said.read() + logged.read())
        return said.read()


def following(example):
    """The example's pipeline, which goes on with what is added to its files, and answers at a port of its own."""
    text = CARRIER.sub(lambda found: found.group(0) + ("\nfollow = true" if found.group(1) == "IN" else ""), example.pipeline)
    doors = "" if "\n[admin]" in text else '\n[admin]\nlisten = "127.0.0.1:${SANGAM_ADMIN_PORT}"\n'
    return text + doors


def free_port():
    """A port of the loopback interface that nobody has just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def execute(example, work, kafka=None, watch=False):
    """Runs the pipeline from work/in to work/out; returns what the program says at its end."""
    settings = prepare(example, work)
    if kafka:
        return execute_on_kafka(example, work, kafka, watch)
    return run_pipeline(example, example.folder / "pipeline.toml", work / "log.txt", watch, **settings)


def prepare(example, work):
    """Makes the files of work/in that are missing, and an empty work/out; returns what the pipeline is to be told."""
    source, out = work / "in", work / "out"
    for stream in example.inputs:
        (source / f"{stream}.jsonl").touch()
    for old in (out, work / "data"):
        shutil.rmtree(old, ignore_errors=True)
    out.mkdir(parents=True)
    return {"SANGAM_IN": str(source), "SANGAM_OUT": str(out), "SANGAM_DATA": str(work / "data"), "SANGAM_PLUGINS": str(GUESTS)}


def program():
    """The program, which somebody has built."""
    return os.environ.get("SANGAM_BIN") or str(ROOT / "target" / "release" / "sangam")


# === over a Kafka ===


def execute_on_kafka(example, work, address, watch):
    """The same from topics to topics, which no run before it has used."""
    run = f"{example.name}-{time.time_ns() // 1_000_000:x}-{os.getpid():x}"
    settings = {"SANGAM_DATA": str(work / "data"), "SANGAM_PLUGINS": str(GUESTS), "SANGAM_RUN": run}
    pipelines = [
        ("feed", moving(example, run, "feed", address, example.inputs, work / "in", to_topics=True)),
        ("kafka", on_kafka(example, run, address)),
        ("drain", moving(example, run, "drain", address, example.outputs + example.kept, work / "out", to_topics=False)),
    ]
    said = {}
    for name, text in pipelines:
        path = work / f"{name}.toml"
        path.write_text(text)
        # Only the log of the example itself is for people.
        log = work / ("log.txt" if name == "kafka" else f"{name}.txt")
        said[name] = run_pipeline(example, path, log, watch and name == "kafka", **settings)
    return said["kafka"]


def clusters(example, address):
    """The clusters: the first one, and those that the pipeline names."""
    parts = []
    for name in sorted({"main", *example.clusters.values()}):
        at = address if name == "main" else os.environ.get(f"SANGAM_KAFKA_{name.upper()}") or address
        parts.append(f'[clusters.{name}]\nkind = "kafka"\nbrokers = "{at}"\n')
    return "".join(parts)


def on_kafka(example, run, address):
    """The example's pipeline with a topic wherever it has a file of ${SANGAM_IN} or ${SANGAM_OUT}."""

    def topic(found):
        way, stream, _ = found.groups()
        lines = [f'cluster = "{example.clusters[stream]}"', f'topic = "{run}.{stream}"', "create = true", 'format = "json"']
        return "\n".join(lines + (["bounded = true"] if way == "IN" else []))

    text = CARRIER.sub(topic, example.pipeline).replace("\n# kafka: ", "\n")
    text = re.sub(r'^name = ".*"$', f'name = "{run}"', text, count=1, flags=re.M)
    # The first table: what stands before it belongs to the pipeline as a whole.
    return re.sub(r"^\[", clusters(example, address) + "\n[", text, count=1, flags=re.M)


def moving(example, run, name, address, streams, folder, to_topics):
    """A pipeline that brings events from files to topics, or back."""
    parts = [f'name = "{run}-{name}"\nplugins = "${{SANGAM_PLUGINS}}"\ndata = "${{SANGAM_DATA}}-{name}"\n', clusters(example, address)]
    for stream in streams:
        bounded = "" if to_topics else "bounded = true\n"
        parts.append(f'[streams.file-{stream}]\nfile = "{folder}/{stream}.jsonl"\n')
        parts.append(f'[streams.topic-{stream}]\ncluster = "{example.clusters[stream]}"\ntopic = "{run}.{stream}"\nformat = "json"\ncreate = true\n{bounded}')
        ways = ("file", "topic") if to_topics else ("topic", "file")
        parts.append(f'[operators.{stream}]\nplugin = "pass"\ninput = "{ways[0]}-{stream}"\noutput = "{ways[1]}-{stream}"\n')
    return "\n".join(parts)


# === comparing ===


def read_lines(path):
    """The events of a file; lines that begin with # are comments."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def number(value):
    """A number to eleven digits: that two ways of adding up differ further behind is no mistake."""
    if isinstance(value, int):
        return value
    value = float(f"{value:.10e}")
    return int(value) if value.is_integer() else value


def same(got, expected):
    """Whether an output is as expected. Of a map only the fields count that are expected."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(key in got and same(got[key], value) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return isinstance(got, (int, float)) and not isinstance(got, bool) and number(got) == number(expected)
    return type(got) is type(expected) and got == expected


def order_of(path):
    """The field within whose values the order matters, where the file's first line says `# in order by FIELD`."""
    first = path.read_text().partition("\n")[0]
    return found.group(1) if (found := re.fullmatch(r"# in order by ([\w.]+)", first)) else None


def out_of_order(got, expected, field):
    """The values of a field whose events come in another order than is expected."""

    def by_field(lines):
        groups = {}
        for line in lines:
            groups.setdefault(line.get(field), []).append(line)
        return groups

    wanted = by_field(expected)
    return [name for name, lines in by_field(got).items() if not same(lines, wanted.get(name, []))]


def differences(got, expected):
    """What is missing and what is too much, in whatever order they come."""
    fields = [set(key for key, value in line.items() if not isinstance(value, (dict, list))) for line in expected]
    common = sorted(set.intersection(*fields)) if fields else []

    def bucket(line):
        return tuple(str(number(value) if isinstance(value := line.get(key), float) else value) for key in common)

    left = {}
    for line in got:
        left.setdefault(bucket(line), []).append(line)
    missing = []
    # Those that say most first: one that says less must not take away what only they fit.
    for line in sorted(expected, key=lambda line: -len(line)):
        candidates = left.get(bucket(line), [])
        place = next((i for i, candidate in enumerate(candidates) if same(candidate, line)), None)
        if place is None:
            missing.append(line)
        else:
            candidates.pop(place)
    return missing, [line for lines in left.values() for line in lines]


def compare(example, what, out, expected):
    """Says how the outputs differ from those that are expected; a stream of which nothing is expected, not even an empty file, is not looked at."""
    said = []
    looked = 0
    for stream in example.outputs:
        path = expected / f"{stream}.jsonl"
        if not path.is_file():
            continue
        looked += 1
        written = out / f"{stream}.jsonl"
        got = read_lines(written) if written.is_file() else []
        wanted = read_lines(path)
        missing, extra = differences(got, wanted)
        field = order_of(path)
        if field and not (missing or extra) and (wrong := out_of_order(got, wanted, field)):
            said.append(f"{example.name}, {what}, {stream}: all are there, but of `{field}` {wrong[:5]} not in this order")
        if missing or extra:
            said.append(f"{example.name}, {what}, {stream}: {len(got)} events, {len(wanted)} expected")
            said += [f"  missing:  {json.dumps(line)}" for line in missing[:5]]
            said += [f"  too much: {json.dumps(line)}" for line in extra[:5]]
    if not looked:
        said.append(f"{example.name}, {what}: nothing is expected; write expected/{what}/STREAM.jsonl")
    return said


# === the commands ===


def check(example, kafka, only_seeded):
    """Runs every case, and the seeded events against the reference."""
    folder = Path(tempfile.mkdtemp(prefix=f"sangam-{example.name}-"))

    def case(name):
        copy_lines(example.folder / "cases" / name, folder / name / "in")
        copy_lines(example.folder / "expected" / name, folder / name / "expected")
        execute(example, folder / name, kafka)
        return compare(example, name, folder / name / "out", folder / name / "expected")

    def seeded():
        work = folder / "seeded"
        reference = REFERENCE / f"{example.name}.py"
        example.generate(work / "in", EVENTS, SEED)
        for stream in example.inputs:
            (work / "in" / f"{stream}.jsonl").touch()
        call([sys.executable, reference, work / "in", work / "expected"])
        execute(example, work, kafka)
        said = compare(example, "seeded", work / "out", work / "expected")
        if not kafka and (example.folder / "stores.py").is_file():
            said += ask_doors(example, work)
        return said

    cases = [] if only_seeded else example.cases()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(seeded)] + [pool.submit(case, name) for name in cases]
        said = [line for run in runs for line in run.result()]
    if said:
        sys.exit("\n".join(said) + f"\nall of it is in {folder}")
    shutil.rmtree(folder)
    print(f"{example.name}: {len(cases)} cases and the seeded run are as expected")


def ask_doors(example, work):
    """Runs the example while its stores.py asks it for what it keeps; returns what that finds wrong."""
    port = free_port()
    environment = {**os.environ, **prepare(example, work), "SANGAM_ADMIN_PORT": port}
    path = work / "follow.toml"
    path.write_text(following(example))
    with tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen([program(), "run", str(path), "--no-screen"], env=environment, stdout=said, stderr=subprocess.STDOUT)
        asked = subprocess.run([sys.executable, example.folder / "stores.py", port, work / "expected"], capture_output=True, text=True)
        running.terminate()
        if running.wait() != 0 or asked.returncode != 0:
            said.seek(0)
            return [f"{example.name}, the doors:", asked.stdout + asked.stderr, said.read()]
    return []


def follow(example, arguments):
    """Runs the example over seeded events and lets it go on, until it is interrupted; does not return."""
    work = ROOT / "target" / "examples" / example.name
    shutil.rmtree(work, ignore_errors=True)
    example.generate(work / "in", arguments.events, arguments.seed)
    settings = prepare(example, work)
    path = work / "follow.toml"
    path.write_text(following(example))
    print(f"reading on in {(work / 'in').relative_to(ROOT)}, writing to {(work / 'out').relative_to(ROOT)}; Ctrl-C ends it", flush=True)
    os.execve(program(), ["sangam", "run", str(path)], {"SANGAM_ADMIN_PORT": "9600", **os.environ, **settings})


def show(example, arguments):
    """Runs the example over seeded events and says what came out."""
    work = ROOT / "target" / "examples" / example.name
    shutil.rmtree(work, ignore_errors=True)
    example.generate(work / "in", arguments.events, arguments.seed)
    began = time.monotonic()
    said = execute(example, work, arguments.kafka, (example.folder / "watch.py").is_file())
    took = time.monotonic() - began
    print(said.rstrip())
    print()
    for stream in example.inputs + example.outputs + (example.kept if arguments.kafka else []):
        path = work / ("in" if stream in example.inputs else "out") / f"{stream}.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        print(f"{len(lines):>9,}  {path.relative_to(ROOT)}")
    log = work / "log.txt"
    troubles = len(re.findall(r"^\S+ +(?:WARN|ERROR) ", log.read_text(), re.M))
    print(f"{troubles:>9,}  warnings and errors in {log.relative_to(ROOT)}")
    print(f"{took:>8.1f}s  start and end included\n")
    summary = example.folder / "summary.py"
    if summary.is_file():
        print(call([sys.executable, summary, work / "out"]).stdout.rstrip())
    else:
        for stream in example.outputs:
            for line in (work / "out" / f"{stream}.jsonl").read_text().splitlines()[-3:]:
                print(f"{stream}: {line}")


def at_least_one(text):
    """A number of events."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of events, 1 or more")
    return int(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["list", "plugins", "clusters", "pipeline", "run", "follow", "check"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("--events", type=at_least_one, default=EVENTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--seeded", action="store_true")
    parser.add_argument("--kafka", metavar="ADDRESS")
    parser.add_argument("--run")
    arguments = parser.parse_args()
    if arguments.verb == "list":
        return print("\n".join(names()))
    if not arguments.name:
        parser.error("name an example")
    example = Example(arguments.name)
    if arguments.verb == "plugins":
        print(" ".join(example.plugins()))
    elif arguments.verb == "clusters":
        print(" ".join(sorted({*example.clusters.values()} - {"main"})))
    elif arguments.verb == "pipeline":
        print(on_kafka(example, arguments.run, arguments.kafka))
    elif arguments.verb == "check":
        check(example, arguments.kafka, arguments.seeded)
    elif arguments.verb == "follow":
        follow(example, arguments)
    else:
        show(example, arguments)


if __name__ == "__main__":
    main()
