"""How pictures look, and their two forms: PNG, and SVG that takes a page's colours and font."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = {
    "--ink": "#1b2430",
    "--muted": "#5c6878",
    "--grid": "#dde3ea",
    "--paper": "#fefefe",
    "--accent": "#1f5fa8",
    "--second": "#c25a16",
    "--bad": "#b3271f",
}
"""The page's custom properties and what they are in a PNG; no two alike: :func:`svg` tells them by value."""
INK, MUTED, GRID, PAPER, ACCENT, SECOND, BAD = COLOURS.values()
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "hmarl",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style inside the block."""
    with mpl.rc_context(_STYLE):
        yield


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "hmarl"})
    return buffer.getvalue()


def svg(figure: Figure, label: str) -> str:
    """The figure as an SVG element for an HTML page: its colours and font are the page's, nothing is fetched.

    Parameters
    ----------
    figure
        What to draw.
    label
        What the picture shows, for who cannot see it.
    """
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    prefix = re.sub(r"\W+", "-", label.lower())
    text = re.sub(r'(id="|href="#|url\(#)', lambda m: f"{m[1]}{prefix}-", text)
    text = re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', _opening(quoteattr(label)), text, flags=re.S)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", text)
    for name, value in COLOURS.items():
        text = re.sub(re.escape(value), f"var({name})", text, flags=re.I)
    return text.strip()


def _opening(label: str) -> Any:
    def write(match: re.Match[str]) -> str:
        return (
            f'<svg viewBox="{match[1]}" role="img" aria-label={label} xmlns="http://www.w3.org/2000/svg"'
            ' xmlns:xlink="http://www.w3.org/1999/xlink">'
        )

    return write
