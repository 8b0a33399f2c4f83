"""The OpenAPI document as a page: written here, so that it needs no script and nothing of another host."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def html(document: Mapping[str, Any], *, base: str, needs_key: bool) -> str:
    """The page; `base` is the service's origin for the examples."""
    return "".join(_page(document, _example(base, "-H 'x-api-key: KEY' " if needs_key else "")))


def _page(document: Mapping[str, Any], example: str) -> Iterator[str]:
    info = document["info"]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f'<title>{escape(info["title"])}</title>\n<link rel="stylesheet" href="/page/page.css">\n</head>\n<body>\n'
    yield f"<header><h1>{escape(info['title'])} {escape(info['version'])}</h1>\n<p>{_words(info['summary'])}</p>\n"
    yield f"<p>{_words(info['description'])}</p>\n"
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a>. '
    yield 'For people: <a href="/">the page</a>.</p></header>\n'
    yield f"<main>\n<h2>In three steps</h2>\n<pre>{escape(example)}</pre>\n<h2>Requests</h2>\n"
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield from _operation(path, verb, operation)
    yield "<h2>Shapes</h2>\n"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><b>{escape(name)}</b></summary>\n{_fields(schema)}</details>\n'
    yield "</main>\n</body>\n</html>\n"


def _example(base: str, key: str) -> str:
    body = json.dumps({"video_url": "URL", "mode": "flex_1", "prompt": "a watercolour painting"})
    return "\n".join(
        [
            "(printf '{\"data_urls\":[\"data:video/mp4;base64,'; base64 -w0 clip.mp4; printf '\"]}') |",
            f"  curl {key}-H 'content-type: application/json' --data-binary @- {base}/upload-asset",
            f"curl {key}-H 'content-type: application/json' -d '{body}' {base}/v2/modify-video",
            f"curl {key}{base}/v2/requests/REQUEST_ID/status",
        ]
    )


def _operation(path: str, verb: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details><summary><span class="verb">{escape(verb.upper())}</span> <code>{escape(path)}</code> '
    yield f"{_words(operation['summary'])}</summary>\n"
    if "description" in operation:
        yield f"<p>{_words(operation['description'])}</p>\n"
    if operation.get("security") == []:
        yield "<p>Needs no key.</p>\n"
    if "parameters" in operation:
        yield _table(("parameter", "in", "what"), [_parameter(each) for each in operation["parameters"]])
    if "requestBody" in operation:
        kinds = operation["requestBody"]["content"].items()
        yield _table(("body", "shape"), [(f"<code>{escape(kind)}</code>", _shape(what)) for kind, what in kinds])
    yield _table(("answer", "shape", "when"), [_answer(code, each) for code, each in operation["responses"].items()])
    yield "</details>\n"


def _parameter(given: Mapping[str, Any]) -> tuple[str, ...]:
    what = f"{_words(given.get('description', ''))} {_type(given['schema'])}"
    return f"<code>{escape(given['name'])}</code>", escape(given["in"]), what


def _answer(code: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    content = given.get("content", {}).items()
    shapes = ", ".join(_shape(what) or f"<code>{escape(kind)}</code>" for kind, what in content)
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in given.get("headers", {}))
    return escape(code), shapes, _words(given["description"]) + (f"; headers {headers}" if headers else "")


def _shape(content: Mapping[str, Any]) -> str:
    return _type(content["schema"]) if "schema" in content else ""


def _fields(schema: Mapping[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        (
            f"<code>{escape(name)}</code>{'' if name in needed else ' (may be missing)'}",
            _type(each),
            _words(each.get("description", "")),
        )
        for name, each in schema["properties"].items()
    ]
    return _table(("field", "type", "what"), rows)


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        words = ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    elif schema.get("type") == "array":
        words = f"list of {_type(schema['items'])}"
    else:
        kind = schema.get("type", "")
        words = escape(" or ".join(kind) if isinstance(kind, list) else kind)
        words += f" ({escape(schema['format'])})" if "format" in schema else ""
    bounds = {name: schema[name] for name in ("minimum", "maximum", "maxLength", "default") if name in schema}
    return words + "".join(f", {escape(name)} {escape(str(value))}" for name, value in bounds.items())


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Cells are HTML already."""
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>\n"


def _words(text: str) -> str:
    """A text with its `code` marked."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
