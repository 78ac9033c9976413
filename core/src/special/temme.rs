//! The incomplete gamma functions for large `a`: N. M. Temme, *The asymptotic expansion of the incomplete
//! gamma functions* (1979); DLMF 8.12.

use std::f64::consts::{FRAC_2_SQRT_PI, TAU};

use super::double::Double;

/// `P(a, x)` and `Q(a, x)` for `a` of at least 1e4.
pub(super) fn tail_pair(a: f64, x: f64) -> (f64, f64) {
    let ratio = Double::ratio(x, a);
    let distance = Double::sum(x, -a) / a;
    // η²/2 = μ - log(1 + μ), in which η has the sign of μ.
    let half_square = if distance.0.abs() < 0.05 {
        let (mut sum, mut power) = (Double::from(0.0), distance);
        for k in 2..=26 {
            power = -(power * distance);
            sum = sum - power / f64::from(k);
        }
        sum
    } else if ratio.0 > 1e-3 {
        distance - ratio.ln()
    } else {
        return (0.0, 1.0);
    };
    let exponent = half_square * a;
    if exponent.0 > 760.0 {
        return if distance.0 > 0.0 { (1.0, 0.0) } else { (0.0, 1.0) };
    }
    let density = libm::exp(-exponent.0) * (1.0 - exponent.1);
    let root = exponent.0.sqrt();
    let rest = if root > 0.0 { (exponent - Double::product(root, root)).0 / (2.0 * root) } else { 0.0 };
    // The tail enlarges what rounding takes from the root; to first order it is given back.
    let tail = 0.5 * (libm::erfc(root) - FRAC_2_SQRT_PI * density * rest);
    let eta = (2.0 * half_square.0).sqrt().copysign(distance.0);
    let sum = COEFFICIENTS
        .iter()
        .rev()
        .fold(0.0, |sum, row| sum / a + row.iter().rev().fold(0.0, |sum, coefficient| sum * eta + coefficient));
    let correction = density / (TAU * a).sqrt() * sum;
    if distance.0 > 0.0 {
        let upper = tail + correction;
        (1.0 - upper, upper)
    } else {
        let lower = tail - correction;
        (lower, 1.0 - lower)
    }
}

/// Row k: the Maclaurin series in η of the `c_k(η)` of DLMF 8.12.7, as far as `a` of 1e4 and the range
/// of `f64` need it.
#[rustfmt::skip]
const COEFFICIENTS: [&[f64]; 5] = [
    &[
        -0.333_333_333_333_333_3, 0.083_333_333_333_333_33, -0.014_814_814_814_814_815,
        0.001_157_407_407_407_407_3, 0.000_352_733_686_067_019_4, -0.000_178_755_144_032_921_8,
        3.919_263_178_522_438e-5, -2.185_448_510_679_992e-6, -1.854_062_210_715_16e-6,
        8.296_711_340_953_087e-7, -1.766_595_273_682_607_8e-7, 6.707_853_543_401_498e-9,
        1.026_180_978_424_030_9e-8, -4.382_036_018_453_353e-9, 9.147_699_582_236_79e-10,
        -2.551_419_399_494_624_8e-11, -5.830_772_132_550_426e-11, 2.436_194_802_066_741_5e-11,
        -5.027_669_280_114_175_5e-12, 1.100_439_203_195_613_5e-13,
    ],
    &[
        -0.001_851_851_851_851_852, -0.003_472_222_222_222_222, 0.002_645_502_645_502_645_4,
        -0.000_990_226_337_448_559_6, 0.000_205_761_316_872_427_98, -4.018_775_720_164_609e-7,
        -1.809_855_033_448_997_7e-5, 7.649_160_916_081_11e-6, -1.612_090_089_456_344_6e-6,
        4.647_127_802_807_434e-9, 1.378_633_446_915_721e-7, -5.752_545_603_517_705e-8,
        1.195_162_859_977_814_8e-8, -1.754_324_171_974_764_7e-11, -1.009_154_371_060_041_3e-9,
    ],
    &[
        0.004_133_597_883_597_883, -0.002_681_327_160_493_827_3, 0.000_771_604_938_271_604_9,
        2.009_387_860_082_304_7e-6, -0.000_107_366_532_263_651_6, 5.292_344_882_912_012_5e-5,
        -1.276_063_518_861_872_8e-5, 3.423_578_734_096_138e-8, 1.372_195_730_906_293_4e-6,
        -6.298_992_138_380_055e-7, 1.428_061_420_606_424_2e-7,
    ],
    &[
        0.000_649_434_156_378_600_8, 0.000_229_472_093_621_399_17, -0.000_469_189_494_395_255_7,
        0.000_267_720_632_062_838_85, -7.561_801_671_883_977e-5, -2.396_505_113_867_297e-7,
        1.108_265_411_534_730_2e-5,
    ],
    &[
        -0.000_861_888_290_916_711_7, 0.000_784_039_221_720_066_6, -0.000_299_072_480_303_190_2,
        -1.463_845_257_884_341_8e-6,
    ],
];
