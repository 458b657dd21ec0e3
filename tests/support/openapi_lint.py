"""Is an OpenAPI document valid, and enough to work from? `python -m tests.support.openapi_lint openapi/*.json`.

A description that nobody wrote is invisible in the code and missing in every generated client; this makes it visible.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

Json = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PROBLEM = "application/problem+json"
_OAUTH = "#/components/schemas/OAuthError"
_STYLES = {"camelCase": re.compile(r"[a-z][a-zA-Z0-9]*"), "snake_case": re.compile(r"[a-z][a-z0-9_]*")}


class Document:
    def __init__(self, content: Json) -> None:
        self.content = content

    def problems(self) -> Iterator[str]:
        for error in OpenAPIV31SpecValidator(self.content).iter_errors():
            yield f"#/{'/'.join(map(str, error.absolute_path))}: {error.message}"
        yield from self._tags()
        yield from self._operation_ids()
        yield from self._schemas()
        for path, item in self.content.get("paths", {}).items():
            if path != "/" and path.endswith("/"):
                yield f"* {path}: ends with a slash"
            for method, operation in self._methods(item):
                for problem in self._operation(item, operation):
                    yield f"{method.upper()} {path}: {problem}"

    def resolve(self, node: Json) -> Json:
        """The node, or what its `$ref` within the document points at."""
        while isinstance(ref := node.get("$ref"), str):
            node = self.content
            for step in ref.removeprefix("#/").split("/"):
                node = node[step.replace("~1", "/").replace("~0", "~")]
        return node

    @staticmethod
    def _methods(item: Json) -> Iterator[tuple[str, Json]]:
        yield from ((method, item[method]) for method in _METHODS if method in item)

    def _tags(self) -> Iterator[str]:
        for tag in self.content.get("tags", []):
            if not tag.get("description"):
                yield f"tag {tag['name']}: has no description"

    def _operation_ids(self) -> Iterator[str]:
        operations = (o for item in self.content.get("paths", {}).values() for _, o in self._methods(item))
        ids = Counter(operation["operationId"] for operation in operations if "operationId" in operation)
        for name in (name for name, count in ids.items() if count > 1):
            yield f"operationId {name}: is used more than once"
        odd = [[name for name in ids if not style.fullmatch(name)] for style in _STYLES.values()]
        for name in min(odd, key=len):
            yield f"operationId {name}: is not written like the others ({' or '.join(_STYLES)})"

    def _schemas(self) -> Iterator[str]:
        for name, schema in self.content.get("components", {}).get("schemas", {}).items():
            for key, value in schema.get("properties", {}).items():
                choices = [value, *value.get("allOf", []), *value.get("anyOf", []), *value.get("oneOf", [])]
                if not value.get("description") and not any("$ref" in choice for choice in choices):
                    yield f"schema {name}.{key}: has no description"

    def _operation(self, item: Json, operation: Json) -> Iterator[str]:
        for key in ("operationId", "summary", "description"):
            if not operation.get(key):
                yield f"has no {key}"
        tags, declared = operation.get("tags", []), {tag["name"] for tag in self.content.get("tags", [])}
        if len(tags) != 1 or not declared.issuperset(tags):
            yield f"needs exactly one tag, declared at the top: {tags}"
        for parameter in map(self.resolve, [*item.get("parameters", []), *operation.get("parameters", [])]):
            if parameter["in"] == "path" and not parameter.get("description"):
                yield f"path parameter {parameter['name']}: has no description"
        yield from self._bodies("request body", self.resolve(operation.get("requestBody", {})))
        yield from self._responses(operation.get("responses", {}))

    def _responses(self, responses: Json) -> Iterator[str]:
        if not any(status.startswith("2") for status in responses):
            yield "documents no success"
        for status, response in ((status, self.resolve(response)) for status, response in responses.items()):
            if status.startswith("2"):
                json_only = {m: c for m, c in response.get("content", {}).items() if "json" in m}
                yield from self._bodies(f"response {status}", {"content": json_only})
            elif status[0] in "45" and not self._is_failure(response.get("content", {})):
                yield f"response {status}: is not {_PROBLEM}"

    @staticmethod
    def _is_failure(content: Json) -> bool:
        """A problem, or the failure that RFC 6749 §5.2 asks of a token endpoint."""
        oauth = content.get("application/json", {}).get("schema", {}).get("$ref") == _OAUTH
        return set(content) == {_PROBLEM} or (oauth and len(content) == 1)

    def _bodies(self, where: str, body: Json) -> Iterator[str]:
        for kind, media in body.get("content", {}).items():
            if not self._has_example(media) and not self._has_example(media.get("schema", {})):
                yield f"{where} ({kind}): has no example"

    def _has_example(self, node: Json) -> bool:
        """Its own; for a list, one of an item will do."""
        node = self.resolve(node)
        own = "example" in node or bool(node.get("examples"))
        return own or ("items" in node and self._has_example(node["items"]))


def main(files: list[str]) -> int:
    problems = [
        f"{file}: {problem}" for file in files for problem in Document(json.loads(Path(file).read_text())).problems()
    ]
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
