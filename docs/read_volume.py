"""Restores a volume without Hutch, as volume-format.md tells: read_volume.py STORE WORKSPACE/NAME TARGET [AT]

STORE is a store's folder, or a copy of a bucket in one; AT a snapshot's number or tag. Needs blake3, zstandard.
"""

import base64
import functools
import json
import os
import sys
from pathlib import Path

import blake3
import zstandard

opened = functools.lru_cache(99)(lambda path: path.open("rb"))


def proven(data, name, what):
    return data if blake3.blake3(data).hexdigest() == name else sys.exit(f"{what} is damaged")


def names(leases):
    return sorted(str(path.relative_to(leases)) for path in leases.rglob("*") if path.is_file()) or ["none"]


def raw(text):
    return text.encode() if isinstance(text, str) else base64.b64decode(text["b64"])


def small(path):
    line, name, _ = path.read_bytes().split(b"\n")
    return json.loads(proven(line, name.decode(), path))


def large(path, name=None):
    data = path.read_bytes()
    proven(data[:9] + data[41:], name or data[9:41].hex(), path)
    frame = (
        data[45 + int.from_bytes(data[41:45], "little") :] if data[8] == 1 else sys.exit("unknown version")
    )
    return list(map(json.loads, zstandard.ZstdDecompressor().decompressobj().decompress(frame).split(b"\n")))


def snapshot(store, volume, number, fork=None):
    log, steps, parent, tree, packs = store / volume / "log", [], None, {}, {}
    base = (number and large(log / f"{number:020}")[0]["checkpoint"]) or {"number": 0}
    for each in range(number, base["number"], -1):
        steps.append(large(log / f"{each:020}", parent))
        parent = steps[-1][0]["parent"]
    if base["number"]:
        steps.append(large(store / volume / f"checkpoints/{base['number']:020}", base["hash"]))
    elif fork := steps[-1][0]["fork"] if steps else fork:
        tree, packs = snapshot(store, fork["volume"], fork["number"])
    for header, *nodes in reversed(steps):
        for pack in header["packs"]:
            path = store / pack.get("volume", volume) / pack["key"]
            packs[pack["number"]] = [(path, *block) for block in pack["blocks"]]
        apply(tree, nodes)
    return tree, packs


def apply(tree, nodes):
    trail = []
    for node in nodes:
        del trail[node["depth"] :]
        siblings, name = trail[-1]["children"] if trail else tree, raw(node["name"])
        if b"/" in name or name in (b".", b"..") or bool(name) != bool(trail):
            sys.exit(f"no node may have this name: {name}")
        old = siblings.pop(name, {})
        if node["kind"] == "folder":
            node["children"] = old.get("children", {})
        if node["kind"] != "gone":
            siblings[name] = old if node["kind"] == "same" else node
            trail.append(siblings[name])


@functools.lru_cache(64)
def content(path, offset, stored, length, name):
    data = os.pread(opened(path).fileno(), stored, offset)
    return proven(
        data if stored == length else zstandard.ZstdDecompressor().decompressobj().decompress(data),
        name,
        path,
    )


def write(path, name, node, packs, links):
    if node.get("inode") in links:
        return os.link(links[node["inode"]], name)
    links[node.get("inode", path)] = path
    if node["kind"] == "link":
        os.symlink(raw(node["target"]), name)
    elif node["kind"] == "folder":
        os.mkdir(name, 0o700)
        os.chdir(name)
        for child, each in node["children"].items():
            write(path + b"/" + child, child, each, packs, links)
        os.chdir("..")
    else:
        size, (pack, block, skip) = node["size"], node.get("at", (0, 0, 0))
        runs = node.get("blocks", [[pack, block, 1]])
        pieces = (content(*packs[pack][block + n]) for pack, block, count in runs for n in range(count))
        with open(name, "xb") as file:
            for start, length in node.get("data", [[0, size]]):
                file.seek(start)
                while file.tell() < start + length:
                    file.write(next(pieces)[skip : skip + size])
            file.truncate(size)
    for key, value in node.get("xattrs", ()):
        os.setxattr(name, raw(key), base64.b64decode(value))
    if node["kind"] != "link":
        os.chmod(name, node["mode"])
    os.utime(name, ns=(node["mtime"], node["mtime"]), follow_symlinks=False)


def main(store, name, target, at=None):
    if target.exists():
        sys.exit(f"{target} is there already")
    if not (store / "leases" / name).is_file():
        sys.exit(f"{store} has no volume {name}; those it has: {', '.join(names(store / 'leases'))}")
    lease, top = small(store / "leases" / name), os.fsencode(target.absolute())
    volume, volumes = f"{name}/{lease['volume']}", store / "volumes"
    number = max((int(path.name) for path in volumes.glob(f"{volume}/log/*")), default=0)
    if at:
        tag = volumes / volume / "tags" / at
        if not at.isdigit() and not tag.is_file():
            sys.exit(f"{name} has no tag {at}")
        number = int(at) if at.isdigit() else small(tag)["number"]
    tree, packs = snapshot(volumes, volume, number, lease.get("fork"))
    sys.setrecursionlimit(1_000_000)  # folders may lie some thousand deep
    write(top, top, tree[b""], packs, {})


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(Path(sys.argv[1]).absolute(), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
