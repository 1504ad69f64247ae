"""Reads the golden vectors with Google's protobuf, from the schema alone, and writes its own encodings of them.

usage: check.py PROTO_DIR VECTOR_DIR OUT_DIR

Knows nothing of KWIK's Rust code: `protoc` compiles PROTO_DIR, each vector's bytes are decoded and compared with the
JSON beside them, and the JSON is encoded into OUT_DIR for Rust to decode. The checksum is computed bit by bit.
"""

import json
import struct
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.internal import decoder, encoder
from grpc_tools import protoc

FILES = ["kwik/v1/types.proto", "kwik/v1/control.proto", "kwik/v1/data.proto", "kwik/files/v1/files.proto"]


def compile_schema(root):
    """All messages of the schema, by full name."""
    with tempfile.NamedTemporaryFile(suffix=".pb") as out:
        arguments = ["protoc", f"-I{root}", f"--descriptor_set_out={out.name}", "--include_imports", *FILES]
        if protoc.main(arguments) != 0:
            sys.exit("protoc does not take the schema")
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def crc32c(data):
    """CRC32C (RFC 3720, B.4), bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def check_checksum(frame):
    """A frame that has a checksum has the right one."""
    if frame.HasField("crc32c"):
        words = struct.pack("<4Q", frame.stream_id, frame.offset, frame.fin, len(frame.payload))
        assert frame.crc32c == crc32c(words + frame.payload), hex(crc32c(words + frame.payload))


def check_payload_is_last(body, payload):
    """What data.proto promises of a data frame's bytes."""
    assert body.endswith(b"\x7a" + encoder._VarintBytes(len(payload)) + payload), body.hex()


def check(vector, message_class):
    """Decodes a vector, compares it with its meaning, and returns its meaning encoded."""
    data = bytes.fromhex(vector["bytes"])
    body = data
    if vector["length_delimited"]:
        size, start = decoder._DecodeVarint(data, 0)
        body = data[start:]
        assert len(body) == size, f"{len(body)} bytes, {size} said"
    decoded = message_class.FromString(body)
    meaning = json_format.ParseDict(vector["meaning"], message_class())
    assert decoded == meaning, f"\ndecoded: {decoded}\nmeaning: {meaning}"
    written = json_format.MessageToDict(decoded, preserving_proto_field_name=True)
    assert written == vector["meaning"], f"\ndecoded: {written}\nmeaning: {vector['meaning']}"
    encoded = meaning.SerializeToString(deterministic=True)
    if vector["message"] == "kwik.v1.DataFrame":
        check_checksum(decoded)
        check_payload_is_last(body, decoded.payload)
        check_payload_is_last(encoded, decoded.payload)
    if vector["length_delimited"]:
        encoded = encoder._VarintBytes(len(encoded)) + encoded
    return encoded


def main():
    schema, vectors, out = map(Path, sys.argv[1:])
    message = compile_schema(schema)
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(vectors.glob("*.json"))
    assert paths, f"no vectors in {vectors}"
    for path in paths:
        vector = json.loads(path.read_text())
        try:
            encoded = check(vector, message(vector["message"]))
        except AssertionError as error:
            sys.exit(f"{path.name}: {error}")
        (out / path.stem).with_suffix(".hex").write_text(encoded.hex() + "\n")
    print(f"{len(paths)} vectors decoded, compared and encoded")


main()
