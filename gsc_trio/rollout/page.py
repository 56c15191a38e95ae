"""The report as one HTML page that needs nothing else: no script, no network, light and dark."""

from __future__ import annotations

from html import escape

from markdown_it import MarkdownIt

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d8dde3, #3a4149);
  --bad: light-dark(#b3261e, #ff9d94); --shade: light-dark(#f5f7f9, #1e2329); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem; color: light-dark(#1c2126, #e3e7eb);
  background: light-dark(#ffffff, #15191d); }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.8rem 0.35rem 0;
  border-bottom: 1px solid var(--line); }
th:empty { padding: 0; }
strong { color: var(--bad); }
code { background: var(--shade); padding: 0.1em 0.3em; border-radius: 3px;
  overflow-wrap: anywhere; }
"""


def page(markdown: str, title: str) -> str:
    """Make a page of a report.

    Args:
        markdown: the report; HTML in it is shown, not taken for such.
        title: of the page.
    """
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = renderer.render(markdown)
    # A wide table scrolls by itself, so that a phone shows the rest as it is.
    body = body.replace("<table>", '<div class="table"><table>')
    body = body.replace("</table>", "</table></div>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )
