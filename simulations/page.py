"""The parts of a page that is one file: its style, its numbers, figures and tables. Knows nothing of what they mean.

No script, no font, no image and no address from outside: it opens anywhere, prints, and follows light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from simulations.charts import Figure
from simulations.summary import Row

STYLE = """
:root{color-scheme:light dark;--ink:#1c2523;--soft:#5d6a66;--line:#dde3e0;--paper:#fbfcfb;--card:#ffffff;
--accent:#0f7a5f;--warn:#a3341f;--baseline:#a9b2af;--policy:#12876a;
--series-0:#2f6f8f;--series-1:#6aa7c2;--series-2:#e0a458;--series-3:#b65c45;--series-4:#7d6aa5;--series-5:#5f9e6e;
--series-6:#c98bb0;--series-7:#9a9a5a}
@media (prefers-color-scheme:dark){:root{--ink:#e6ecea;--soft:#9aa8a3;--line:#2c3835;--paper:#121816;--card:#19211e;
--accent:#4cc9a4;--warn:#f08a72;--baseline:#6f7b77;--policy:#3fbf9a;
--series-0:#5ba3c6;--series-1:#93c9de;--series-2:#e8b878;--series-3:#d98068;--series-4:#a797cf;--series-5:#86c596;
--series-6:#dfabca;--series-7:#c2c283}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#ccc;--paper:#fff;--card:#fff;--accent:#0f7a5f;
--warn:#a3341f;--baseline:#a9b2af;--policy:#12876a}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}h2{font-size:20px;margin:0 0 2px}
.lead{color:var(--soft);margin:0 0 28px;max-width:70ch}
.cards{display:grid;grid-template-columns:1.25fr 1.1fr 1fr 1fr;gap:14px;margin:0 0 32px}
.cards.five{grid-template-columns:1.25fr 1fr 1fr 1fr 1fr}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.card b{display:block;font-size:25px;white-space:nowrap;line-height:1.2;font-variant-numeric:tabular-nums}
.card.first b{font-size:44px;color:var(--accent)}.card.first.worse b,.card.bad b{color:var(--warn)}
.card span{display:block;color:var(--soft);font-size:14px;line-height:1.4;margin-top:4px}
figure{margin:0 0 22px;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px 14px}
figcaption p{margin:0 0 10px;color:var(--soft);font-size:14px}
svg{display:block;width:100%;height:auto;font-family:inherit}
svg text{fill:var(--soft);font-size:12px}svg text.unit{font-size:12px;fill:var(--soft)}
svg text.heading{fill:var(--ink);font-weight:600;font-size:13px}svg text.label{fill:var(--ink);font-size:13px}
svg text.strong{fill:var(--ink);font-weight:600;font-size:14px}
svg .grid{stroke:var(--line);stroke-width:1}svg .slack{stroke:var(--soft);stroke-opacity:.4;stroke-width:1.5}
svg .whisker{stroke:var(--ink);stroke-opacity:.75;stroke-width:1.5}
svg .curve{fill:none;stroke-width:2.5;stroke-linejoin:round}
ul.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0;padding:0;font-size:13px}
ul.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}thead th{color:var(--soft);font-weight:500}
tbody th{font-weight:400}section{margin:34px 0 0}dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;
font-size:14px;margin:8px 0 0}dt{color:var(--soft)}dd{margin:0}
@media screen and (max-width:720px){.cards,.cards.five{grid-template-columns:1fr 1fr}.card.first{grid-column:1/-1}
main{padding:28px 16px 48px}figure svg{min-width:660px}
figcaption p::after{content:" The picture is wider than the screen: move it sideways."}
dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
@page{margin:14mm 12mm}
@media print{main{max-width:none;padding:0}figure,.cards,section,tr{break-inside:avoid}h2,thead{break-after:avoid}
body{font-size:14px}.cards{gap:8px;margin-bottom:18px}.cards.five{grid-template-columns:1.15fr 1.1fr 1fr .9fr 1fr}
.card{padding:10px 12px;min-width:0}.card b{font-size:18px}.card.first b{font-size:30px}.card span{font-size:12px}
.cards.five .card b{font-size:16px}.cards.five .card.first b{font-size:26px}
figure{padding:12px 14px 10px;margin-bottom:14px}section{margin-top:22px}th,td{padding:4px 8px}
svg text,svg text.unit{font-size:13.5px}svg text.label{font-size:14px}.wide{overflow:visible}}
"""


def page(title: str, body: str, style: str = "") -> str:
    """The whole document; `style` is added to the common one."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    ).replace("CO2e", "CO\N{SUBSCRIPT TWO}e")


def card(value: str, words: str, kind: str = "") -> str:
    """A number and what it is."""
    return f'<div class="card {kind}"><b>{escape(value)}</b><span>{escape(words)}</span></div>'


def figure(one: Figure) -> str:
    """A picture under its heading, with its legend."""
    entries = "".join(f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in one.legend)
    legend = f'<ul class="legend">{entries}</ul>' if entries else ""
    return (
        f"<figure><figcaption><h2>{escape(one.title)}</h2><p>{escape(one.caption)}</p></figcaption>"
        f'<div class="wide">{one.picture}</div>{legend}</figure>'
    )


def section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """A table that scrolls on its own where the page is narrow."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
