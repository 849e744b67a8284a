"""What oslo.utils' format inspector, which the real Glance asks, makes of files.

Argument: a folder of files. Each line of standard input is JSON, [file name, length or null, [[offset, hex], ...]]:
a file cut to that length, with these bytes written over it. Each line of standard output is the verdict on it.
"""

import io
import json
import logging
import pathlib
import sys

from oslo_utils.imageutils import format_inspector

CHUNK = 65536


def content(folder, name, length, patches):
    data = bytearray((folder / name).read_bytes())
    if length is not None:
        del data[length:]
    for offset, text in patches:
        patch = bytes.fromhex(text)
        data[offset : offset + len(patch)] = patch
    return bytes(data)


def chosen(inspectors):
    """The one that Glance takes, or None where it takes none."""
    found = {str(inspector): inspector for inspector in inspectors}
    if found.keys() == {"iso", "gpt"}:
        return found["iso"]
    return inspectors[0] if len(inspectors) == 1 else None


def virtual_size(inspector):
    try:
        return inspector.virtual_size
    except Exception:
        return None


def is_safe(inspector):
    try:
        inspector.safety_check()
    except Exception:
        return False
    return True


def verdict(data):
    stream = format_inspector.InspectWrapper(io.BytesIO(data))
    while stream.read(CHUNK):
        pass
    stream.close()
    inspectors = list(stream.formats)
    one = chosen(inspectors)
    return {
        "accepted": one and str(one) if one and is_safe(one) else None,
        "virtual_size": virtual_size(one) if one else None,
    }


def main():
    logging.disable(logging.CRITICAL)
    folder = pathlib.Path(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(verdict(content(folder, *json.loads(line)))))


main()
