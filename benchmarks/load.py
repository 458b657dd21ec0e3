"""The load: wrk where it is installed, else autocannon from npm. Both keep `connections` requests under way."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_CACHE = Path("var/bench-npm")
_AUTOCANNON = "autocannon@8.0.0"
_PATIENCE = 60  # seconds beyond the window before a load generator counts as hung


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one load generator saw: `p50` and `p99` in milliseconds, `refused` are statuses of 400 and above."""

    seconds: float
    requests: int
    refused: int
    broken: int
    p50: float
    p99: float


class Load:
    """One load under way, on its own from the moment it is made; `outcome` waits for its end."""

    def __init__(
        self, requests: Sequence[bytes], folder: Path, *, port: int, connections: int, seconds: float, once: bool
    ) -> None:
        folder.mkdir(exist_ok=True)
        path = folder / f"requests-{port}-{connections}"
        with path.open("wb") as file:
            for one in requests:
                file.write(b"%d\n%b" % (len(one), one))
        options = ["once"] if once else []
        self._seconds = seconds
        self._process = subprocess.Popen(
            [*_command(port, connections, seconds), str(path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def outcome(self) -> Outcome:
        """Raises RuntimeError when the load generator failed."""
        said, _ = self._process.communicate(timeout=self._seconds + _PATIENCE)
        result = next((line for line in said.splitlines() if line.startswith("RESULT ")), None)
        if self._process.returncode != 0 or result is None:
            raise RuntimeError(f"the load generator failed: {said[-2000:]}")
        return Outcome(**json.loads(result.removeprefix("RESULT ")))


def tool() -> str:
    """The name of what makes the load; fetches autocannon when wrk is not there."""
    if shutil.which("wrk"):
        return "wrk"
    if not (_CACHE / "node_modules" / "autocannon").exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", str(_CACHE), _AUTOCANNON], check=True)  # noqa: S607
    return "autocannon"


def _command(port: int, connections: int, seconds: float) -> list[str]:
    if tool() == "wrk":
        script = str(_HERE / "wrk.lua")
        address = f"http://127.0.0.1:{port}"
        # wrk takes whole seconds.
        return [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{round(seconds)}s",
            "--timeout",
            "60s",
            "-s",
            script,
            address,
            "--",
        ]
    return ["node", str(_HERE / "autocannon.cjs"), str(_CACHE.resolve()), str(port), str(connections), str(seconds)]
