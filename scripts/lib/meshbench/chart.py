"""A group's figures as one SVG bar chart: the best of each row, a tick where its target lies."""

import os
from xml.sax.saxutils import escape

NAME_WIDTH, BAR_WIDTH, TEXT_WIDTH, LINE, MARGIN = 330, 380, 150, 20, 10
COLOURS = {"met": "#3a8f5c", "missed": "#c2453b", "noisy": "#c29a3b", "": "#7d8794"}


def _bar(row, top, scale):
    y = MARGIN + top
    length = max(1.0, row["best"] * scale)
    parts = [
        f'<text x="{NAME_WIDTH - 6}" y="{y + 14}" text-anchor="end">{escape(row["name"])}</text>',
        f'<rect x="{NAME_WIDTH}" y="{y + 3}" width="{length:.1f}" height="{LINE - 6}" fill="{COLOURS[row["mark"]]}"/>',
        f'<text x="{NAME_WIDTH + length + 5:.1f}" y="{y + 14}">{row["best"]:.4g} {escape(row["unit"])}</text>',
    ]
    if row["limit"] is not None:
        x = NAME_WIDTH + row["limit"] * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1}" y2="{y + LINE - 1}" stroke="black" '
                     'stroke-width="2"/>')
    return parts


def svg(measured):
    """Bars of one unit share a scale."""
    longest = {}
    for row in measured["rows"]:
        longest[row["unit"]] = max(longest.get(row["unit"], 0), row["best"], row["limit"] or 0)
    height = 2 * MARGIN + LINE * (len(measured["rows"]) + 2)
    width = NAME_WIDTH + BAR_WIDTH + TEXT_WIDTH
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             'font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{MARGIN}" y="{MARGIN + 14}" font-weight="bold">{escape(measured["title"])}</text>']
    for i, row in enumerate(measured["rows"]):
        parts += _bar(row, LINE * (i + 1), BAR_WIDTH / (longest[row["unit"]] or 1))
    parts.append(f'<text x="{MARGIN}" y="{height - MARGIN}" fill="#555">green: target met, red: missed, yellow: too '
                 'noisy to judge, grey: no target; the tick is the target</text>')
    return "\n".join([*parts, "</svg>", ""])


def save(measured, directory):
    path = os.path.join(directory, f"{measured['group']}.svg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg(measured))
    return path
