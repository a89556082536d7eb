"""Runs a classic BPF program as the kernel would, on one `struct seccomp_data`."""

import struct

MASK = 0xFFFFFFFF


def run_filter(program: bytes, arch: int, number: int, *args: int) -> int:
    """The filter's answer to system call `number` with up to six arguments of 64 bits."""
    data = struct.pack("=IIQ6Q", number & MASK, arch, 0, *(*args, *[0] * (6 - len(args))))
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        op, yes, no, k = steps[at]
        at += 1
        if op == 0x20:
            assert k % 4 == 0, "the kernel takes aligned words only"
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            at += k
        elif op == 0x15:
            at += yes if accumulator == k else no
        elif op == 0x35:
            at += yes if accumulator >= k else no
        else:
            assert op == 0x06, f"an instruction that seccomp does not take: {op:#x}"
            return int(k)
