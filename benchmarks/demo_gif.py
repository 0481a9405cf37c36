"""The moving image of the README: the bundled model on the video of `make demo`.

    python -m benchmarks.demo_gif [--out FILE.gif]      benchmarks/results/demo.gif; needs Pillow

Every frame goes through the detector; those that are shown are drawn as `edgecsp run` draws them, made smaller, and
brought to one palette, so that what does not change between two of them takes no bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

from . import command_line

REPO = Path(__file__).resolve().parents[1]
OUT = REPO / "benchmarks" / "results" / "demo.gif"
VIDEO = REPO / "benchmarks" / "codes.mp4"


def annotated_frames(video: Path, stride: int, count: int) -> List[Any]:
    """Run the bundled model over a video; return every `stride`th frame with its boxes, (H, W, 3) uint8 BGR."""
    import edgecsp

    frames: List[Any] = []
    with edgecsp.load("codes", engine="ort") as detector:
        for frame, result in detector.stream(str(video)):
            if frame.index % stride == 0:
                frames.append(result.plot())
            if len(frames) == count:
                break
    return frames


def write(out: Path, frames: List[Any], width: int, colors: int, frame_ms: int) -> None:
    """Write an endless GIF of these frames, of one palette, without dithering."""
    from PIL import Image

    images = [Image.fromarray(frame[:, :, ::-1]) for frame in frames]
    size = (width, images[0].height * width // images[0].width)
    small = [each.resize(size, Image.Resampling.LANCZOS) for each in images]
    sheet = Image.new("RGB", (width, size[1] * 4))
    for place, each in enumerate(small[:: max(1, len(small) // 4)][:4]):
        sheet.paste(each, (0, place * size[1]))
    palette = sheet.quantize(colors)
    first, *rest = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in small]
    first.save(out, save_all=True, append_images=rest, duration=frame_ms, loop=0, optimize=True)


def main() -> None:
    """Parse, run, write, say how large it is."""
    options = command_line.parser(
        __doc__,
        out=(str(OUT), "the file to write"),
        stride=(8, "show every so many frames"),
        frames=(16, "frames shown"),
        width=(360, "pixels"),
        colors=(32, "in the palette"),
    ).parse_args()
    frames = annotated_frames(VIDEO, options.stride, options.frames)
    write(Path(options.out), frames, options.width, options.colors, 50 * options.stride)
    print(f"{options.out}: {len(frames)} frames, {Path(options.out).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
