"""Random streams: one root seed, one stream per role, so that a new role changes no other."""

import hashlib


def seed_for(root: int, *role: str | int) -> int:
    """The seed of a role such as ``("batches", epoch)``: 63 bits, the same on every machine."""
    key = "/".join(map(str, (root, *role)))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) >> 1
