"""Serves a file as a download host does: whole, or the asked range, or spoiled by a fault."""

from aiohttp import web

from tests.servers.standin import Call


def _asked(request: web.Request) -> slice:
    """The Range header; one that cannot be read counts as absent (RFC 9110, 14.2)."""
    try:
        return request.http_range
    except ValueError:
        return slice(None)


def ranged(call: Call, content: bytes, content_type: str) -> web.Response:
    """200 with all, 206 with the asked range, or 416; a fault may shorten the file or ignore the range."""
    if call.faulty("output_truncated"):
        content = content[: len(content) // 2]
    headers = {"Accept-Ranges": "bytes"}
    asked = _asked(call.request)
    if call.faulty("output_no_range") or (asked.start is None and asked.stop is None):
        return web.Response(body=content, content_type=content_type, headers=headers)
    first, end, _ = asked.indices(len(content))
    if first >= end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
    return web.Response(status=206, body=content[first:end], content_type=content_type, headers=headers)
