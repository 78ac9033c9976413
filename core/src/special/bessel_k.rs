//! The modified Bessel function of the second kind, of any real order, with twice the digits.

use super::bessel::{Modified, root};
use super::double::{Double, LN_2, PI};

/// The modified Bessel function of the second kind `K_v(x)` (DLMF 10.25.3) for x above 0; infinity at 0, NaN
/// below and for orders above 1e5 in magnitude.
pub fn kv(v: f64, x: f64) -> f64 {
    at_edge(v, x).unwrap_or_else(|| both(v.abs(), x, ENOUGH).here.value(0.0))
}

/// `exp(x) * kv(v, x)`, which does not underflow.
pub fn kve(v: f64, x: f64) -> f64 {
    at_edge(v, x).unwrap_or_else(|| both(v.abs(), x, ENOUGH).here.value(x))
}

/// `log(kv(v, x))`, which neither overflows nor loses digits where it crosses 0.
pub fn log_kv(v: f64, x: f64) -> f64 {
    match at_edge(v, x) {
        Some(value) => libm::log(value),
        None => {
            let rough = both(v.abs(), x, ENOUGH).here.log();
            if rough.abs() < 0.01 { both(v.abs(), x, FINE).here.log() } else { rough }
        }
    }
}

/// The derivative of [`log_kv`] in `x` (DLMF 10.29.2).
pub fn log_kv_dx(v: f64, x: f64) -> f64 {
    match at_edge(v, x) {
        Some(value) if value.is_nan() => value,
        Some(0.0) => -1.0,
        Some(_) => f64::NEG_INFINITY,
        None => {
            let found = both(v.abs(), x, ENOUGH);
            let mantissa = libm::scalbn(x, -found.exponent);
            libm::scalbn((Double::ratio(v.abs(), mantissa) - found.next / found.here.here).round(), -found.exponent)
        }
    }
}

fn at_edge(v: f64, x: f64) -> Option<f64> {
    // The recurrence takes a step for each unit of the order.
    if v.is_nan() || x.is_nan() || x < 0.0 || v.abs() > 1e5 {
        Some(f64::NAN)
    } else if x == 0.0 {
        Some(f64::INFINITY)
    } else {
        x.is_infinite().then_some(0.0)
    }
}

/// What a series may leave out of its sum, for a result of `f64`, and for one of which digits are taken by what is near it.
const ENOUGH: f64 = 1e-20;
const FINE: f64 = 1e-33;

/// `K` of an order, and of the next: that is `2^-exponent * next` with the other's power.
struct Pair {
    here: Modified,
    next: Double,
    exponent: i32,
}

/// `K` of an order and of the next: for an order within one half by a series (Temme, J. Comput. Phys. 19, 1975) or
/// by a continued fraction (ibid.), from there upwards by recurrence (DLMF 10.29.1), which is stable.
fn both(v: f64, x: f64, digits: f64) -> Pair {
    // A power of two of `x` is kept apart, as a step of the recurrence may be by more than the range of numbers.
    let exponent = libm::ilogb(x).min(0);
    let mantissa = libm::scalbn(x, -exponent);
    let steps = (v + 0.5).floor();
    let order = v - steps;
    let (mut here, mut next) = if x < 2.0 { series(order, x, mantissa) } else { fraction(order, x, digits) };
    // The series gives K itself, the fraction exp(x) K.
    let mut power = Double::from(if x < 2.0 { 0.0 } else { -x });
    let mut step = 1.0;
    while step <= steps {
        (here, next) = (next, Double::sum(order, step).scale(2.0) / mantissa * next + here.scale(libm::scalbn(1.0, 2 * exponent)));
        power = power - LN_2 * f64::from(exponent);
        step += 1.0;
        if next.0 > LARGE {
            (here, next) = (here.scale(1.0 / LARGE), next.scale(1.0 / LARGE));
            power = power + LN_2 * LARGE.log2();
        }
    }
    Pair { here: Modified { here, power }, next, exponent }
}

/// Numbers above are brought back by it: 2 to the 800th.
const LARGE: f64 = f64::from_bits((1023 + 800) << 52);

