# ruff: noqa: S607 - the tools of a Debian machine, wherever its PATH has them
"""Root file systems: made by debootstrap, changed as a Dockerfile says, entered as a container would be."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.dockerfile import Stage, context

_SUITE = "bookworm"
_MACHINE = "/mnt"  # where a step of the build finds what it needs of this machine: its certificates, its index
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# $1 root, $2 "ro" or "rw", $3 the folder of the machine or a volume's, $4 where that is mounted; the rest is run.
_ENTER = """
set -e
root=$1 mode=$2 folder=$3 place=$4; shift 4
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
if [ -n "$folder" ]; then mount --bind "$folder" "$root$place"; fi
if [ "$mode" = ro ]; then
  mount -t tmpfs -o size=64m,nosuid,nodev,noexec,mode=1777 tmpfs "$root/tmp"
  mount -o remount,bind,ro "$root"
fi
exec chroot "$root" "$@"
"""
_AS_THE_USER = ("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")


@dataclass(frozen=True)
class Tree:
    """A root file system in a folder."""

    folder: Path

    def start(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        user: str = "0:0",
        workdir: str = "/",
        read_only: bool = False,
        mount: tuple[Path, str] | None = None,
        output: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Run the words as process 1 of its own mounts and process numbers; not root: without any capability."""
        number, _, group = user.partition(":")
        privileges = [] if number == "0" else ["setpriv", f"--reuid={number}", f"--regid={group}", *_AS_THE_USER]
        told = [f"{name}={value}" for name, value in environment.items()]
        inside = ["env", "-i", *told, "sh", "-c", f'cd {workdir} && exec "$@"', "sh", *words]
        folder, place = mount or ("", "")
        enter: list[str | Path] = ["sh", "-c", _ENTER, "sh", self.folder, "ro" if read_only else "rw", folder, place]
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *enter, *privileges, *inside],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def copy(self, to: Path) -> "Tree":
        subprocess.run(["cp", "--archive", "--reflink=auto", self.folder, to], check=True)
        return Tree(to)

    def kib(self) -> int:
        told = subprocess.run(["du", "-skx", self.folder], check=True, capture_output=True, text=True)
        return int(told.stdout.split()[0])


@dataclass
class Builder:
    """Builds the stages of a Dockerfile, one tree each."""

    checkout: Path
    work: Path
    trees: dict[str, Tree] = field(default_factory=dict)

    def base(self) -> Tree:
        """Debian, from the mirror that this machine has."""
        tree = Tree(self.work / "base")
        with (self.work / "debootstrap.log").open("wb") as log:
            command: list[str | Path] = ["debootstrap", "--variant=minbase", _SUITE, tree.folder, _mirror()]
            subprocess.run(command, check=True, stdout=log, stderr=log)
        return tree

    def build(self, stage: Stage, base: Tree) -> Tree:
        """Obey the instructions that change the tree. Raises CalledProcessError when one fails."""
        if stage.base != f"debian:{_SUITE}-slim":
            raise ValueError(f"the proof has no {stage.base}")
        tree = base.copy(self.work / (stage.name or "end"))
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        for one in stage.instructions:
            if one.name == "RUN":
                self._run(tree, one.value, environment)
            elif one.name == "COPY":
                self._copy(tree, one.value.split())
            elif one.name in {"ENV", "WORKDIR", "USER"}:
                environment |= stage.environment() if one.name == "ENV" else {}
        self.trees[stage.name] = tree
        return tree

    def _run(self, tree: Tree, command: str, environment: Mapping[str, str]) -> None:
        machine = self.work / "machine"
        machine.mkdir(exist_ok=True)
        told = {**environment, **_of_this_machine(machine)}
        words = ["/bin/sh", "-c", command]
        with (self.work / "build.log").open("ab") as log:
            step = tree.start(words, environment=told, mount=(machine, _MACHINE), output=log.fileno())
            if step.wait() != 0:
                raise subprocess.CalledProcessError(step.returncode, command)

    def _copy(self, tree: Tree, words: list[str]) -> None:
        source, target = words[-2], tree.folder / words[-1].lstrip("/")
        if words[0].startswith("--from="):
            stage = self.trees[words[0].removeprefix("--from=")]
            subprocess.run(["cp", "--archive", "--no-target-directory", stage.folder / source[1:], target], check=True)
            return
        for path in self._of_context(source):
            inner = path.relative_to(source) if (self.checkout / source).is_dir() else Path(path.name)
            to = target / inner if words[-1].endswith("/") or (self.checkout / source).is_dir() else target
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.checkout / path, to)

    def _of_context(self, source: str) -> Iterator[Path]:
        allowed = context(self.checkout, (self.checkout / ".dockerignore").read_text())
        found = [path for path in allowed if path == Path(source) or Path(source) in path.parents]
        if not found:
            raise FileNotFoundError(f".dockerignore keeps {source} out")
        yield from found


def _mirror() -> str:
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text() for path in lists if path.is_file())
    found = re.search(
        rf"^(?:deb (?:\[.*\] )?|URIs: )(https?://\S+)(?: {_SUITE} |\nSuites:.*\b{_SUITE}\b)", text, re.MULTILINE
    )
    if not found:
        raise LookupError(f"/etc/apt names no mirror of {_SUITE}")
    return found[1]


def _of_this_machine(folder: Path) -> dict[str, str]:
    """What a build engine is told as well: proxies, the package index, who signs certificates. Nothing of it stays."""
    told = {
        name: value for name, value in os.environ.items() if name.lower() in {"http_proxy", "https_proxy", "no_proxy"}
    }
    told |= {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT") if name in os.environ}
    apt = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout.splitlines()
    lines = [line for line in apt if re.match(r"Acquire::https?::Proxy\b", line)]
    if _CERTIFICATES.exists():
        shutil.copy(_CERTIFICATES, folder / "certificates.pem")
        told["PIP_CERT"] = f"{_MACHINE}/certificates.pem"
        lines.append(f'Acquire::https::CAInfo "{_MACHINE}/certificates.pem";')
    (folder / "apt.conf").write_text("\n".join(lines) + "\n")
    index = subprocess.run(["pip3", "config", "get", "global.index-url"], check=False, capture_output=True, text=True)
    if index.returncode == 0:
        told.setdefault("PIP_INDEX_URL", index.stdout.strip())
    return {**told, "APT_CONFIG": f"{_MACHINE}/apt.conf"}
