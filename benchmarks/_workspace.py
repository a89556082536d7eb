"""The workspace that volumes are measured on: sources, transcripts, binaries, a database, links."""

import os
import random
import sqlite3
import string
from pathlib import Path


def generate(root: Path, scale: float) -> None:
    """The same bytes for the same scale."""
    rng = random.Random(20)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 11))) for _ in range(3000)]
    sources(root, rng, words, files=int(9600 * scale))
    for number in range(11):
        size = int((50 if number == 0 else 3) * 1e6 * scale)
        json_lines(root / "logs" / f"run-{number}.jsonl", rng, words, size)
    for number in range(int(80 * scale)):
        _write(root / "lib" / f"native-{number}.so", _binary(rng, 700_000))
    _write(root / "data" / "image.bin", rng.randbytes(int(20e6 * scale)))
    database(root / "data" / "index.sqlite", rng, words, rows=int(60_000 * scale))
    (root / "hard").mkdir()
    os.link(root / "data" / "image.bin", root / "hard" / "image.bin")
    for number in range(int(200 * scale)):
        (root / "hard" / f"link-{number}").symlink_to(f"../src/m{number}")
        (root / "empty" / str(number % 8)).mkdir(parents=True, exist_ok=True)


def sources(root: Path, rng: random.Random, words: list[str], files: int) -> None:
    """Text as a compiler sees it, in folders as a package manager makes them."""
    lines = [
        " " * (4 * rng.randint(0, 4))
        + " ".join(rng.choices(words, k=rng.randint(2, 9)))
        + rng.choice("(){};:")
        for _ in range(40_000)
    ]
    for number in range(files):
        package = root / ("src" if number % 4 == 0 else "node_modules") / f"m{number % 700}"
        length = min(4000, int(rng.paretovariate(1.1) * 60))
        _write(package / f"file{number}.ts", "\n".join(rng.choices(lines, k=length)).encode())


def json_lines(path: Path, rng: random.Random, words: list[str], size: int) -> None:
    """An agent's transcript."""
    parts, length = [], 0
    while length < size:
        text = " ".join(rng.choices(words, k=rng.randint(10, 120)))
        parts.append(
            f'{{"id":"{rng.getrandbits(64):016x}","type":"{rng.choice(words)}",'
            f'"ts":{1795000000 + length},"text":"{text}"}}'
        )
        length += len(parts[-1]) + 1
    _write(path, "\n".join(parts).encode()[:size])


def _binary(rng: random.Random, size: int) -> bytes:
    """Machine code is half noise, half repetition."""
    noise = rng.randbytes(size // 3)
    return b"".join(noise[at : at + 64] + noise[at : at + 16] * 8 for at in range(0, len(noise) - 64, 64))[
        :size
    ]


def database(path: Path, rng: random.Random, words: list[str], rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, name TEXT, body TEXT)")
    made = ((rng.choice(words), " ".join(rng.choices(words, k=24))) for _ in range(rows))
    connection.executemany("INSERT INTO entry (name, body) VALUES (?, ?)", made)
    connection.commit()
    connection.close()


def edit(root: Path, seed: int) -> None:
    """Twenty edits of sources, and a megabyte more of transcript."""
    rng = random.Random(seed)
    for path in sorted((root / "src").glob("*/*.ts"))[
        :: max(1, len(list((root / "src").glob("*/*.ts"))) // 20)
    ][:20]:
        path.write_bytes(path.read_bytes() + b"// edited %d\n" % rng.getrandbits(32))
    with (root / "logs" / "run-0.jsonl").open("ab") as log:
        log.write(rng.randbytes(500_000).hex().encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
