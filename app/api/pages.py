"""Pages for people in a browser whom a marketplace has sent here and who cannot be sent on."""

from html import escape

from fastapi import Response

from app.api.texts import choose_locale, page_text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HTML = """<!doctype html>
<html lang="{locale}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ margin: 0; font: 16px/1.6 system-ui, sans-serif; color: #1d2129; background: #f4f6fa }}
  main {{ max-width: 34rem; margin: 15vh auto 0; padding: 2.5rem; background: #fff; border-radius: 8px }}
  h1 {{ margin: 0 0 .75rem; font-size: 1.4rem }}
  p {{ margin: 0 }}
  small {{ display: block; margin-top: 2rem; color: #5c6370 }}
</style>
<main><h1>{title}</h1><p>{text}</p><small>{who}</small></main>
</html>
"""
_WHO = {"en": "Guance Billing Center", "zh-CN": "观测云费用中心"}


def page(code: str, status: int, accept_language: str | None) -> Response:
    """The page of this name (`pages` in app/data/problems.toml) in the reader's language."""
    locale = choose_locale(accept_language)
    title, text = page_text(code, locale)
    html = _HTML.format(locale=locale, title=escape(title), text=escape(text), who=_WHO[locale])
    headers = {"Content-Language": locale, "Vary": "Accept-Language", "Content-Security-Policy": _POLICY}
    return Response(html, status, headers, media_type="text/html")
