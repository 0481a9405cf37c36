"""More things that carry codes: marked parts, sheets full of codes, marker boards; and which class is on what."""

from __future__ import annotations

from typing import Callable, Dict, Sequence, Tuple

from . import backgrounds
from .cards import (
    Card,
    Ink,
    any_class,
    bare,
    inks,
    label,
    margin,
    package,
    page,
    place,
    receipt,
    screen,
    sized,
    ticket,
)  # fmt: skip
from .dice import Dice
from .paper import Sheet
from .symbols import BARCODE, DATAMATRIX, MARKER, QR, Symbol, symbol


def plate(d: Dice, s: Symbol) -> Card:
    """Direct part marks: dot-peened or lasered into metal, plastic or a circuit board."""
    w, h = sized(d, s)
    around = d.log(0.15, 1.5)
    box, total = (around, around, w, h), (w + 2 * around, h + 2 * around)
    grey = d.randint(60, 210)
    gap = d.choice((-1, 1, 1)) * d.randint(35, 130)
    ink = Ink(d.tint(min(250, max(5, grey - gap)), 8), d.tint(grey, 8), 0.6, 0.7 if s.class_id == DATAMATRIX else 0.1)

    def draw(sheet: Sheet) -> None:
        bank = backgrounds.of_kind(d, backgrounds.metal, backgrounds.plain)
        sheet.fill(backgrounds.view(d, bank, bank.shape[:2]))
        if d.chance(0.6):
            # The mark's own contrast is what it is: bring the metal near the grey that it was chosen for.
            sheet.pixels[:] = sheet.pixels // 2 + grey // 2
        sheet.symbol(s, *box, ink.dark, wear=ink.wear, dotted=ink.dotted)
        sheet.paragraph(around, around + h + 0.08, w, around - 0.1, d.uniform(0.08, 0.2), ink.dark)

    return Card(*total, box, draw, ink.paper, bends=d.chance(0.3))


def sheet_of(d: Dice, first: Symbol) -> Card:
    """Rows and columns of codes: all of a kind or mixed, close together or apart, some left out."""
    ink, kind = inks(d), first.class_id
    columns, rows = d.pick([((2, 1), 3), ((1, 2), 3), ((1, 3), 2), ((2, 2), 3), ((3, 2), 2), ((3, 4), 2), ((5, 6), 1)])
    mixed = d.chance(0.3)
    cell_w, cell_h = (1.0, 1.0) if mixed else sized(d, first)
    gap_x, gap_y = (max(0.12, margin(d, first, cell_w)) * d.uniform(0.7, 2) for _ in range(2))
    if kind == BARCODE:
        gap_y += 0.25 * cell_h
    boxes = [
        (gap_x + x * (cell_w + gap_x), gap_y + y * (cell_h + gap_y), cell_w, cell_h)
        for y in range(rows) for x in range(columns)
    ]  # fmt: skip
    total = (columns * (cell_w + gap_x) + gap_x, rows * (cell_h + gap_y) + gap_y)

    def draw(sheet: Sheet) -> None:
        for i, (x, y, w, h) in enumerate(boxes):
            if d.chance(0.05):
                sheet.paragraph(x, y, w, h, 0.15 * h, ink.dark)
                continue
            s = first if not i else symbol(d, any_class(d) if mixed else kind)
            scale = min(w / s.aspect, h) if mixed or s.linear is False else h
            wide, high = (scale * s.aspect, scale) if not s.linear or mixed else (w, h)
            wide, high = min(wide, w), min(high, h)
            place(sheet, s, (x + (w - wide) / 2, y + (h - high) / 2, wide, high), ink)

    return Card(*total, (0, 0, *total), draw, ink.paper)


def board(d: Dice, s: Symbol) -> Card:
    """Calibration boards: a grid of markers, or markers in the white squares of a chessboard."""
    columns, rows, chess = d.randint(2, 6), d.randint(2, 6), d.chance(0.4)
    inset = d.uniform(0.1, 0.25)
    total = (columns + 0.4, rows + 0.4)

    def draw(sheet: Sheet) -> None:
        for y in range(rows):
            for x in range(columns):
                if chess and (x + y) % 2:
                    sheet.rect(0.2 + x, 0.2 + y, 1, 1, (20, 20, 20))
                else:
                    marker = symbol(d, MARKER)
                    sheet.symbol(marker, 0.2 + x + inset, 0.2 + y + inset, 1 - 2 * inset, 1 - 2 * inset, (20, 20, 20))

    return Card(*total, (0, 0, *total), draw, d.tint(235, 15))


def lookalike(d: Dice) -> Card:
    """A card that carries no code."""
    w = d.log(0.5, 2)

    def draw(sheet: Sheet) -> None:
        bank = backgrounds.lookalike(d.randrange(backgrounds.LOOKALIKES))
        sheet.fill(backgrounds.view(d, bank, bank.shape[:2]))

    return Card(w, 1, (0, 0, w, 1), draw)


_COMMON: Sequence[Tuple[Callable[[Dice, Symbol], Card], float]] = (
    (bare, 0.2), (label, 0.22), (package, 0.22), (receipt, 0.07), (page, 0.09), (screen, 0.08), (ticket, 0.09),
)  # fmt: skip
_OWN: Dict[int, Sequence[Tuple[Callable[[Dice, Symbol], Card], float]]] = {
    DATAMATRIX: ((plate, 0.3),),
    QR: ((plate, 0.03),),
    MARKER: ((board, 0.12), (bare, 0.5)),
}


def design(d: Dice, class_id: int, single: bool = False) -> Card:
    """A new card with a symbol of a class; unless `single`, perhaps with more."""
    return carry(d, symbol(d, class_id), single)


def carry(d: Dice, s: Symbol, single: bool = False) -> Card:
    """A new card with a symbol; unless `single`, perhaps with more of its class."""
    if not single and d.chance(0.14):
        return sheet_of(d, s)
    kinds = [*_COMMON, *(pair for pair in _OWN.get(s.class_id, ()) if not (single and pair[0] is board))]
    return d.pick(kinds)(d, s)
