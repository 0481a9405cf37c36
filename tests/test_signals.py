"""Signals, closed streams, full disks and folders that go: the exit code of the docs, and no traceback."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import av
import pytest

from support import media
from support.repository import REPO, child_environment

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
UGLY = ("Traceback", "Fatal Python error", "Exception ignored", "Aborted", "terminate called", "KeyboardInterrupt")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes much longer than any test here."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        images = [media.scene(index) for index in range(10)]
        for index in range(6000):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(images[index % 10], format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2

    path = tmp_path_factory.mktemp("picture") / "a.png"
    cv2.imwrite(str(path), media.scene(0))
    return path


@pytest.fixture(autouse=True)
def hang_up_ends() -> Iterator[None]:
    """What starts the tests may ignore SIGHUP (nohup), and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def started(*words: object, **extra: Any) -> subprocess.Popen[str]:
    """The command line, as soon as it has its signals in hand."""
    command = [sys.executable, "-m", "edgecsp", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **{"cwd": REPO, **extra})
    late = time.monotonic() + 60
    while not caught(process) & 1 << signal.SIGTERM - 1:
        assert process.poll() is None and time.monotonic() < late
        time.sleep(0.001)
    return process


def caught(process: subprocess.Popen[str]) -> int:
    """The signals that a process has handlers for, as a mask."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.partition("SigCgt:")[2].split()[0], 16)


def ended(process: subprocess.Popen[str]) -> Tuple[int, str]:
    _, said = process.communicate(timeout=90)
    assert not [word for word in UGLY if word in said], said
    return process.returncode, said


def shell(line: str, *words: object, **extra: Any) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line in which "$@" is the command line; its exit code is the command's."""
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "edgecsp", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **{"cwd": REPO, **extra})
    assert not [word for word in UGLY if word in done.stderr], done.stderr
    return done


