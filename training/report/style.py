"""How the page looks: the colours of the service's own page, light and dark, and on paper."""

STYLE = """
:root { color-scheme: light dark;
  --ground: #f6f7f7; --card: #fff; --ink: #14201f; --soft: #5a6968; --line: #d9dfde;
  --accent: #0f766e; --well: #f0f3f2; --warn: #8a4b00; --warn-soft: #fdf1dd; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #0e1514; --card: #172120; --ink: #e8efee; --soft: #9bacaa; --line: #2d3a39;
  --accent: #2dd4bf; --well: #1f2b2a; --warn: #ffc56b; --warn-soft: #3a2b12; } }
* { box-sizing: border-box; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main, .top { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
.top { padding-top: 28px; }
.top p { margin: 0; color: var(--soft); font-size: .92rem; }
h1 { margin: 2px 0 0; font-size: clamp(1.7rem, 4.5vw, 2.3rem); line-height: 1.2;
  letter-spacing: -.02em; font-weight: 680; overflow-wrap: anywhere; }
h1 span { color: var(--soft); font-weight: 450; font-size: .6em; }
nav { position: sticky; top: 0; z-index: 2; background: var(--ground);
  border-bottom: 1px solid var(--line); margin-top: 18px; }
nav ul { display: flex; flex-wrap: wrap; gap: 2px 18px; max-width: 1120px; margin: 0 auto;
  padding: 9px 24px; list-style: none; font-size: .9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
main { padding-bottom: 56px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 16px;
  padding: 22px 26px 24px; margin-top: 22px; scroll-margin-top: 5rem; }
h2 { margin: 0 0 12px; font-size: 1.3rem; letter-spacing: -.01em; }
h3 { margin: 24px 0 6px; font-size: 1.02rem; }
h4, h5, h6 { margin: 18px 0 4px; }
p { margin: 0 0 12px; }
p, li { overflow-wrap: anywhere; }
section > :last-child { margin-bottom: 0; }
.lead { font-size: 1.08rem; }
.quiet { color: var(--soft); font-size: .94rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 12px;
  margin: 16px 0 12px; }
.tile { display: flex; flex-direction: column; background: var(--well); border-radius: 12px;
  padding: 12px 14px; }
.tile .name { font-size: .86rem; font-weight: 600; }
.tile strong { font-size: 1.6rem; line-height: 1.25; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.tile small { color: var(--soft); font-variant-numeric: tabular-nums; }
.tile .note { color: var(--soft); font-size: .8rem; line-height: 1.35; margin-top: 6px; }
.scroll { overflow-x: auto; margin: 0 0 14px; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; vertical-align: top; padding: 7px 14px 7px 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
tbody tr:last-child td { border-bottom: 0; }
th { font-weight: 600; color: var(--soft); }
td:first-child { min-width: 9em; }
.number { text-align: right; padding: 7px 0 7px 14px; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
td.number { white-space: nowrap; }
.advice { display: block; color: var(--warn); font-size: .86rem; line-height: 1.4; }
.untold { color: var(--soft); text-decoration: line-through; text-decoration-thickness: 1px; }
.warning, .warnings li { background: var(--warn-soft); border-left: 4px solid var(--warn);
  border-radius: 6px; padding: 8px 14px; }
.warnings { list-style: none; padding: 0; margin: 0; display: grid; gap: 8px; }
figure { margin: 0 0 14px; background: #fff; border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
figure img { display: block; width: 100%; max-width: 900px; height: auto; margin: 0 auto; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
  gap: 14px; }
.map { display: block; width: 100%; height: auto; }
.map g { transform-box: fill-box; transform-origin: center; }
.map g:hover { transform: scale(2.4); }
details { margin: 0 0 8px; }
summary { cursor: pointer; color: var(--accent); overflow-wrap: anywhere; }
details > :not(summary) { margin-top: 8px; }
details p { color: var(--soft); font-size: .9rem; }
code, pre { font: .9em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { background: var(--well); border-radius: 10px; padding: 12px 16px; overflow: auto;
  max-height: 26em; margin: 0 0 12px; }
footer { max-width: 1120px; margin: 0 auto; padding: 0 24px 40px; color: var(--soft);
  font-size: .86rem; }
@media (max-width: 37.5em) { section { padding: 16px 14px; border-radius: 12px; }
  main, .top { padding-left: 12px; padding-right: 12px; } nav { position: static; } }
@media print {
  :root { color-scheme: light; --ground: #fff; --card: #fff; --ink: #000; --soft: #444;
    --line: #ccc; --accent: #0f766e; --well: #f3f3f3; --warn: #8a4b00; --warn-soft: #fdf1dd; }
  body { font-size: 10.5pt; }
  nav { display: none; }
  section { border: 0; border-radius: 0; padding: 0; margin-top: 20pt; }
  main, .top, footer { max-width: none; padding-left: 0; padding-right: 0; }
  figure, tr, .tile, .warnings li, h2, h3 { break-inside: avoid; }
  figure img { width: auto; max-width: 100%; max-height: 220mm; }
  h2, h3 { break-after: avoid; }
  .tile, .warnings li, .warning, pre { print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: none; }
  .two { grid-template-columns: 1fr 1fr; }
}
"""
