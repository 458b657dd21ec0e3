"""The README's session, run for real: `python -m tests.support.readme` writes its answers anew."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SHOWN_AT = "127.0.0.1:8000"
SHOWN_RECEIVER = "127.0.0.1:8001"  # of webhooks
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_END = "-- end of answer --"
# Shortened where shown.
_TOKENS = [
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "eyJhbGciOiJFUzI1NiIs…"),
    (re.compile(r'"refresh_token":"[\w-]{40,}"'), '"refresh_token":"AaIIcNwn…"'),
    (re.compile(r"client_secret: [\w-]{40,}"), "client_secret: 9joxp0XE…"),
    (re.compile(r'"ticket":"[\w-]{40,}"'), '"ticket":"Zq3vK8nY…"'),
    (re.compile(r"whsec_[\w+/=]{40,}"), "whsec_C2FVsBQI…"),
]
# What differs from run to run, and what every run has in its place.
_VOLATILE = [
    *_TOKENS,
    (
        re.compile(r"\b(regn|acnt|sess|chlg|cchg|actv|mesg|clnt|scrt|evnt|whep|what|rnam|clda|setl|cldn)_[0-9a-f]{32}"),
        r"\1_<id>",
    ),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<time>"),
    (re.compile(r'"request_id":"[0-9a-f]{32}"'), '"request_id":"<id>"'),
    (re.compile(r'"trace_id": ?"[0-9a-f]{32}"'), '"trace_id":"<id>"'),
    (re.compile(r'"sequence":"\d{20}"'), '"sequence":"<position>"'),
    (re.compile(r'"next_cursor":"[\w-]{20,}"'), '"next_cursor":"<cursor>"'),
    (re.compile(r'"milliseconds":\d+'), '"milliseconds":<few>'),
    (re.compile(r'"user_agent":"[^"]*"'), '"user_agent":"<agent>"'),
    (re.compile(r"^\d{6}$", re.MULTILINE), "<code>"),
]


def normalised(text: str) -> str:
    """`text` without what no two runs have in common."""
    for pattern, stand_in in _VOLATILE:
        text = pattern.sub(stand_in, text)
    return text


def replayed(text: str) -> str:
    """The document with each `$ command` of its console blocks followed by what it answers now."""
    receiver = f"127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as address, _shell(Path(folder)) as shell:
        places = {SHOWN_AT: address, SHOWN_RECEIVER: receiver}
        return _BLOCK.sub(lambda block: f"```console\n{_session(shell, block[1], places)}```", text)


def _session(shell: "subprocess.Popen[str]", block: str, places: Mapping[str, str]) -> str:
    shown = []
    for command in _commands(block):
        asked = command
        for place, actual in places.items():
            asked = asked.replace(place, actual)
        answer = _ask(shell, asked)
        for place, actual in places.items():
            answer = answer.replace(actual, place)
        answer = "".join(f"{line.rstrip()}\n" for line in answer.splitlines())
        for pattern, stand_in in _TOKENS:
            answer = pattern.sub(stand_in, answer)
        shown.append(f"$ {command.replace(chr(10), chr(10) + '> ')}\n{answer}")
    return "".join(shown)


def _commands(block: str) -> Iterator[str]:
    """`$ ` begins a command, `> ` goes on with it; everything else is an answer."""
    lines: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            if lines:
                yield "\n".join(lines)
            lines = [line[2:]]
        elif line.startswith("> "):
            lines.append(line[2:])
    if lines:
        yield "\n".join(lines)


def _ask(shell: "subprocess.Popen[str]", command: str) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}\necho '{_END}'\n")
    shell.stdin.flush()
    answer = ""
    while (line := shell.stdout.readline()) != f"{_END}\n":
        if not line:
            raise RuntimeError(f"the shell ended at: {command}")
        answer += line
    return answer


@contextmanager
def _shell(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    shim = folder / "curl"
    shim.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.support.curl "$@"\n')
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    python = folder / "python3"
    python.symlink_to(sys.executable)
    env = {"PATH": f"{folder}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **_environment(folder)}
    shell = subprocess.Popen(
        ["/bin/bash"],
        cwd=ROOT,
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield shell
    finally:
        os.killpg(shell.pid, signal.SIGKILL)  # with what it left in the background
        shell.communicate()


def _environment(folder: Path) -> dict[str, str]:
    return {
        "GUANCE_DATABASE_URL": f"sqlite:///{folder}/app.db",
        "GUANCE_DEV_MESSAGES_FILE": f"{folder}/messages.jsonl",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A development server as `make run` starts it, on a port and a database of its own; its address."""
    port = _free_port()
    env = {
        "PATH": os.environ["PATH"],
        "GUANCE_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.0/8"]',  # as the README has it
        "GUANCE_ALIBABA_MARKETPLACE_KEY": "isvkey",
        **_environment(folder),
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", str(port)], cwd=ROOT, env=env, stdout=log, stderr=log
        )
    try:
        _wait(f"http://127.0.0.1:{port}/readyz", server)
        yield f"127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start")


if __name__ == "__main__":
    README.write_text(replayed(README.read_text(encoding="utf-8")), encoding="utf-8")