def whole(folder: Path) -> None:
    """Every video there can be played, and no rows are half a line."""
    for path in folder.rglob("*.mp4"):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0))
    for path in folder.rglob("*.jsonl"):
        assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_package_is_imported(tmp_path: Path, number: signal.Signals) -> None:
    """The first import of the package stands still here; a start takes about 40 ms from there."""
    (tmp_path / "logging.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    command = tmp_path / "edgecsp"
    command.write_text("from edgecsp.__main__ import main\nmain()\n")
    lines = [[str(command)]] + [["-m", "edgecsp"]] * (sys.version_info >= (3, 10))
    for words in lines:
        process = subprocess.Popen(
            [sys.executable, *words, "engines"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path, env=child_environment(tmp_path),
        )  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        process.send_signal(number)
        assert ended(process) == (128 + number, "")


def test_a_program_that_imports_the_package_keeps_its_handlers(tmp_path: Path) -> None:
    code = "from signal import *; own = getsignal(SIGINT); import edgecsp; assert getsignal(SIGINT) is own"
    (tmp_path / "program.py").write_text(code)
    for words in (["-c", code], ["program.py"], ["-m", "program", "edgecsp"]):
        subprocess.run([sys.executable, *words], cwd=tmp_path, env=child_environment(), check=True, timeout=60)


@linux
@pytest.mark.parametrize("wait_s", [0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6])
@pytest.mark.parametrize("between_s", [0, 0.03, 0.3])
def test_ctrl_c_twice(clip: Path, tmp_path: Path, wait_s: float, between_s: float) -> None:
    """While it is imported, while the model is opened, in the middle, while the mp4 is finished."""
    process = started("run", clip, "--out", tmp_path / "o.mp4", "--json", tmp_path / "o.jsonl")
    time.sleep(wait_s)
    process.send_signal(signal.SIGINT)
    time.sleep(between_s)
    process.send_signal(signal.SIGINT)
    code, said = ended(process)
    assert code == 130, said
    whole(tmp_path)
    after = subprocess.run([sys.executable, "-c", SWEEP, str(tmp_path)], cwd=REPO, check=True, timeout=60)
    assert after.returncode == 0 and not list(tmp_path.glob(".*"))


SWEEP = (
    "import sys; from edgecsp.cache import files\nwith files.atomic(sys.argv[1] + '/next') as file: file.write(b'x')"
)


@linux
@pytest.mark.parametrize("numbers", [(signal.SIGINT,) * 5, (signal.SIGTERM,) * 3, (signal.SIGHUP, signal.SIGINT)])
def test_signals_that_follow_each_other_at_once(clip: Path, tmp_path: Path, numbers: List[int]) -> None:
    process = started("run", clip, "--out", tmp_path / "o.mp4", "--json", "-", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.01)
    assert ended(process)[0] in {128 + number for number in numbers}
    whole(tmp_path)


@linux
@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_finishes_the_files(clip: Path, tmp_path: Path, number: int, code: int) -> None:
    process = started("run", clip, "--out", tmp_path / "o.mp4", "--json", "-", "-q", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(number)
    assert ended(process) == (code, "")
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    whole(tmp_path)


@linux
@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_is_imported(number: int, code: int) -> None:
    process = started("models", "list", stdout=subprocess.DEVNULL)
    if number == signal.SIGHUP:  # has its handler when all is imported; until then its default is the same code
        code = -number if not caught(process) & 1 << number - 1 else code
    process.send_signal(number)
    assert ended(process)[0] in (code, 128 + number)


@linux
def test_nohup_goes_on(clip: Path, tmp_path: Path) -> None:
    ignoring = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    process = started("run", clip, "--json", "-", stdout=subprocess.PIPE, preexec_fn=ignoring)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    for _ in range(20):
        assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


@linux
def test_a_signal_that_a_destructor_swallows_ends_it() -> None:
    code = """
import os, signal
from edgecsp.cli import _signals
class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        [None for _ in range(1000)]
_signals.leave_on_signals()
late = Late()
del late
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@linux
@pytest.mark.parametrize("held", ["stop._cond", "signal_again()"])
def test_a_signal_while_the_event_of_the_first_is_locked(held: str) -> None:
    """The main thread holds the event's lock, or has another signal pending: the handler waits for nothing."""
    code = f"""
import os, signal, threading
from contextlib import contextmanager
from edgecsp.cli import _signals

@contextmanager
def signal_again():
    was = signal.getsignal(signal.SIGINT)

    def begin(*args):
        signal.signal(signal.SIGINT, was)
        os.kill(os.getpid(), signal.SIGINT)
        was(*args)

    signal.signal(signal.SIGINT, begin)
    yield

_signals.leave_on_signals()
with _signals.until_signal() as stop:
    with {held}:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.is_set() and stop.wait() and stop.signal == 2
    os.kill(os.getpid(), signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=30)
    assert (done.returncode, done.stderr) == (130, "")


@linux
def test_a_signal_after_the_command_and_one_more() -> None:
    """The second would come in Python's finalization, where no handler is left."""
    code = """
import os, signal
from edgecsp import cli
class Ended(SystemExit):
    code = property(lambda self: os.kill(os.getpid(), signal.SIGINT) or 3)
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
        kill(pid, number)
last = Last()
def make_app(first):
    raise Ended
cli.make_app = make_app
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@linux
def test_a_signal_that_a_library_swallows_comes_again() -> None:
    code = """
import os, signal, time
from edgecsp.cli import _signals
_signals.leave_on_signals()
try:
    os.kill(os.getpid(), signal.SIGTERM)
except BaseException:
    pass
try:
    try:
        time.sleep(30)
    finally:
        print("ends", flush=True)
        try:
            raise ValueError
        except ValueError:
            time.sleep(3 * _signals.AGAIN_S)  # it takes long to end: nothing comes again
        print("ended")
except SystemExit as error:
    _signals.end_on_signals()
    time.sleep(2 * _signals.AGAIN_S)
    raise
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (143, "ends\nended\n", "")


@linux
def test_ctrl_c_twice_leaves_no_worker_of_the_bench() -> None:
    process = started("bench", "codes", "-e", "ort", "--duration", "60", "--threads", "1", stdout=subprocess.DEVNULL)
    late = time.monotonic() + 60
    while not (workers := children(process.pid)) and time.monotonic() < late:
        time.sleep(0.02)
    time.sleep(1.0)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert ended(process)[0] == 130 and workers
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < late + 30
        time.sleep(0.02)


def children(pid: int) -> List[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


# ---- standard streams


def test_a_reader_that_leaves(clip: Path) -> None:
    rows = shell('"$@" | head -1; exit "${PIPESTATUS[0]}"', "run", clip, "--json", "-")
    assert rows.returncode == 141 and json.loads(rows.stdout)["frame"] == 0
    for words in (("models", "list"), ("models", "show", "yolov4"), ("--help",), ("run", "--help"), ("engines",)):
        gone = shell('"$@" | true; exit "${PIPESTATUS[0]}"', *words)
        assert gone.returncode in (0, 141) and not gone.stderr


def test_a_reader_that_has_left_before() -> None:
    for words in (("models", "list"), ("--help",), ("--version",)):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "edgecsp", *words]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=REPO, timeout=60)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")


def test_messages_that_nobody_reads(picture: Path, tmp_path: Path) -> None:
    rows = tmp_path / "o.jsonl"
    assert shell('"$@" 2> >(true)', "run", picture, "--json", rows).returncode == 0
    assert len(rows.read_text().splitlines()) == 1
    assert shell('"$@" 2>&-', "run", picture, "--json", rows).returncode == 0
    assert shell('"$@" 2>&-', "run", tmp_path / "nothing.png", "--json", rows).returncode == 3
    assert len(rows.read_text().splitlines()) == 1


def test_a_closed_stdout(picture: Path, tmp_path: Path) -> None:
    rows = tmp_path / "o.jsonl"
    quiet = shell('"$@" <&- >&-', "run", picture, "--json", rows, "--out", tmp_path / "o.png")
    assert quiet.returncode == 0 and len(rows.read_text().splitlines()) == 1  # libraries print into no file of ours
    for words in (("run", picture, "--json", "-"), ("models", "list"), ("--version",)):
        lost = shell('"$@" >&-', *words)
        assert lost.returncode == 5 and "cannot write to standard output: Bad file descriptor" in lost.stderr


def test_a_closed_stdin(tmp_path: Path) -> None:
    closed = shell('"$@" <&-', "run", "-", cwd=tmp_path, env=child_environment())
    assert closed.returncode == 3 and "standard input, which is closed" in closed.stderr
    assert not list(tmp_path.iterdir())


def test_a_full_stdout() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    full = shell('"$@" > /dev/full', "models", "list")
    assert full.returncode == 5 and "cannot write to standard output: No space left on device" in full.stderr


# ---- places that go, or are full


@linux
@pytest.mark.parametrize("kind", ["folder", "video", "rows"])
def test_the_output_folder_is_removed(clip: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    words = {"folder": ["--out", out], "video": ["--out", out / "o.mp4"], "rows": ["--csv", out / "o.csv"]}[kind]
    process = started("run", clip, "--json", "-", *words, "-q", "--max-frames", 300, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    shutil.rmtree(out)
    code, said = ended(process)
    assert code == 5 and f"cannot write {out}" in said
    assert not out.exists()


@pytest.mark.parametrize("words", [["--csv", "o.csv"], ["--out", "o.mp4"], ["--out", "folder"]])
def test_a_disk_that_is_full(clip: Path, tmp_path: Path, words: List[str]) -> None:
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    command = [sys.executable, "-m", "edgecsp", "run", str(clip), "--max-frames", "400", "--conf", "0.001", *words]
    env = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, timeout=120, preexec_fn=limit
    )
    assert done.returncode == 5 and "cannot write" in done.stderr, done.stderr
    assert not [word for word in UGLY if word in done.stderr], done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
