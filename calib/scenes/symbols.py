"""Symbols as module bitmaps: zxing-cpp writes the codes, OpenCV the markers.

Both need hundredths of a millisecond a symbol, so every scene gets symbols that no other has.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any, Callable, Dict, Tuple

import cv2
import numpy as np
import zxingcpp

from .. import CLASSES
from .dice import Dice

QR, DATAMATRIX, AZTEC, PDF417, BARCODE, MARKER = range(len(CLASSES))
ALNUM = string.ascii_uppercase + string.digits
TEXT = string.ascii_letters + string.digits + " .,-/:?&=%"


@dataclass(frozen=True)
class Symbol:
    """One symbol without its quiet zone.

    `ink` (h, w) uint8, 255 where it is printed, one pixel a module (a linear code has 50 rows);
    `aspect` is width / height as printed; `text` what people read below it, "" for none.
    """

    class_id: int
    format: str
    ink: np.ndarray
    aspect: float
    text: str = ""

    @property
    def linear(self) -> bool:
        """Whether it is a 1-D code, of which height means nothing."""
        return self.class_id == BARCODE


Recipe = Tuple[str, float, Callable[[Dice], Tuple[str, Dict[str, Any]]]]


def _digits(low: int, high: int) -> Callable[[Dice], Tuple[str, Dict[str, Any]]]:
    return lambda d: (d.letters(string.digits, d.randint(low, high)), {})


def _even(low: int, high: int) -> Callable[[Dice], Tuple[str, Dict[str, Any]]]:
    return lambda d: (d.letters(string.digits, 2 * d.randint(low // 2, high // 2)), {})


def _alnum(low: int, high: int, alphabet: str = ALNUM) -> Callable[[Dice], Tuple[str, Dict[str, Any]]]:
    return lambda d: (d.letters(alphabet, int(d.log(low, high))), {})


def _qr(d: Dice) -> Tuple[str, Dict[str, Any]]:
    url = d.chance(0.5)
    n = int(d.log(8, 60)) if url else int(d.log(1, 700 if d.chance(0.15) else 150))
    text = d.letters(TEXT if d.chance(0.7) else string.digits, n)
    return ("https://" + text if url else text), {"ec_level": d.choice("LMQH")}


def _datamatrix(d: Dice) -> Tuple[str, Dict[str, Any]]:
    # Versions 25-30 are the rectangles of the first standard, 31-48 those of its extension (DMRE).
    if d.chance(0.22):
        return d.letters(ALNUM, d.randint(1, 5)), {"version": d.randint(25, 30) if d.chance(0.8) else d.randint(31, 48)}
    return d.letters(ALNUM if d.chance(0.6) else string.digits, int(d.log(1, 300 if d.chance(0.12) else 60))), {
        "force_square": True
    }


def _aztec(d: Dice) -> Tuple[str, Dict[str, Any]]:
    return d.letters(ALNUM, int(d.log(1, 400 if d.chance(0.3) else 80))), {"ec_level": str(d.randint(1, 4))}


def _pdf417(d: Dice) -> Tuple[str, Dict[str, Any]]:
    options: Dict[str, Any] = {"ec_level": str(d.randint(1, 5))}
    if d.chance(0.6):
        options["columns"] = d.randint(1, 12)
    return d.letters(TEXT, int(d.log(4, 400))), options


def _expanded(d: Dice) -> Tuple[str, Dict[str, Any]]:
    return "(01)" + _gtin(d) + ("" if d.chance(0.4) else f"(10){d.letters(ALNUM, d.randint(2, 10))}"), {}


def _gtin(d: Dice) -> str:
    digits = d.letters(string.digits, 13)
    return digits + str(-sum(int(c) * (3, 1)[i % 2] for i, c in enumerate(digits)) % 10)


def _codabar(d: Dice) -> Tuple[str, Dict[str, Any]]:
    return d.choice("ABCD") + d.letters(string.digits, d.randint(4, 14)) + d.choice("ABCD"), {}


RECIPES: Dict[int, Tuple[Recipe, ...]] = {
    QR: (("QRCode", 0.86, _qr), ("MicroQRCode", 0.07, _alnum(1, 12)), ("RMQRCode", 0.07, _alnum(1, 60))),
    DATAMATRIX: (("DataMatrix", 1, _datamatrix),),
    AZTEC: (("AztecCode", 0.93, _aztec), ("AztecRune", 0.07, lambda d: (str(d.randint(0, 255)), {}))),
    PDF417: (("PDF417", 0.8, _pdf417), ("CompactPDF417", 0.1, _pdf417), ("MicroPDF417", 0.1, _alnum(2, 60))),
    BARCODE: (
        ("EAN13", 0.28, _digits(12, 12)),
        ("UPCA", 0.13, _digits(11, 11)),
        ("EAN8", 0.05, _digits(7, 7)),
        ("UPCE", 0.05, _digits(6, 6)),
        ("Code128", 0.17, _alnum(3, 28, ALNUM + string.ascii_lowercase + "-/")),
        ("Code39", 0.08, _alnum(3, 18)),
        ("Code93", 0.04, _alnum(3, 20)),
        ("ITF", 0.05, _even(4, 16)),
        ("ITF14", 0.02, _digits(13, 13)),
        ("Codabar", 0.04, _codabar),
        ("Telepen", 0.01, _alnum(3, 14)),
        ("DataBarOmni", 0.02, _digits(13, 13)),
        ("DataBarStk", 0.01, _digits(13, 13)),
        ("DataBarStkOmni", 0.01, _digits(13, 13)),
        ("DataBarLtd", 0.01, lambda d: ("0" + d.letters(string.digits, 12), {})),
        ("DataBarExp", 0.02, _expanded),
        ("DataBarExpStk", 0.01, _expanded),
    ),
}
STACKED = ("DataBarStk", "DataBarStkOmni", "DataBarExpStk")
MARKERS = sorted(name for name in dir(cv2.aruco) if name.startswith("DICT_") and "h" not in name)


def symbol(dice: Dice, class_id: int) -> Symbol:
    """A new symbol of a class, of any of its symbologies, sizes and levels of error correction."""
    if class_id == MARKER:
        return _marker(dice)
    name, content = dice.pick([((name, content), weight) for name, weight, content in RECIPES[class_id]])
    return write(dice, class_id, name, content)


def write(dice: Dice, class_id: int, name: str, content: Callable[[Dice], Tuple[str, Dict[str, Any]]]) -> Symbol:
    """A symbol of one symbology; content that does not fit is drawn again."""
    for _ in range(50):
        text, options = content(dice)
        try:
            code = zxingcpp.create_barcode(text, getattr(zxingcpp, name), **options)
        except ValueError:
            continue  # too long for the version or the level asked for
        # ITF-14 stands in a frame; the quiet zone between the two is part of it.
        ink = 255 - np.array(code.to_image(scale=1, add_quiet_zones=name == "ITF14"))
        across, down = (np.nonzero(ink.max(axis))[0] for axis in (0, 1))
        ink = ink[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        return _measured(dice, class_id, name, ink, code.text)
    raise AssertionError(f"{name} takes nothing of what is written for it")


def _measured(dice: Dice, class_id: int, name: str, ink: np.ndarray, text: str) -> Symbol:
    h, w = ink.shape
    aspect = w / h
    if class_id == PDF417:
        aspect *= dice.log(0.6, 1.6)  # rows may be 2 to 5 modules high, zxing-cpp draws 3
    elif class_id == BARCODE and name not in STACKED:
        low = 0.12 if dice.chance(0.25) else 0.9
        aspect = dice.log(low, 12) if dice.chance(0.5) else dice.uniform(1.2, 3.5)
    label = text if class_id == BARCODE and dice.chance(0.8) else ""
    return Symbol(class_id, name, np.ascontiguousarray(ink), aspect, label.replace("\x1d", ""))


def _marker(dice: Dice) -> Symbol:
    name = dice.choice(MARKERS)
    if dice.chance(0.25):
        name = "DICT_APRILTAG_36H11"
    words = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    border = 2 if dice.chance(0.1) else 1
    side = words.markerSize + 2 * border
    ink = cv2.aruco.generateImageMarker(words, dice.randrange(len(words.bytesList)), side, borderBits=border)
    return Symbol(MARKER, name, 255 - ink, 1.0)


def maxicode(dice: Dice) -> np.ndarray:
    """A code of none of our classes, as (h, w) uint8 ink: what must not be found."""
    code = zxingcpp.create_barcode(dice.letters(ALNUM, dice.randint(5, 60)), zxingcpp.MaxiCode)
    return 255 - np.array(code.to_image(scale=1, add_quiet_zones=False))
