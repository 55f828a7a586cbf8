"""The style of cards, for light and dark pages.

Text has the colour of the page, and lines and backgrounds are translucent grey, so that they suit any theme.
The few other colours are those of JupyterLab or VS Code, which define them as variables. On other pages they
are those below, by what the reader's system prefers.

A class in every selector, and one more class than the style sheets of notebooks have for tables, let these
rules win there and touch nothing else.
"""

from __future__ import annotations

_RULES = """
.ckptfmt {
  --ck-link-here: #0969da; --ck-good-here: #1a7f37; --ck-bad-here: #cf222e;
  --ck-link: var(--jp-brand-color1, var(--vscode-textLink-foreground, var(--ck-link-here)));
  --ck-good: var(--jp-success-color1, var(--vscode-charts-green, var(--ck-good-here)));
  --ck-bad: var(--jp-error-color1, var(--vscode-errorForeground, var(--ck-bad-here)));
  --ck-mono: var(--jp-code-font-family, var(--vscode-editor-font-family, monospace));
  --ck-line: rgba(128, 128, 128, .3); --ck-tint: rgba(128, 128, 128, .1);
  max-width: 60em; font-size: 13px; line-height: 1.5;
  border: 1px solid var(--ck-line); border-radius: 4px; padding: 6px 10px; margin: 2px 0;
}
@media (prefers-color-scheme: dark) {
  .ckptfmt { --ck-link-here: #4493f8; --ck-good-here: #3fb950; --ck-bad-here: #f85149; }
}
.ckptfmt .ck-head { overflow-wrap: anywhere; }
.ckptfmt .ck-kind { font-weight: 600; color: var(--ck-link); margin-right: .5em; }
.ckptfmt .ck-kind.ck-good { color: var(--ck-good); }
.ckptfmt .ck-kind.ck-bad, .ckptfmt .ck-error { color: var(--ck-bad); }
.ckptfmt .ck-error { overflow-wrap: anywhere; }
.ckptfmt .ck-mono { font-family: var(--ck-mono); font-size: 12px; }
.ckptfmt .ck-facts { margin: 2px 0; }
.ckptfmt .ck-fact { display: inline-block; margin-right: 1.4em; overflow-wrap: anywhere; }
.ckptfmt .ck-dim { opacity: .65; }
.ckptfmt details { margin: 2px 0; }
.ckptfmt details details { margin-left: 1.1em; }
.ckptfmt summary { cursor: pointer; list-style-position: outside; margin-left: 1.1em; }
.ckptfmt details > .ck-facts, .ckptfmt details > svg, .ckptfmt details > audio { margin-left: 1.1em; }
.ckptfmt img { display: block; margin: 2px 0 4px 1.1em; max-width: 90%; min-width: 32px;
  image-rendering: pixelated; }
.ckptfmt .ck-leaf { margin-left: 2.2em; }
.ckptfmt .ck-scroll { overflow: auto; max-height: 26em; margin: 2px 0 4px 1.1em; }
.ckptfmt pre.ck-text { margin: 2px 0 4px 1.1em; padding: 4px 6px; max-height: 26em; overflow: auto;
  background: var(--ck-tint); color: inherit; white-space: pre-wrap; overflow-wrap: anywhere; }
.ckptfmt table.ck-table { border-collapse: collapse; border: 0; margin: 0; table-layout: auto;
  color: inherit; font-size: 12px; }
.ckptfmt .ck-table tbody tr:nth-child(n) { background: transparent; }
.ckptfmt .ck-table tbody tr:nth-child(n):hover { background: var(--ck-tint); }
.ckptfmt .ck-table tr th, .ckptfmt .ck-table tr td { text-align: left; vertical-align: top;
  padding: 1px 14px 1px 0; border: 0; border-bottom: 1px solid var(--ck-line); max-width: 36em;
  white-space: nowrap; font-family: var(--ck-mono); }
.ckptfmt .ck-table tr td.ck-long { white-space: normal; overflow-wrap: anywhere; min-width: 18em; }
.ckptfmt .ck-table tr th { font-weight: 400; font-family: inherit; opacity: .65;
  white-space: nowrap; }
.ckptfmt .ck-table tr td.ck-number { text-align: right; white-space: nowrap; }
.ckptfmt svg { display: block; color: var(--ck-link); margin: 2px 0; max-width: 100%; }
.ckptfmt .ck-table svg { margin: 3px 0; }
"""

STYLE = " ".join(_RULES.split())
"""The rules on one line."""