/// Coefficients of `1 / gamma(1 + z)` (Abramowitz and Stegun 6.1.34).
#[rustfmt::skip]
const RECIPROCAL_GAMMA: [Double; 34] = [
    Double(1.0, 0.0), Double(0.577_215_664_901_532_9, -4.942_915_152_430_645e-18),
    Double(-0.655_878_071_520_253_9, 2.137_185_197_068_536e-17), Double(-0.042_002_635_034_095_24, 1.492_030_628_565_050_5e-18),
    Double(0.166_538_611_382_291_48, 1.018_914_454_684_202_6e-17), Double(-0.042_197_734_555_544_33, -3.357_999_268_248_013_4e-18),
    Double(-0.009_621_971_527_876_973, -5.300_031_368_830_263e-19), Double(0.007_218_943_246_663_1, -3.600_653_706_339_428_3e-19),
    Double(-0.001_165_167_591_859_065_2, 5.659_947_853_880_981e-20), Double(-0.000_215_241_674_114_950_98, 2.375_868_618_072_936_4e-21),
    Double(0.000_128_050_282_388_116_2, -9.359_124_499_198_967e-21), Double(-2.013_485_478_078_824e-5, 3.048_877_397_203_738_5e-23),
    Double(-1.250_493_482_142_670_6e-6, -2.662_140_922_718_98e-23), Double(1.133_027_231_981_696e-6, -4.622_235_212_104_869e-23),
    Double(-2.056_338_416_977_607e-7, -3.006_160_161_864_513_4e-24), Double(6.116_095_104_481_416e-9, -2.693_458_298_171_306e-25),
    Double(5.002_007_644_469_223e-9, -1.538_123_614_056_751e-26), Double(-1.181_274_570_487_02e-9, -1.005_235_615_571_620_8e-25),
    Double(1.043_426_711_691_100_5e-10, -2.929_841_995_682_503_5e-27), Double(7.782_263_439_905_071e-12, 4.397_255_556_595_848e-28),
    Double(-3.696_805_618_642_206e-12, 2.705_003_492_170_388_5e-28), Double(5.100_370_287_454_476e-13, 2.253_001_461_085_878e-29),
    Double(-2.058_326_053_566_506_6e-14, -1.474_748_149_195_433_6e-30), Double(-5.348_122_539_423_018e-15, -1.620_838_468_635_656_8e-31),
    Double(1.226_778_628_238_260_8e-15, -5.072_915_146_023_867e-32), Double(-1.181_259_301_697_458_8e-16, 6.422_257_838_149_681e-33),
    Double(1.186_692_254_751_600_4e-18, -4.203_726_549_422_601_4e-35), Double(1.412_380_655_318_031_9e-18, -7.576_946_701_116_294e-35),
    Double(-2.298_745_684_435_37e-19, 1.333_548_191_706_914_5e-36), Double(1.714_406_321_927_337_4e-20, 5.230_715_150_426_935e-38),
    Double(1.337_351_730_493_693e-22, 2.643_405_964_907_922_8e-39), Double(-2.054_233_551_766_672_8e-22, 3.685_689_242_456_895_3e-39),
    Double(2.736_030_048_608e-23, -2.859_931_541_639_777_4e-39), Double(-1.732_356_445_910_516_5e-24, -1.754_088_350_819_759_8e-40),
];

/// `K` of an order within one half, and of the next, that for the mantissa of `x` in place of `x` in its factor `1 / x`.
fn series(order: f64, x: f64, mantissa: f64) -> (Double, Double) {
    let one = Double::from(1.0);
    let square = Double::product(order, order);
    let (mut odd, mut even) = (Double::from(0.0), Double::from(0.0));
    for pair in RECIPROCAL_GAMMA.chunks(2).rev() {
        even = even * square + pair[0];
        odd = odd * square - pair[1];
    }
    // 1 / gamma(1 + order) and 1 / gamma(1 - order).
    let (plus, minus) = (even - odd * order, even + odd * order);
    let log = LN_2 - Double::from(x).ln();
    let angle = log * order;
    let scale = if order == 0.0 { one } else { PI * order / Double::from(order).sin_pi() };
    let grown = angle.exp();
    let beyond = angle.exp_m1();
    let (cosh, sinh) = ((grown + one / grown).scale(0.5), (beyond + beyond / grown).scale(0.5));
    let slope = if angle.0 == 0.0 { one } else { sinh / angle };
    let mut term = scale * (odd * cosh + even * slope * log);
    let (mut p, mut q) = (grown.scale(0.5) / plus, Double::from(0.5) / (grown * minus));
    let (mut low, mut high, mut factor) = (term, p, one);
    let quarter = Double::product(0.5 * x, 0.5 * x);
    for i in 1..500 {
        let i = f64::from(i);
        term = (term * i + p + q) / (Double::from(i * i) - square);
        factor = factor * quarter / i;
        p = p / Double::sum(i, -order);
        q = q / Double::sum(i, order);
        let (more, next) = (factor * term, factor * (p - term * i));
        low = low + more;
        high = high + next;
        if more.0.abs() < low.0.abs() * FINE && next.0.abs() < high.0.abs() * FINE {
            break;
        }
    }
    (low, high.scale(2.0) / mantissa)
}

/// `exp(x) K` of an order within one half, and of the next.
fn fraction(order: f64, x: f64, digits: f64) -> (Double, Double) {
    let far = root(PI.scale(0.5) / x);
    if x > 1e40 {
        return (far, far);
    }
    let one = Double::from(1.0);
    let first = -Double::product(order, order) + 0.25;
    let (mut a, mut b) = (-first, Double::sum(x, 1.0).scale(2.0));
    let mut d = one / b;
    let (mut h, mut change) = (d, d);
    let (mut q1, mut q2, mut q, mut c) = (Double::from(0.0), one, first, first);
    let mut sum = one + q * change;
    for i in 2..10_000 {
        let i = f64::from(i);
        a = a - 2.0 * (i - 1.0);
        c = -(c * a) / i;
        (q1, q2) = (q2, (q1 - b * q2) / a);
        q = q + c * q2;
        b = b + 2.0;
        d = one / (b + a * d);
        change = change * (b * d - 1.0);
        h = h + change;
        let more = q * change;
        sum = sum + more;
        if more.0.abs() <= sum.0.abs() * digits {
            break;
        }
    }
    let low = far / sum;
    (low, low * (Double::sum(order, x) + 0.5 - first * h) / x)
}
