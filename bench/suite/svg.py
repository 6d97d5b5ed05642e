"""A bar chart as SVG text: bars of stacked parts, a whisker from the lowest to the highest round."""

import html

BAR, GAP, LABEL, WIDTH = 20, 8, 110, 760
COLOURS = ["#1f77b4", "#9ecae1"]
OURS_COLOURS = ["#d95f02", "#fdc086"]


def bars(title, unit, rows, ours):
    """rows: (name, parts, (lowest, highest) of the sum). Longer is more, and more is worse."""
    longest = max((max(sum(parts), high) for _, parts, (_, high) in rows), default=1) or 1
    height = 30 + len(rows) * (BAR + GAP)
    def x(value):
        return LABEL + (WIDTH - LABEL - 110) * max(value, 0) / longest
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
           f'<text x="0" y="14" font-weight="bold">{html.escape(title)}</text>']
    for i, (name, parts, (low, high)) in enumerate(rows):
        y, begin = 26 + i * (BAR + GAP), 0
        out.append(f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{html.escape(name)}</text>')
        for part, colour in zip(parts, OURS_COLOURS if name == ours else COLOURS):
            out.append(f'<rect x="{x(begin):.1f}" y="{y}" width="{max(0, x(begin + part) - x(begin)):.1f}" height="{BAR}" fill="{colour}"/>')
            begin += part
        middle = y + BAR / 2
        out.append(f'<path d="M{x(low):.1f} {middle} H{x(high):.1f} M{x(low):.1f} {y + 5} v{BAR - 10} M{x(high):.1f} {y + 5} v{BAR - 10}" stroke="#333" fill="none"/>')
        out.append(f'<text x="{x(max(high, sum(parts))) + 6:.1f}" y="{y + 15}">{number(sum(parts))} {html.escape(unit)}</text>')
    return "\n".join(out + ["</svg>"])


def number(value):
    """Three digits that mean something."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
