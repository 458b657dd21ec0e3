"""A Dockerfile as instructions, and which files of the checkout it may copy."""

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_KNOWN = {
    *("FROM", "LABEL", "RUN", "COPY", "ENV", "WORKDIR"),
    *("USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
}


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str


@dataclass
class Stage:
    """What begins with one FROM."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, name: str) -> str:
        """The value that counts of an instruction that replaces itself; raises LookupError when there is none."""
        values = [one.value for one in self.instructions if one.name == name]
        if not values:
            raise LookupError(f"no {name}")
        return values[-1]

    def words(self, name: str) -> list[str]:
        """The words of ENTRYPOINT, CMD or HEALTHCHECK's CMD; raises ValueError unless it is written in exec form."""
        value = self.last(name)
        words = json.loads(value[value.index("[") :])
        if not isinstance(words, list):
            raise ValueError(f"{name} is not in exec form")  # noqa: TRY004 - the file is wrong, not the code
        return [str(word) for word in words]

    def environment(self) -> dict[str, str]:
        pairs = [word for one in self.instructions if one.name == "ENV" for word in shlex.split(one.value)]
        return dict(pair.split("=", 1) for pair in pairs)


def stages(text: str) -> list[Stage]:
    """The stages in their order. Raises ValueError for an instruction that the proof does not know."""
    found: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name not in _KNOWN:
            raise ValueError(f"not known to the proof: {instruction.name}")
        if instruction.name == "FROM":
            base, _, name = instruction.value.partition(" AS ")
            found.append(Stage(base.strip(), name.strip()))
        else:
            found[-1].instructions.append(instruction)
    return found


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, value = line.partition(" ")
            yield Instruction(name.upper(), value.strip())


def context(folder: Path, ignored: str) -> list[Path]:
    """The files of the checkout that .dockerignore lets through, relative to the folder: its last match decides."""
    rules = [line.strip() for line in ignored.splitlines() if line.strip() and not line.startswith("#")]
    tops = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    candidates = [path for top in tops for path in (folder / top, *(folder / top).rglob("*"))]
    relative = {path.relative_to(folder) for path in candidates if path.is_file()}
    return sorted(path for path in relative if not _ignores(rules, path))


def _ignores(rules: list[str], path: Path) -> bool:
    """A rule for a folder is one for what is in it."""
    names = [str(one) for one in (path, *path.parents)]
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        matches = any(
            fnmatch.fnmatch(name, pattern) or (pattern.startswith("**/") and fnmatch.fnmatch(name, pattern[3:]))
            for name in names
        )
        if matches:
            ignored = not rule.startswith("!")
    return ignored
