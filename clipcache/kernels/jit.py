"""Numba's flags, in one place.

No `fastmath`: it lets the compiler assume that NaN and infinity do not exist, and our checks need
them. Signatures stay lazy, because eager ones refuse read-only arrays, which memory maps are.
"""

import numba

kernel = numba.njit(nogil=True, cache=True, error_model="numpy")
