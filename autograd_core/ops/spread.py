"""How a smaller array lies in a larger one that it is broadcast to."""

import math
from functools import lru_cache

Shape = tuple[int, ...]


@lru_cache(maxsize=1024)
def spread_view(large: Shape, small: Shape) -> tuple[int, int, int] | None:
    """`large` as (outer, repeated, inner), where broadcasting repeats `small` along the first and the last of these.

    None where it does not keep the large shape, is repeated along an axis between two of its own, or is one number.

    >>> spread_view((8, 3, 5, 5), (3, 1, 1))
    (8, 3, 25)
    >>> spread_view((512, 1024), (1024,))
    (512, 1024, 1)
    >>> spread_view((2, 3, 4), (2, 1, 4))
    """
    padded = (1,) * (len(large) - len(small)) + small
    own = [axis for axis, size in enumerate(padded) if size != 1]
    if not own or len(padded) != len(large):
        return None
    first, end = own[0], own[-1] + 1
    if padded[first:end] != large[first:end]:
        return None
    return math.prod(large[:first]), math.prod(small), math.prod(large[end:])
