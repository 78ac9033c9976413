"""Sorting, searching, sets and places."""

import numpy as np

from case import DTYPES, Family, spread

MIXED = np.array([2.0, np.nan, -np.inf, 0.0, -0.0, np.inf, 2.0, -1.0])


def sorting(family):
    for shape, axis in [((5,), -1), ((2, 4), -1), ((3, 2), 0), ((2, 3, 2), 1), ((1,), 0), ((0,), 0), ((2, 0), 1)]:
        x = spread(f"sort{shape}", shape)
        family.case(f"sort(x, axis={axis})", {"x": x}, lambda m, x: m.sort(x, axis=axis), grad=True)
        family.case(f"argsort(x, axis={axis})", {"x": x}, lambda m, x: np.argsort(x, axis=axis, kind="stable"))
    family.case("sort(x)", {"x": MIXED[[0, 1, 2, 3, 5, 6, 7]]}, lambda m, x: np.sort(x, kind="stable"))
    family.case("argsort(x)", {"x": MIXED}, lambda m, x: np.argsort(x, kind="stable"))
    for dtype in ["bool", "i8", "i64", "u8", "u64", "f16", "f32"]:
        x = spread("sort" + dtype, (2, 6), 0, 4, dtype)
        family.case("sort(x)", {"x": x}, lambda m, x: np.sort(x))
        family.case("argsort(x, axis=0)", {"x": x}, lambda m, x: np.argsort(x, axis=0, kind="stable"))
    for shape, k, axis in [((6,), 3, -1), ((3, 4), 2, 0), ((2, 5), 5, 1), ((2, 5), 0, 1)]:
        for largest in [True, False]:
            text = f"v, i = topk(x, {k}, axis={axis}, largest={str(largest).lower()})"
            x = spread(f"{text}{shape}", shape)
            places = lambda x: np.take(
                np.argsort(-x if largest else x, axis=axis, kind="stable"), range(k), axis=axis
            )
            chosen = places(x)
            family.case(f"{text}; i", {"x": x}, lambda m, x: places(x))
            family.case(f"{text}; v", {"x": x}, lambda m, x: m.take_along_axis(x, chosen, axis=axis), grad=True)
    family.case(
        "v, i = topk(x, 3); v, i",
        {"x": np.array([1, 3, 3, 2, 3])},
        lambda m, x: (np.array([3, 3, 3]), np.array([1, 2, 4])),
    )


def searching(family):
    a = np.array([-1.0, 0.0, 0.0, 2.0, 5.0])
    v = np.array([[-2.0, -1.0, 0.0], [1.0, 5.0, 9.0]])
    for side in ["left", "right"]:
        family.case(
            f'searchsorted(a, v, side="{side}")', {"a": a, "v": v}, lambda m, a, v: m.searchsorted(a, v, side=side)
        )
        family.case(
            f'searchsorted(a, v, side="{side}")',
            {"a": np.append(a, [np.inf, np.nan, np.nan]), "v": np.array([np.nan, np.inf, -np.inf])},
            lambda m, a, v: m.searchsorted(a, v, side=side),
        )
        family.case(
            f'searchsorted(a, v, side="{side}")',
            {"a": np.array([1, 3, 3, 7]), "v": np.array(3)},
            lambda m, a, v: m.searchsorted(a, v, side=side),
        )
        family.case(
            f'searchsorted(a, v, side="{side}")',
            {"a": np.zeros(0), "v": v},
            lambda m, a, v: m.searchsorted(a, v, side=side),
        )
    order = np.array([3, 0, 2, 1, 4])
    family.case(
        "searchsorted(a, v, sorter=s)",
        {"a": np.array([0.0, 2.0, 0.0, -1.0, 5.0]), "v": v, "s": order},
        lambda m, a, v, s: m.searchsorted(a, v, sorter=s),
    )
    n = np.array([3, 1, 3, 2, 1, 1])
    everything = "u, i, v, c = unique(x, return_index=true, return_inverse=true, return_counts=true"
    for x in [
        n,
        n.astype(np.float64),
        n.reshape(2, 3),
        np.array([np.nan, 1.0, np.nan, 1.0]),
        n.astype(np.uint8),
        np.zeros(0),
        np.array([True, False, True]),
    ]:
        family.case("unique(x)", {"x": x}, lambda m, x: np.unique(x))
        family.case(
            f"{everything}); u, i, v, c",
            {"x": x},
            lambda m, x: np.unique(x, return_index=True, return_inverse=True, return_counts=True),
        )
    rows = np.array([[1, 2, 1], [0, 5, 0], [1, 2, 1]])
    for axis in [0, 1, -1]:
        family.case(
            f"{everything}, axis={axis}); u, i, v, c",
            {"x": rows},
            lambda m, x: np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis),
        )
    family.case("unique(x)", {"x": np.array([2.0, 1.0, 3.0])}, lambda m, x: m.sort(x), grad=True)


def places(family):
    x = np.array([[0.0, 1.5, np.nan], [-0.0, 0.0, 2.0]])
    for dtype in ["f64", "i8", "bool"]:
        of = np.nan_to_num(x).astype(DTYPES[dtype]) if dtype != "f64" else x
        family.case("a, b = nonzero(x); a, b", {"x": of}, lambda m, x: np.nonzero(x))
        family.case("argwhere(x)", {"x": of}, lambda m, x: np.argwhere(x))
        family.case("flatnonzero(x)", {"x": of}, lambda m, x: np.flatnonzero(x))
    family.case("argwhere(x)", {"x": np.zeros((2, 3))}, lambda m, x: np.argwhere(x))
    i, j = np.array([[1, 0], [2, 1]]), np.array([3, 0])
    family.case(
        "ravel_multi_index([i, j], [3, 4])",
        {"i": i, "j": j},
        lambda m, i, j: np.ravel_multi_index((i, np.broadcast_to(j, i.shape)), (3, 4)),
    )
    for mode in ["wrap", "clip"]:
        family.case(
            f'ravel_multi_index([i, j], [3, 4], mode="{mode}")',
            {"i": np.array([-1, 5, 2]), "j": np.array([4, -9, 1])},
            lambda m, i, j: np.ravel_multi_index((i, j), (3, 4), mode=mode),
        )
    family.case(
        "a, b = unravel_index(i, [3, 4]); a, b",
        {"i": np.array([[0, 11], [5, 7]])},
        lambda m, i: np.unravel_index(i, (3, 4)),
    )


def families():
    family = Family("order", "0 of each", "0 of each", "Sorting, searching, sets and places.")
    sorting(family)
    searching(family)
    places(family)
    return [family]
