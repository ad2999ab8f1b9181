"""Earlier domains as rows: what a new model still can, and what it forgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_WORDS = {"forgets": "#E69F00", "worse": "#E69F00", "better": "#2DB48E", "about the same": "#56B4E9"}


def domains_html(domains: Iterable[Mapping[str, Any]]) -> str:
    """Put earlier domains into a table, such as ``nuclei (sample)  0.91 → 0.74  forgets``; nothing without any."""
    rows = "".join(_row(domain) for domain in domains)
    if not rows:
        return ""
    return f"<table width='100%'><tr><td>Earlier domains</td><td align='right'>F1</td><td></td></tr>{rows}</table>"


def _row(domain: Mapping[str, Any]) -> str:
    name = f"<td>{escape(str(domain['name']))}</td>"
    if domain.get("reason"):
        return f"<tr>{name}<td colspan='2'>{escape(str(domain['reason']))}</td></tr>"
    word = "forgets" if domain["forgets"] else str(domain["word"])
    planes = int(domain["planes"])
    said = f"<b style='color: {_WORDS[word]}'>{word}</b>" if word in _WORDS else escape(word)
    if not word:
        # Few planes: the numbers, and no verdict.
        said = f"on {planes} plane{'s' * (planes > 1)}"
    numbers = f"{domain['old']['F1']:.2f} → {domain['new']['F1']:.2f}"
    return f"<tr>{name}<td align='right'>{numbers}</td><td style='padding-left: 10px'>{said}</td></tr>"
