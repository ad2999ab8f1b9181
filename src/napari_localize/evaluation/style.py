"""The look of a report: on a light or a dark screen, and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --quiet: #666; --line: #ddd; --paper: #fff; --tint: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --quiet: #a0a0a0; --line: #444; --paper: #1e1f22; --tint: #2a2b2f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 8px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 6px; }
header p { margin: 2px 0; color: var(--quiet); overflow-wrap: anywhere; }
header b { color: var(--ink); }
code, pre { font: 12px/1.45 ui-monospace, monospace; }
pre { background: var(--tint); padding: 10px; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; }
.notes { padding: 8px 8px 8px 28px; background: var(--tint); border-left: 4px solid #E69F00; overflow-wrap: anywhere; }
.numbers { display: flex; flex-wrap: wrap; gap: 10px; margin: 20px 0 6px; }
.numbers div { flex: 1 1 150px; padding: 10px 12px; background: var(--tint); border-radius: 6px; }
.numbers span, .numbers b, .numbers i, .numbers small { display: block; font-style: normal; }
.numbers b { font-size: 25px; line-height: 1.25; }
.numbers i, .numbers small { color: var(--quiet); font-size: 12px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; margin: 8px 0; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
tr > th:first-child { text-align: left; overflow-wrap: anywhere; min-width: 130px; max-width: 420px; }
td { white-space: nowrap; }
.receipt td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.confusion td { min-width: 64px; }
.plots { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; width: min(100%, 480px); break-inside: avoid; }
figure svg, figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--quiet); font-size: 13px; overflow-wrap: anywhere; }
.key { display: inline-block; margin-right: 12px; padding-left: 6px; border-left: 12px solid; font-size: 13px; }
.methods { padding: 10px 14px; background: var(--tint); border-radius: 4px; }
@media print {
  :root { --ink: #000; --quiet: #444; --line: #bbb; --paper: #fff; --tint: #fff; color-scheme: light; }
  body { font-size: 11px; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr, .numbers div { break-inside: avoid; }
  .numbers div { border: 1px solid var(--line); }
  figure { width: 48%; }
  .wide { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
