#!/usr/bin/env python3
"""Does what a page says, and holds what happens against what the page shows: tour.py [PAGE]; without a page it is docs/tour.md.

Of the page only its fenced blocks count:

    ```rust src/lib.rs      a block that names a file is written to that file
    ```console              commands, each behind `$ `, and below each what it prints. One that shows nothing may print anything
    ```console terminal-2   the same in a second terminal, which is opened in the folder of the first: a command there goes on while the page does, until
                            the line `^C` ends it. Of what it prints the lines shown are waited for, in their order; others may come between
    ```anything else        is for reading

In what is shown, `…` stands for any text within a line, and `...` on a line of its own for any number of lines. A command that only looks (cat,
tail, grep) is run again until it shows what the page does, for as long as PATIENCE_S. Every command must end well. The page begins in the folder of
the repository, with `sangam` in the path; target/tour is removed before.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# How long is waited for what a page shows. The first build of a plugin is the longest.
PATIENCE_S = 60
COMMAND_S = 400
LOOKS = ("cat ", "tail ", "grep ")


@dataclass
class Command:
    """A command of the page, `^C`, or lines that are waited for (no text)."""

    line: int
    text: str
    shown: list = field(default_factory=list)


@dataclass
class Block:
    line: int
    words: list
    lines: list


def blocks(page):
    """The fenced blocks of a page."""
    found, open_block = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if open_block is None and line.startswith("```"):
            open_block = Block(number, line[3:].split(), [])
        elif open_block is not None and line == "```":
            found.append(open_block)
            open_block = None
        elif open_block is not None:
            open_block.lines.append(line)
    if open_block is not None:
        sys.exit(f"{page.name}:{open_block.line}: the block has no end")
    return found


def commands(block):
    """The commands of a block with what each is shown to print."""
    found = []
    for number, line in enumerate(block.lines, block.line + 1):
        if line.startswith("$ ") or line == "^C":
            found.append(Command(number, line.removeprefix("$ ")))
        else:
            if not found:
                found.append(Command(number, ""))
            found[-1].shown.append(line)
    return found


def pattern(line):
    """A line as it is shown, as a pattern for what is printed."""
    return ".*".join(map(re.escape, line.split("…")))


def same(shown, printed):
    """Whether all that is printed is what is shown."""
    text = "".join(r"(?:.*\n)*" if line == "..." else pattern(line.rstrip()) + r"\s*\n" for line in shown)
    return re.fullmatch(text, "".join(line + "\n" for line in printed)) is not None


class Failed(Exception):
    """What is shown is not what happens."""


class First:
    """The terminal in which commands run one after the other: one shell, so that `cd` and `export` stay."""

    def __init__(self, environment):
        self.shell = subprocess.Popen(["bash"], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, start_new_session=True)
        self.count = 0

    def run(self, text):
        """Runs a command; returns its exit status and the lines that it has printed."""
        self.count += 1
        mark = f"==end-of-command-{self.count}=="
        # What the command prints may lack its last line's end. It must not read the commands that follow.
        self.shell.stdin.write(f"{{ {text}\n}} </dev/null\nprintf '\\n{mark} %s\\n' $?\n")
        self.shell.stdin.flush()
        watch = threading.Timer(COMMAND_S, lambda: os.killpg(self.shell.pid, signal.SIGKILL))
        watch.start()
        lines = []
        for line in self.shell.stdout:
            if line.startswith(mark):
                watch.cancel()
                return int(line.split()[1]), "".join(lines).rstrip("\n").splitlines()
            lines.append(line)
        watch.cancel()
        raise Failed(f"it has not ended within {COMMAND_S} s, or has ended the shell:\n{''.join(lines)}")

    def do(self, command):
        until = time.monotonic() + PATIENCE_S
        while True:
            status, printed = self.run(command.text)
            if status == 0 and (not command.shown or same(command.shown, printed)):
                return
            if not command.text.startswith(LOOKS) or time.monotonic() > until:
                break
            time.sleep(0.1)
        printed = "\n".join(printed)
        if status != 0:
            raise Failed(f"it ends with {status}:\n{printed}")
        shown = "\n".join(command.shown)
        raise Failed(f"it prints\n{printed}\nand the page shows\n{shown}")

    def folder(self):
        return self.run("pwd")[1][0]

    def close(self):
        self.shell.stdin.close()
        self.shell.wait()


class Second:
    """The terminal with a command that goes on while the page does."""

    def __init__(self, environment, first):
        self.environment, self.first = environment, first
        self.running, self.printed, self.seen = None, [], 0

    def do(self, command):
        if command.text == "^C":
            self.interrupt()
        elif command.text:
            self.start(command.text)
        self.wait_for(command.shown)

    def start(self, text):
        if self.running:
            raise Failed("what was started in this terminal before still runs")
        self.running = subprocess.Popen(["bash", "-c", f"exec {text}"], cwd=self.first.folder(), env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.printed, self.seen = [], 0
        listen = threading.Thread(target=lambda out, to: to.extend(line.rstrip() for line in out), args=(_lines(self.running), self.printed))
        listen.daemon = True
        listen.start()

    def wait_for(self, shown):
        until = time.monotonic() + PATIENCE_S
        for line in shown:
            while (found := self.find(line)) is None:
                if time.monotonic() > until:
                    printed = "\n".join(self.printed)
                    raise Failed(f"the second terminal does not print\n{line}\nit prints\n{printed}")
                time.sleep(0.02)
            self.seen = found + 1

    def find(self, line):
        """Where a line is among those that have not been looked for."""
        return next((i for i, one in enumerate(self.printed) if i >= self.seen and re.fullmatch(pattern(line), one)), None)

    def interrupt(self):
        if not self.running:
            raise Failed("nothing runs in the second terminal")
        self.running.send_signal(signal.SIGINT)
        status = self.running.wait(PATIENCE_S)
        self.running = None
        if status != 0:
            printed = "\n".join(self.printed)
            raise Failed(f"what ran in the second terminal ends with {status}:\n{printed}")

    def close(self):
        if self.running:
            self.running.kill()
            self.running.wait()


def _lines(process):
    """What a process prints, as it prints it."""
    return iter(process.stdout.readline, "")


def go(page):
    """Goes through the page."""
    program = Path(os.environ["SANGAM_BIN"])
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    # Plugins of the page share what they are made of.
    environment["CARGO_TARGET_DIR"] = str(ROOT / "target" / "tour-built")
    shutil.rmtree(ROOT / "target" / "tour", ignore_errors=True)
    first = First(environment)
    second = Second(environment, first)
    done = 0
    at = None
    try:
        for block in blocks(page):
            if block.words[:1] == ["console"]:
                terminal = second if block.words[1:] == ["terminal-2"] else first
                for command in commands(block):
                    at = command
                    began = time.monotonic()
                    terminal.do(command)
                    done += 1
                    print(f"{time.monotonic() - began:>6.1f} s  {command.text or '(waits)'}", flush=True)
            elif len(block.words) == 2:
                path = Path(first.folder()) / block.words[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(block.lines) + "\n")
    except Failed as why:
        sys.exit(f"{page.name}:{at.line}: {at.text}\n{why}")
    finally:
        second.close()
        first.close()
    if not done:
        sys.exit(f"{page.name} has no commands")
    print(f"{page.name}: {done} commands do what the page shows")


if __name__ == "__main__":
    go(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "tour.md")
