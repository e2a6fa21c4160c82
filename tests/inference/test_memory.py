"""Tests of keeping freed memory."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.any_edition

CODE = """
import resource, sys
import numpy
from segan_tf.inference import memory
if sys.argv[1] == "keep":
    memory.keep_freed()
def use():
    numpy.ones(40 << 20, numpy.uint8)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
before = faults()
for _ in range(20):
    use()
print(faults() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="malloc of glibc only"
)
def test_large_arrays_take_the_memory_of_those_before():
    found = {
        name: int(
            subprocess.run(
                [sys.executable, "-c", CODE, name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for name in ("keep", "give back")
    }
    # The system hands it out in pages, of 4 KiB or of 2 MiB.
    assert found["keep"] < 20
    assert found["give back"] >= 20 * 40 / 2
