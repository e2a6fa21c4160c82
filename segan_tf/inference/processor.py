"""What the processor of this machine can do."""

import platform

_CPU_INFO = "/proc/cpuinfo"  # of Linux
# Of x86-64 and of ARM, in its lines "flags" and "Features".
_INT8_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "asimddp"}
_APPLE_SILICON = ("Darwin", "arm64")


def has_int8_dot_products() -> bool:
    """Returns whether int8 models are faster than float32 ones here."""
    if (platform.system(), platform.machine()) == _APPLE_SILICON:
        return True
    try:
        with open(_CPU_INFO, encoding="utf-8", errors="replace") as file:
            return any(
                _INT8_DOT_PRODUCTS & set(line.split())
                for line in file
                if line.startswith(("flags", "Features"))
            )
    except OSError:
        return False
