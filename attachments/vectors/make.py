#!/usr/bin/env python3
"""Writes lnmp-stream-1.json: known answers for docs/protocol.md, made without any code of Satchel.

Needs the `cryptography` package. Octet i of every plaintext is (i*31 + (i>>8)) & 255.
"""
import base64, hashlib, json, pathlib
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK, LEAF = 65520, 1 << 20

def varint(n):
    out = bytearray()
    while True:
        out.append((n & 127) | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)

def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data

def cid_bytes(codec, data):
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(data).digest()

def cid(data):
    """unixfs-v1-2025 (IPIP-499), for up to 1024 leaves."""
    leaves = [data[i:i + LEAF] for i in range(0, len(data), LEAF)] or [b""]
    if len(leaves) == 1:
        root = cid_bytes(0x55, leaves[0])
    else:
        node = b"".join(field(2, field(1, cid_bytes(0x55, l)) + field(2, b"") + b"\x18" + varint(len(l))) for l in leaves)
        unixfs = b"\x08\x02" + b"\x18" + varint(len(data)) + b"".join(b"\x20" + varint(len(l)) for l in leaves)
        root = cid_bytes(0x70, node + field(1, unixfs))
    return "b" + base64.b32encode(root).decode().lower().rstrip("=")

def text(n):
    return bytes((i * 31 + (i >> 8)) & 255 for i in range(n))

def seal(key, plain):
    aead, ad, out = AESGCM(key), b"lnmp-stream/1" + len(plain).to_bytes(8, "big"), b""
    chunks = [plain[i:i + CHUNK] for i in range(0, len(plain), CHUNK)] or [b""]
    for i, chunk in enumerate(chunks):
        last = i == len(chunks) - 1
        out += aead.encrypt(i.to_bytes(11, "big") + bytes([last]), chunk, ad)
    return out

cases = []
for size in [0, 1, 57, 65519, 65520, 65521, 131040, 1048320, 1048321, 3000000]:
    key = hashlib.sha256(b"lnmp-stream/1 vector %d" % size).digest()
    plain = text(size)
    sealed = seal(key, plain)
    case = {
        "size": size, "key": key.hex(), "sha256": hashlib.sha256(plain).hexdigest(),
        "sealed_size": len(sealed), "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
        "first_tag": sealed[:65536][-16:].hex(), "last_tag": sealed[-16:].hex(), "cid": cid(sealed),
    }
    if size < 100:
        case["sealed"] = sealed.hex()
    cases.append(case)

unixfs = [{"size": n, "cid": cid(text(n))} for n in [100, 1048576, 1048577, 3145733]]
out = {"plaintext": "octet i is (i*31 + (i>>8)) & 255", "stream": cases, "unixfs_v1_2025": unixfs}
pathlib.Path(__file__).with_name("lnmp-stream-1.json").write_text(json.dumps(out, indent=1) + "\n")
