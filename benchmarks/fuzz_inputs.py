"""Damage images, lists, tables, words and folders at random, and read them: each is read or refused in one sentence.

Prints how many cases were read and refused, tracebacks (there must be none), the slowest case and the largest memory.
"""

import argparse
import io
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from featuresharing.data.class_folders import list_class_folders, read_hierarchy
from featuresharing.data.class_maps import read_numbered_list
from featuresharing.data.drawings import read_drawings
from featuresharing.data.fonts import check_words
from featuresharing.data.images import read_inputs
from featuresharing.data.lists import read_classes, read_image_list, write_image_list
from featuresharing.data.preprocessing import imagenet_preprocessing
from featuresharing.data.stimuli import read_stimuli
from featuresharing.data.transforming import resize
from featuresharing.data.words import WordStyle, overlay_word, read_words
from featuresharing.errors import InputError

FONT = Path(__file__).parents[1] / "resources/fonts/DejaVuSans-Bold.ttf"

KINDS = (
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("GIF", mode) for mode in ("L", "P", "RGB")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("JPEG2000", mode) for mode in ("L", "LA", "RGB", "RGBA", "I;16")),
    *(("PPM", mode) for mode in ("1", "L", "RGB", "I;16", "F")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    *((name, "RGB") for name in ("EPS", "TGA", "PCX", "SGI", "ICO", "DDS", "PDF", "ICNS")),
)
"""Formats, accepted or not, and Pillow's modes in which images are written."""

TEXTS = {
    "list": "a.png 0,1\nb c.png 1,0\n",
    "classes": "task,index,name\nx,0,cat\nx,1,dog\ny,0,sun\ny,1,map\n",
    "numbered": "a.png 7,101\nb c.png 0,105\n",
    "stimuli": 'image,drawing,set,x,y\na.png,0,s,cat,sun\n"b c.png",1,s,dog,map\n',
    "hierarchy": "subordinate,basic\ncat,animal\ndog,animal\n",
    "drawings": "index,row,column,basic,subordinate,set\n0,0,0,bird,owl,noto\n1,0,1,bird,hen,noto\n",
    "words": "sun\nmap\ncafé\n\u05e9\u05dc\u05d5\u05dd\n\u0633\u0644\u0627\u0645\n",
}

SIGNS = "\u00a0\u200b\u202e\ufeff\u2028\u0301\u0915\u0644\U0001f600\u4f60\u0085\u0663"

PIECES = (
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r", b"\r\n", b"\n", b'"', b",", b";", b"\t", b" ", b"\xe9", b"\x1a"),
    *(b"-1", b"9" * 20, b"0,0", b"../", b"\xed\xa0\x80", b"x" * 300, b"%s", b"\x1b[2J"),
    *(sign.encode() for sign in SIGNS),
)
"""What is put into texts, beside random bytes."""

ENCODINGS = (*["utf-8"] * 8, "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp437")


NAMES = ("cat", "dog", ".hidden", "@eaDir", "Thumbs.db", "a b", " x", "new\nline", "\udce9", "x.png", "x", "\ufeffy")
"""Names of files and folders, odd ones among them."""


