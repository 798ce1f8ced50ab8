"""Charts as SVG, for pages that load nothing. The same figures make the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def chart(draw: Callable[[Axes], None], caption: str, size: tuple[float, float]) -> str:
    """What `draw` draws on axes of `size` inches, above its caption."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    draw(axes)
    into = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "tidegate", "svg.fonttype": "none"}):
        figure.savefig(into, format="svg", transparent=True, metadata={"Date": None})
    svg = into.getvalue()
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg[svg.index('<svg') :]}</figure>"
