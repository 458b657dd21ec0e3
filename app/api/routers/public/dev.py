"""What was sent, and the internal surface's document, on a development instance only."""

import html
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse

from app.api.deps import container_of
from app.notifiers.log import DevMailbox

router = APIRouter(include_in_schema=False)

_SHOWN = 200
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><title>Messages · Guance development</title><style>
body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:52rem;padding:0 1rem;color:#1c2430}}
body{{background:#f6f7f9}}
article{{background:#fff;border:1px solid #dde2e8;border-radius:8px;padding:1rem 1.25rem;margin:1rem 0}}
header{{display:flex;gap:1rem;flex-wrap:wrap;color:#5b6675;font-size:13px}} header b{{color:#1c2430}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere;font:14px/1.5 ui-monospace,monospace;margin:.75rem 0 0}}
mark{{font-size:1.25rem;font-weight:600;background:#fff3c4;padding:0 .4rem;border-radius:4px}}
</style></head><body><h1>Messages</h1><p>Codes and notices of this development instance, newest first.
<a href="/docs">API docs</a> · <a href="/internal/docs">Internal API docs</a></p>{messages}</body></html>"""
_ARTICLE = """<article><header><b>{to}</b><span>{channel}</span><span>{template}</span><span>{sent_at}</span></header>
{code}<pre>{text}</pre></article>"""


@router.get("/dev/messages")
async def list_messages(request: Request) -> Response:
    messages = DevMailbox(container_of(request).settings.dev_messages_file).messages(_SHOWN)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"items": messages})
    return _page(messages)


@router.get("/internal/openapi.json")
async def get_internal_document(request: Request) -> Response:
    return JSONResponse(request.app.state.documents()["internal"])


@router.get("/internal/docs")
async def show_internal_docs() -> Response:
    """Beside `/docs`, with the files that it brought along."""
    return get_swagger_ui_html(
        openapi_url="/internal/openapi.json",
        title="Internal surface",
        swagger_js_url="/static-offline-docs/swagger-ui-bundle.js",
        swagger_css_url="/static-offline-docs/swagger-ui.css",
        swagger_favicon_url="/static-offline-docs/favicon.png",
    )


def _page(messages: list[dict[str, Any]]) -> Response:
    articles = "".join(_article(message) for message in messages) or "<p>Nothing was sent yet.</p>"
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return Response(
        _PAGE.format(messages=articles), media_type="text/html", headers={"Content-Security-Policy": policy}
    )


def _article(message: dict[str, Any]) -> str:
    code = message["params"].get("code")
    shown = {name: html.escape(str(message[name])) for name in ("to", "channel", "template", "sent_at", "text")}
    return _ARTICLE.format(**shown, code=f"<p><mark>{html.escape(code)}</mark></p>" if code else "")
