#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes src/packing/gguf/gguf_grids.c: the grids of GGUF's IQ types, as numbers of levels (gguf_grids.h says how they are packed).

    grids.py > src/packing/gguf/gguf_grids.c

A grid is a part of its format: an index in the file stands for eight (IQ1, IQ2) or four (IQ3) magnitudes. They are taken from the
arrays that the reference decodes with (pip install gguf==0.18.0 or later), each magnitude by its rank among those of its grid.
"""
import numpy as np
from gguf import quants

GRIDS = (("iq1", quants.IQ1_S, 2), ("iq2_xxs", quants.IQ2_XXS, 2), ("iq2_xs", quants.IQ2_XS, 2), ("iq2_s", quants.IQ2_S, 2),
         ("iq3_xxs", quants.IQ3_XXS, 3), ("iq3_s", quants.IQ3_S, 3))
PER_LINE = 12


def entries(kind, bits):
    """One number an index: the level of column j is in its bits from bits * j on."""
    kind.init_grid()
    levels = np.searchsorted(np.array(sorted(kind.grid_map), np.float32), kind.grid.reshape(kind.grid_shape))
    return [sum(int(level) << bits * j for j, level in enumerate(row)) for row in levels]


print("/* SPDX-License-Identifier: MIT\n * gguf_grids.c - made by tools/grids.py; do not edit. */")
print('#include "packing/gguf/gguf_grids.h"\n\n/* clang-format off */')
for name, kind, bits in GRIDS:
    numbers = entries(kind, bits)
    print("\nconst uint16_t tare_grid_%s[%d] = {" % (name, len(numbers)))
    for at in range(0, len(numbers), PER_LINE):
        print("    " + ", ".join("0x%04x" % n for n in numbers[at:at + PER_LINE]) + ",")
    print("};")