def write_image(kind: str, mode: str, rng: np.random.Generator) -> bytes:
    """Return a small image of noise as a file of a format and mode."""
    height, width = rng.integers(1, 40, size=2)
    pixels = rng.integers(0, 256, size=(height, width, 4), dtype=np.uint8)
    if mode in ("I;16", "I", "F"):
        values = pixels[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 256
        image = Image.fromarray(values)
    elif mode == "LAB":
        image = Image.frombytes("LAB", (int(width), int(height)), pixels[..., :3].tobytes())
    else:
        image = Image.fromarray(pixels).convert(mode)
    content = io.BytesIO()
    options = {"transparency": 3} if mode in ("L", "P") and kind in ("PNG", "GIF") and rng.random() < 0.5 else {}
    image.save(content, kind, **options)
    return content.getvalue()


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with flipped bits, cut, extended, mixed or overwritten parts; one time in ten as they were."""
    data = bytearray(content)
    kind = rng.integers(10)
    if kind in (1, 2, 3):
        for place in rng.integers(len(data), size=int(rng.integers(1, 5))):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 4:
        del data[int(rng.integers(len(data))) :]
    elif kind == 5:
        data += rng.bytes(int(rng.integers(1, 200)))
    elif kind in (6, 7):  # headers: sizes, counts, offsets
        place = int(rng.integers(min(len(data), 60)))
        data[place : place + 4] = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", rng.bytes(4))[rng.integers(4)]
    elif kind == 8:
        first, last = sorted(rng.integers(len(data) + 1, size=2))
        del data[first:last]
    elif kind == 9:
        first, last = sorted(rng.integers(len(data) + 1, size=2))
        data[first:first] = data[first:last]
    return bytes(data)


def damage_text(text: str, rng: np.random.Generator) -> bytes:
    """Return a text in some encoding, with pieces put into it, and now and then damaged as any other file."""
    data = bytearray(text.encode(ENCODINGS[rng.integers(len(ENCODINGS))], errors="replace"))
    for _ in range(int(rng.integers(3))):
        place = int(rng.integers(len(data) + 1))
        piece = PIECES[rng.integers(len(PIECES))]
        data[place:place] = piece
    return damage(bytes(data), rng) if rng.random() < 0.4 else bytes(data)


def read_an_image(folder: Path, rng: np.random.Generator) -> None:
    """Damage an image and read it as networks take it."""
    kind, mode = KINDS[rng.integers(len(KINDS))]
    (folder / "image").write_bytes(damage(write_image(kind, mode, rng), rng))
    read_inputs([folder / "image"], imagenet_preprocessing(16))


def read_a_text(folder: Path, rng: np.random.Generator) -> None:
    """Damage a list or table and read it; what a list of images holds must come back once it is written."""
    name = list(TEXTS)[rng.integers(len(TEXTS))]
    path = folder / "text"
    path.write_bytes(damage_text(TEXTS[name], rng))
    maps = {"x": {0: 0, 7: 1}, "y": {101: 1, 105: 0}}
    readers: dict[str, Callable[[], object]] = {
        "classes": lambda: read_classes(path),
        "numbered": lambda: read_numbered_list(path, folder, maps),
        "stimuli": lambda: read_stimuli(path, ["x", "y"]),
        "hierarchy": lambda: read_hierarchy(path, ["cat", "dog"]),
        "drawings": lambda: read_drawings(path),
        "words": lambda: check_words(read_words(path), FONT, (9, 12)),
    }
    if name != "list":
        readers[name]()
        return
    images = read_image_list(path, [["a", "b"]] * 2, check_files=bool(rng.integers(2)))
    write_image_list(folder / "again", images.paths, images.targets)
    again = read_image_list(folder / "again", [["a", "b"]] * 2, check_files=False)
    assert [p.resolve() for p in again.paths] == [p.resolve() for p in images.paths]


def draw_a_word(folder: Path, rng: np.random.Generator) -> None:
    """Draw random characters, of planes that fonts have and others, with the font or a damaged one."""
    highest = (0x250, 0x780, 0x2FFF, 0x1FFFF, 0x10FFFF)[rng.integers(5)]
    word = "".join(chr(code) for code in rng.integers(0x20, highest, size=int(rng.integers(1, 6))))
    font = FONT
    if rng.random() < 0.1:
        font = folder / f"{rng.integers(2**62)}.ttf"
        font.write_bytes(damage(FONT.read_bytes(), rng))
    drawn = overlay_word(Image.new("RGB", (200, 80)), word, WordStyle(font, (9, 30), (200, 255)), rng)
    assert drawn.getbbox(), f"{word!a} leaves nothing to see"


def walk_a_folder(folder: Path, rng: np.random.Generator) -> None:
    """List class folders with odd names, links and empty folders."""
    root = folder / "classes"
    shutil.rmtree(root, ignore_errors=True)
    for _ in range(int(rng.integers(1, 8))):
        parts = [NAMES[place] for place in rng.integers(len(NAMES), size=int(rng.integers(1, 4)))]
        path = root.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if rng.random() < 0.1:
                path.symlink_to(("..", "nowhere", path.name)[rng.integers(3)])
            else:
                path.write_bytes(b"")
        except OSError:  # a name that is taken, or a folder below a file
            continue
    list_class_folders(root)


FAMILIES = (read_an_image, read_an_image, read_a_text, read_a_text, draw_a_word, walk_a_folder)
"""How a case is made, in turn."""


def fuzz(cases: int, seed: int, folder: Path) -> tuple[Counter[str], list[str], tuple[float, str]]:
    """Run ``cases``; return how many were read and refused, the tracebacks, and the slowest case."""
    counts: Counter[str] = Counter()
    tracebacks: list[str] = []
    slowest = (0.0, "")
    for case in range(cases):
        run = FAMILIES[case % len(FAMILIES)]
        rng = np.random.default_rng([seed, case])
        start = time.perf_counter()
        try:
            run(folder, rng)
            counts["read"] += 1
        except InputError as error:
            counts["refused"] += 1
            if "\n" in str(error):
                tracebacks.append(f"case {case}: a sentence of several lines: {error!a}")
        except Exception:
            tracebacks.append(f"case {case}: {run.__name__}\n{traceback.format_exc()}")
        slowest = max(slowest, (time.perf_counter() - start, f"case {case}: {run.__name__}"))
    return counts, tracebacks, slowest


def main() -> None:
    """Run the cases that the command line asks for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resize(np.zeros((2, 2, 3), np.uint8), 1)  # imports torch, which no case should wait for
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        counts, tracebacks, (seconds, slowest) = fuzz(options.cases, options.seed, Path(folder))
    for text in tracebacks[:10]:
        print(text)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{options.cases} cases: {counts['refused']} refused, {counts['read']} read, {len(tracebacks)} tracebacks;")
    print(f"slowest {seconds:.2f} s ({slowest}); {memory:.0f} MiB more than at the start.")


if __name__ == "__main__":
    main()
