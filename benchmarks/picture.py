"""The picture: bars, drawn as SVG by hand, so that no drawing library is needed to see who is longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.figures import ratio, summarise
from benchmarks.numbers import figure
from benchmarks.records import CaseResult, Outcome, Run, WorkloadResult

__all__ = ["draw"]

_WIDTH = 860
_LEFT = 190
_RIGHT = 130
_BAR = 18
_GAP = 5
_COLOURS = {"ours": "#0f766e", "plain": "#94a3b8", "raw": "#94a3b8"}
_PEER = "#d97706"
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1e293b }
.title { font-weight: 600 }
.unit, .value { fill: #475569 }
.unit { font-size: 12px }
.line { stroke: #334155; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e2e8f0 } .unit, .value { fill: #cbd5e1 } .line { stroke: #cbd5e1 } .ground { fill: #0f172a }
}"""


@dataclass(frozen=True, slots=True)
class _Bar:
    subject: str
    median: float
    low: float
    high: float
    ratio: float | None


def draw(run: Run) -> str:
    """Draw every case that several subjects did: a bar each, its quartiles as a line across its end."""
    parts: list[str] = []
    y = 30
    for workload in run.workloads:
        for case in workload.cases:
            bars = _bars(workload, case)
            if len(bars) > 1:
                parts.extend(_panel(workload, case, bars, y))
                y += 34 + len(bars) * (_BAR + _GAP) + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}">',
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _bars(workload: WorkloadResult, case: CaseResult) -> list[_Bar]:
    metric = workload.metrics[0].name
    base = case.outcomes.get(workload.baseline or "", Outcome()).samples.get(metric)
    found = []
    for subject, outcome in case.outcomes.items():
        if samples := outcome.samples.get(metric):
            summary = summarise(samples)
            paired = subject != workload.baseline and base and len(base) == len(samples) and 0 not in base
            times = ratio(samples, base).median if paired and base else None
            found.append(_Bar(subject, summary.median, summary.low, summary.high, times))
    return found


def _panel(workload: WorkloadResult, case: CaseResult, bars: list[_Bar], top: int) -> Iterator[str]:
    metric = workload.metrics[0]
    longest = max(bar.high for bar in bars) or 1
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    yield f'<text class="title" x="16" y="{top}">{escape(workload.title)}: {escape(case.label)}</text>'
    unit = escape(f"{metric.unit}, {metric.better} is better")
    yield f'<text class="unit" x="{_WIDTH - 16}" y="{top}" text-anchor="end">{unit}</text>'
    for place, bar in enumerate(bars):
        y = top + 14 + place * (_BAR + _GAP)
        middle = y + _BAR / 2
        width = max(bar.median * scale, 1)
        colour = _COLOURS.get(bar.subject.split("_")[0], _PEER)
        note = figure(bar.median) + (f" ({figure(bar.ratio)}×)" if bar.ratio is not None else "")
        yield f'<text x="{_LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.subject)}</text>'
        yield f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'
        yield (
            f'<line class="line" x1="{_LEFT + bar.low * scale:.1f}" x2="{_LEFT + bar.high * scale:.1f}" '
            f'y1="{middle}" y2="{middle}"/>'
        )
        end = _LEFT + max(width, bar.high * scale) + 8
        yield f'<text class="value" x="{end:.1f}" y="{middle + 4:.1f}">{note}</text>'
