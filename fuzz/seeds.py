#!/usr/bin/env python3
"""Makes seeds/images anew: small images by qemu-img, as the targets read them (see targets/mod.rs)."""

import pathlib
import struct
import subprocess
import tempfile

SEEDS = pathlib.Path(__file__).parent / "seeds" / "images"
# Name, format, options, the disk's size in KiB, whether it compresses.
MADE = [
    ("qcow2-v2", "qcow2", "compat=0.10,cluster_size=512", 64, False),
    ("qcow2-v3", "qcow2", "compat=1.1,cluster_size=512", 64, False),
    ("qcow2-packed", "qcow2", "cluster_size=4k", 256, True),
    ("qcow2-zstd", "qcow2", "cluster_size=4k,compression_type=zstd", 256, True),
    ("qcow2-parts", "qcow2", "cluster_size=16k,extended_l2=on", 256, False),
    ("vmdk-sparse", "vmdk", "subformat=monolithicSparse", 256, False),
    ("vmdk-stream", "vmdk", "subformat=streamOptimized", 256, False),
    ("vhd-dynamic", "vpc", "subformat=dynamic,force_size=on", 4096, False),
    ("vhd-fixed", "vpc", "subformat=fixed,force_size=on", 64, False),
    ("vhdx", "vhdx", "subformat=dynamic,block_size=1M", 1024, False),
    ("vdi", "vdi", "static=off", 1024, False),
    ("qed", "qed", "cluster_size=64k", 64, False),
]


def disk(kib):
    """Begins with a partition table, and has a stretch that can be packed."""
    content = bytearray(kib << 10)
    content[446:462] = bytes([0, 0, 2, 0, 0x83, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0x40, 2, 0, 0])
    content[510:512] = b"\x55\xaa"
    content[8192:12288] = b"pumice! " * 512
    return bytes(content)


def iso():
    content = bytearray(40 << 10)
    content[32 << 10 : (32 << 10) + 7] = b"\x01CD001\x01"
    content[(32 << 10) + 80 : (32 << 10) + 88] = struct.pack("<I", 20) + struct.pack(">I", 20)
    content[(32 << 10) + 128 : (32 << 10) + 132] = bytes([0, 8, 8, 0])
    return bytes(content)


def sparse(content):
    """Zeros are left out, and stretches that say the same over and over are cut short."""
    seed = bytearray(struct.pack("<I", len(content)))
    at = 0
    while at < len(content):
        stretch = content[at : at + 512]
        kept = stretch.rstrip(b"\0")
        if kept.startswith(b"pumice! "):
            kept = kept[:8]
        if kept.count(b"\xff") == 512:
            kept = kept[:16]
        if kept:
            seed += struct.pack("<IH", at, len(kept)) + kept
        at += 512
    return bytes(seed)


def main():
    SEEDS.mkdir(parents=True, exist_ok=True)
    seeds = {"raw": disk(16), "iso": iso()}
    with tempfile.TemporaryDirectory() as folder:
        for name, form, options, kib, packed in MADE:
            raw, made = pathlib.Path(folder, "raw"), pathlib.Path(folder, name)
            raw.write_bytes(disk(kib))
            convert = ["qemu-img", "convert", "-f", "raw", "-O", form, "-o", options] + ["-c"] * packed
            subprocess.run([*convert, raw, made], check=True)
            seeds[name] = made.read_bytes()
    for name, content in seeds.items():
        (SEEDS / name).write_bytes(sparse(content))


main()
