"""docs/security.md and docs/dependencies.md say what is so: each test that they name exists, no requirement is missing,
and what they say of all the code holds in all of it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from jose import jwk

from app.core.clock import now
from app.core.tokens import SigningKey
from app.main import documents

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
DEPENDENCIES = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "app").rglob("*.py"))
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LISTS = ("Requirement by requirement", "What whoever runs it holds", "What cannot apply", "Not held")


def levels() -> dict[str, int]:
    """Each requirement of ASVS 5.0.0 and its level."""
    found: dict[str, int] = {}
    for line in (ROOT / "tests" / "data" / "asvs_levels.txt").read_text().splitlines():
        if not line.startswith("#"):
            section, digits = line.split()
            found |= {f"{section}.{number}": int(digit) for number, digit in enumerate(digits, 1)}
    return found


def part(title: str) -> str:
    """What stands under a heading of the page."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def ids_of(title: str) -> list[str]:
    """The requirements in the first column of its table."""
    cells = re.findall(r"^\| ([\d., ]+) \|", part(title), re.MULTILINE)
    return [one.strip() for cell in cells for one in cell.split(",")]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_list_of_requirements_is_that_of_asvs_5() -> None:
    """Its own count: 345, of which 70, 183 and 92 are of the levels 1, 2 and 3."""
    assert Counter(levels().values()) == {1: 70, 2: 183, 3: 92}


def test_every_requirement_of_levels_1_and_2_is_in_one_list_and_no_made_up_one_is() -> None:
    named = [one for title in LISTS for one in ids_of(title)]
    assert [one for one, times in Counter(named).items() if times > 1] == []
    assert set(named) - set(levels()) == set()
    assert {one for one, level in levels().items() if level < 3} - set(named) == set()


def test_every_row_says_the_level_and_names_a_test() -> None:
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", part(LISTS[0]), re.MULTILINE)
    assert [one for one, _, _ in rows] == ids_of(LISTS[0])
    assert {one: int(level) for one, level, _ in rows} == {one: levels()[one] for one, _, _ in rows}
    assert [one for one, _, tests in rows if not TEST.findall(tests)] == []


@pytest.mark.parametrize("page", [PAGE, DEPENDENCIES], ids=["security", "dependencies"])
def test_every_test_that_is_named_exists(page: str) -> None:
    named = TEST.findall(page)
    assert named
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []


def test_every_threat_names_tests() -> None:
    threats = re.findall(r"^\| \*\*([a-zA-Z ]+)\*\*(.*)$", part("Threats"), re.MULTILINE)
    assert len(threats) == 7
    assert [who for who, row in threats if not TEST.findall(row)] == []


@pytest.mark.parametrize("page", ["security.md", "dependencies.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        other = (ROOT / "docs" / path).read_text(encoding="utf-8") if path else text
        headings = {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", other, re.MULTILINE)
        }
        assert not anchor or anchor in headings, target


# What is said of all the code.


def calls(tree: ast.Module) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def names(node: ast.expr) -> list[str]:
    """The variables in an expression; of constants there are none, or capitals."""
    return [one.id.strip("_") for one in ast.walk(node) if isinstance(one, ast.Name)]


def imports(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_the_service_runs_no_commands_and_evaluates_no_text() -> None:
    """But for itself: the parent of several processes becomes one, which starts others.

    Nor makes it patterns of anything but its own words.
    """
    running = {"os.system", "os.popen", "os.execv", "os.execve", "os.posix_spawn", "os.posix_spawnp"}
    forbidden = {"eval", "exec", "compile", "__import__"} | running
    own = {("prefork.py", "os.execv"), ("keeper.py", "os.posix_spawn")}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert imports(tree) & {"subprocess", "pickle", "marshal", "shelve", "xml", "xml.etree"} == set(), path
        for name, call in calls(tree):
            assert name not in forbidden or (path.name, name) in own, path
            if name.startswith("re.") and name != "re.escape":
                assert all(name.isupper() or name == "sorted" for name in names(call.args[0])), (
                    path,
                    ast.unparse(call),
                )


def test_what_has_to_be_random_comes_from_the_systems_generator() -> None:
    """`random` makes pauses longer by chance, and nothing else."""
    users = {path.name for path in SOURCES if "random" in imports(ast.parse(path.read_text(encoding="utf-8")))}
    assert users == {"outbox.py", "webhooks.py"}
    verification = (ROOT / "app" / "services" / "verification.py").read_text(encoding="utf-8")
    assert "secrets.randbelow(10**CODE_DIGITS)" in verification


def test_weak_hashes_are_used_where_a_provider_signs_with_them_and_nowhere_else() -> None:
    weak = re.compile(r"\b(md5|sha1)\b", re.IGNORECASE)
    code = {path.relative_to(ROOT): ast.unparse(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES}
    users = {path.name for path, text in code.items() if re.search(r"hashlib\.(md5|sha1)|hashes\.(MD5|SHA1)", text)}
    assert users == {"alibaba.py", "sns.py"}
    assert weak.search("hashlib.md5()")


def test_every_use_of_a_derived_key_is_in_the_list_of_keys() -> None:
    uses = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        uses |= set(re.findall(r"\b(?:Mac|Seal)\([\w.()]+, \"([a-z-]+)\"\)", text))
        uses |= set(re.findall(r"^_USE = \"([a-z-]+)\"", text, re.MULTILINE))
    assert len(uses) >= 14
    listed = set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`[^|]+)\|", part("Keys"), re.MULTILINE))))
    assert uses == listed


def test_the_ways_to_log_in_are_the_documented_ones() -> None:
    [body] = documents()["public"]["paths"]["/v1/sessions"]["post"]["requestBody"]["content"].values()
    methods = set(body["schema"]["discriminator"]["mapping"])
    text = (ROOT / "docs" / "integration.md").read_text(encoding="utf-8")
    _, _, logging_in = text.partition("\n## Logging in\n")
    assert methods == set(re.findall(r"^\| `(\w+)` \|", logging_in.partition("\n## ")[0], re.MULTILINE))


def test_no_body_asks_for_a_hint_or_an_answer_to_a_question() -> None:
    for surface in documents().values():
        for name, schema in surface["components"]["schemas"].items():
            members = " ".join(schema.get("properties", {}))
            assert not re.search(r"hint|question|secret_answer", members), name


def test_every_dependency_of_the_lock_is_in_the_list() -> None:
    """And nothing else is; direct ones are those of pyproject.toml."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock, re.MULTILINE))
    rows = re.findall(r"^\| `([a-z0-9._-]+)` \| ([^ |]+) \|", DEPENDENCIES, re.MULTILINE)
    assert sorted(rows) == sorted(locked)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = {re.split(r"[\[<>=;]", one)[0].strip().lower() for one in project["dependencies"]}
    _, _, rest = DEPENDENCIES.partition("\n## Direct\n")
    assert {
        name for name, _ in re.findall(r"^\| `([^`]+)` \| (\S+)", rest.partition("\n## ")[0], re.MULTILINE)
    } == direct


def test_tokens_are_signed_by_cryptography_and_not_by_ecdsa() -> None:
    """python-jose takes the pure Python library where `cryptography` is missing (CVE-2024-23342)."""
    key = jwk.construct(SigningKey.generate(now()).pem.decode(), "ES256")
    assert type(key).__module__ == "jose.backends.cryptography_backend"

    command = [sys.executable, "-c", "import sys, app.main; print('ecdsa' in sys.modules)"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "False"
