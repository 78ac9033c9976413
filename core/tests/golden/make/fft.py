"""Fourier transforms; complex numbers have a last axis of 2."""


from case import Family, spread


def pairs(m, z):
    return m.stack([m.real(z), m.imag(z)], axis=-1)


def joined(x):
    return x[..., 0] + 1j * x[..., 1]


def families():
    family = Family(
        "fourier",
        "64 of the largest",
        "64 of the largest",
        "Fourier transforms of all norms, cut and filled with zeros.",
    )
    for count in [1, 2, 5, 8]:
        for norm in ["backward", "ortho", "forward"]:
            x, z = spread(f"fft{count}", (count,)), spread(f"fftc{count}", (count, 2))
            family.case(
                f'rfft(x, norm="{norm}")', {"x": x}, lambda m, x: pairs(m, m.fft.rfft(x, norm=norm)), grad=True
            )
            for op in ["fft", "ifft"]:
                family.case(
                    f'{op}(z, norm="{norm}")',
                    {"z": z},
                    lambda m, z: pairs(m, getattr(m.fft, op)(joined(z), norm=norm)),
                    grad=True,
                )
            family.case(
                f'irfft(z, n={2 * count - 1}, norm="{norm}")',
                {"z": z},
                lambda m, z: m.fft.irfft(joined(z), n=2 * count - 1, norm=norm),
                grad=True,
            )
            if count > 1:
                family.case(
                    f'irfft(z, norm="{norm}")', {"z": z}, lambda m, z: m.fft.irfft(joined(z), norm=norm), grad=True
                )
    for n in [3, 5, 7, 8]:
        family.case(
            f"rfft(x, n={n})", {"x": spread("cut", (2, 5))}, lambda m, x: pairs(m, m.fft.rfft(x, n=n)), grad=True
        )
        family.case(
            f"fft(z, n={n}, axis=0)",
            {"z": spread("cutz", (5, 2, 2))},
            lambda m, z: pairs(m, m.fft.fft(joined(z), n=n, axis=0)),
            grad=True,
        )
        family.case(
            f"irfft(z, n={n})", {"z": spread("cuth", (2, 4, 2))}, lambda m, z: m.fft.irfft(joined(z), n=n), grad=True
        )
    for axis in [0, 1, -1]:
        family.case(
            f"rfft(x, axis={axis})",
            {"x": spread("axes", (3, 4, 2))},
            lambda m, x: pairs(m, m.fft.rfft(x, axis=axis)),
            grad=True,
        )
    for axes in [(0, 1), (1, 0), (0, 2)]:
        family.case(
            f"rfft(x, axis={list(axes)})",
            {"x": spread("axes", (3, 4, 2))},
            lambda m, x: pairs(m, m.fft.rfftn(x, axes=axes)),
            grad=True,
        )
        family.case(
            f"fft(z, axis={list(axes)})",
            {"z": spread("axesz", (3, 2, 2, 2))},
            lambda m, z: pairs(m, m.fft.fftn(joined(z), axes=axes)),
            grad=True,
        )
        family.case(
            f"ifft(z, axis={list(axes)})",
            {"z": spread("axesz", (3, 2, 2, 2))},
            lambda m, z: pairs(m, m.fft.ifftn(joined(z), axes=axes)),
            grad=True,
        )
    return [family]
