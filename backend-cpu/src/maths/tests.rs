//! How exact the functions are, and what they are at special values.
//!
//! In `f32` the exact value is that in `f64`, rounded: the normal test goes through a sample, the ignored one through all
//! numbers. In `f64` it comes from arithmetic of arbitrary precision. docs/numerics.md shows what is measured here;
//! `ARIGNOTE_BLESS=1` writes it anew; what stands in the column of `f32` only the ignored test changes.

use std::cell::Cell;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use arignote_core::rewrite::harness::interval::{Bits, Interval};
use arignote_core::rewrite::harness::precise::Format;
use arignote_core::tensor::DType;
use astro_float::{BigFloat, Consts, RoundingMode};

use super::{Lanes, Scalar32, Scalar64, Slow, Width, binary, unary};
use crate::kernels::number::{Binary, Unary};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// The largest error that is allowed, in units in the last place of the exact value.
const MOST: f64 = 2.0;

const UNARY: &[Unary] = &[
    Unary::Exp, Unary::Exp2, Unary::Expm1, Unary::Log, Unary::Log2, Unary::Log10, Unary::Log1p, Unary::Log1mexp,
    Unary::Logit,
    Unary::Sigmoid, Unary::LogSigmoid, Unary::Softplus, Unary::Silu, Unary::Gelu, Unary::GeluTanh, Unary::Selu,
    Unary::Softsign, Unary::HardSigmoid, Unary::Sin, Unary::Cos, Unary::Tan, Unary::Arcsin, Unary::Arccos, Unary::Arctan,
    Unary::Sinh, Unary::Cosh, Unary::Tanh, Unary::SechSquared, Unary::Arcsinh, Unary::Arccosh, Unary::Arctanh,
    Unary::Erf, Unary::Erfc, Unary::Ndtr,
];

const BINARY: &[Binary] = &[Binary::Pow, Binary::Arctan2, Binary::Hypot, Binary::Xlogy, Binary::Xlog1py];

const BITS: Bits = Bits(256);
const ROUND: RoundingMode = RoundingMode::ToEven;

fn precise(x: &Interval, function: impl Fn(&BigFloat, &mut Consts) -> BigFloat) -> Interval {
    let Interval::Range(x, _) = x else { return Interval::Unknown };
    let value = function(x, &mut Consts::new().expect("memory for constants"));
    if value.is_nan() { Interval::Nan } else { Interval::Range(value.clone(), value) }
}

/// The exact value, between bounds; unknown where a special value decides.
fn exact(operation: Unary, x: f64) -> Interval {
    let (b, p) = (BITS, BITS.0);
    let number = |value| b.exactly(value);
    let a = number(x);
    let over = |top: &Interval, bottom: &Interval| b.div(top, bottom);
    let sigmoid = |a: &Interval| over(&number(1.0), &b.add(&number(1.0), &b.exp(&b.neg(a))));
    let ln = |value| b.log(&number(value));
    let pi = || precise(&number(1.0), |_, consts| consts.pi(p, ROUND));
    // Φ(x) = erfc(-x / √2) / 2
    let ndtr = || b.mul(&number(0.5), &b.erfc(&b.neg(&over(&a, &b.sqrt(&number(2.0))))));
    match operation {
        Unary::Exp => b.exp(&a),
        Unary::Exp2 => b.exp(&b.mul(&a, &ln(2.0))),
        Unary::Expm1 => b.expm1(&a),
        Unary::Log => b.log(&a),
        Unary::Log2 => over(&b.log(&a), &ln(2.0)),
        Unary::Log10 => over(&b.log(&a), &ln(10.0)),
        Unary::Log1p => b.log1p(&a),
        Unary::Log1mexp => b.log1mexp(&a),
        Unary::Logit => b.log(&over(&a, &b.sub(&number(1.0), &a))),
        Unary::Sigmoid => sigmoid(&a),
        Unary::LogSigmoid => b.neg(&b.softplus(&b.neg(&a))),
        Unary::Softplus => b.softplus(&a),
        Unary::Silu => b.mul(&a, &sigmoid(&a)),
        Unary::Gelu => b.mul(&a, &ndtr()),
        Unary::Ndtr => ndtr(),
        Unary::GeluTanh => {
            let inner = b.add(&a, &b.mul(&number(0.044715), &b.mul(&a, &b.square(&a))));
            let twice = b.mul(&b.mul(&number(2.0), &b.sqrt(&over(&number(2.0), &pi()))), &inner);
            b.mul(&a, &sigmoid(&twice))
        }
        Unary::Selu => {
            let scale = number(arignote_core::special::SELU_SCALE);
            let below = || b.mul(&number(arignote_core::special::SELU_ALPHA), &b.expm1(&a));
            b.mul(&scale, &if x > 0.0 { a.clone() } else { below() })
        }
        Unary::Softsign => over(&a, &b.add(&number(1.0), &b.abs(&a))),
        Unary::HardSigmoid => {
            let line = b.add(&b.mul(&number(0.2), &a), &number(0.5));
            b.extreme(&b.extreme(&line, &number(0.0), true), &number(1.0), false)
        }
        Unary::Sin => b.sin(&a),
        Unary::Cos => b.cos(&a),
        Unary::Tan => over(&b.sin(&a), &b.cos(&a)),
        Unary::Arcsin => precise(&a, |x, consts| x.asin(p, ROUND, consts)),
        Unary::Arccos => precise(&a, |x, consts| x.acos(p, ROUND, consts)),
        Unary::Arctan => precise(&a, |x, consts| x.atan(p, ROUND, consts)),
        Unary::Sinh => b.sinh(&a),
        Unary::Cosh => b.cosh(&a),
        Unary::Tanh => b.tanh(&a),
        Unary::SechSquared => over(&number(1.0), &b.square(&b.cosh(&a))),
        Unary::Arcsinh => precise(&a, |x, consts| x.asinh(p, ROUND, consts)),
        Unary::Arccosh => precise(&a, |x, consts| x.acosh(p, ROUND, consts)),
        Unary::Arctanh => precise(&a, |x, consts| x.atanh(p, ROUND, consts)),
        Unary::Erf => b.erf(&a),
        Unary::Erfc => b.erfc(&a),
        other => panic!("{} has no exact value", other.name()),
    }
}

/// The exact value of an operation of two numbers.
fn exact_pair(operation: Binary, x: f64, y: f64) -> Interval {
    let (b, p) = (BITS, BITS.0);
    let (u, v) = (b.exactly(x), b.exactly(y));
    match operation {
        Binary::Pow => b.pow(&u, &v),
        Binary::Hypot => b.sqrt(&b.add(&b.square(&u), &b.square(&v))),
        Binary::Xlogy => b.mul(&u, &b.log(&v)),
        Binary::Xlog1py => b.mul(&u, &b.log1p(&v)),
        Binary::Arctan2 => {
            let part = precise(&b.div(&u, &v), |x, consts| x.atan(p, ROUND, consts));
            let pi = precise(&u, |_, consts| consts.pi(p, ROUND));
            match (y < 0.0, x.is_sign_negative()) {
                (false, _) => part,
                (true, false) => b.add(&part, &pi),
                (true, true) => b.sub(&part, &pi),
            }
        }
        other => panic!("{} has no exact value", other.name()),
    }
}

/// How far a result is from the exact value; nothing where that is not known to be a number.
fn distance(format: Format, found: f64, exact: &Interval) -> Option<f64> {
    match exact {
        Interval::Range(low, high) => Some(format.error(found, low).max(format.error(found, high))),
        _ => None,
    }
}

/// A generator of random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly between the bound's negative and itself.
    fn within(&mut self, bound: f64) -> f64 {
        ((self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * bound
    }

    /// Numbers of all sizes, more of those where functions change.
    fn number(&mut self) -> f64 {
        match self.bits() >> 61 {
            0 => f64::from_bits((self.bits() & 0x800f_ffff_ffff_ffff) | ((1023 - 40 + (self.bits() >> 33) % 60) << 52)),
            1 => self.within(750.0),
            2 => self.within(40.0),
            3 => self.within(6.0),
            4 => {
                const EDGES: [f64; 12] = [
                    1.0, 0.5, 0.55, 0.5404, 709.782712893384, 745.1332191019412, 708.3964185322641, 1e-300, 5e-324,
                    std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::PI, 37.5,
                ];
                let edge = EDGES[(self.bits() >> 33) as usize % EDGES.len()];
                let near = f64::from_bits(edge.to_bits().saturating_add((self.bits() >> 33) % 64).saturating_sub(32));
                if self.bits() >> 63 == 0 { near } else { -near }
            }
            _ => self.within(1.5),
        }
    }
}

/// How far an `f32` is from what it should be, an `f64`.
fn distance_single(exact: f64, found: f32) -> f64 {
    if exact.is_nan() || found.is_nan() {
        return if exact.is_nan() && found.is_nan() { 0.0 } else { INF };
    }
    // The number that follows the largest, had the format more exponents: infinity stands for it.
    let beyond = 2f64.powi(128);
    if found.is_infinite() || exact.abs() >= beyond {
        let off = (f64::from(found).abs().min(beyond) - exact.abs().min(beyond)).abs() / 2f64.powi(104);
        return if (exact > 0.0) == (found > 0.0) { off } else { INF };
    }
    if found == 0.0 && exact.is_sign_negative() != found.is_sign_negative() {
        return INF;
    }
    let exponent = (exact.abs().to_bits() >> 52).max(1023 - 126);
    (f64::from(found) - exact).abs() * f64::from_bits((2046 + 23 - exponent) << 52)
}

/// Runs a function on `f32` and on `f64` over blocks of bit patterns, some apart; gives the largest distance.
macro_rules! compare_widths {
    ($($variant:ident)*) => {
        #[inline(always)]
        fn compare_block(operation: Unary, first: u64, stride: u64) -> (f64, f32) {
            const N: usize = 1024;
            let x: [f32; N] = std::array::from_fn(|k| f32::from_bits((first + k as u64 * stride).min(u64::from(u32::MAX)) as u32));
            let (mut found, mut exact) = ([0f32; N], [0f64; N]);
            match operation {
                $(Unary::$variant => for k in 0..N {
                    found[k] = unary(&Scalar32, Unary::$variant, x[k]).expect("a vector form");
                    exact[k] = unary(&Scalar64, Unary::$variant, f64::from(x[k])).expect("a vector form");
                },)*
                other => panic!("{} has no vector form", other.name()),
            }
            let mut worst = (0.0, 0.0);
            for k in 0..N {
                let distance = distance_single(exact[k], found[k]);
                if distance > worst.0 {
                    worst = (distance, x[k]);
                }
            }
            worst
        }
    };
}
compare_widths! {
    Exp Exp2 Expm1 Log Log2 Log10 Log1p Log1mexp Logit Sigmoid LogSigmoid Softplus Silu Gelu GeluTanh Selu Softsign HardSigmoid
    Sin Cos Tan Arcsin Arccos Arctan Sinh Cosh Tanh SechSquared Arcsinh Arccosh Arctanh Erf Erfc Ndtr
}

/// As [`compare_block`], with the instructions that make it fast.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn compare_block_avx2(operation: Unary, first: u64, stride: u64) -> (f64, f32) {
    compare_block(operation, first, stride)
}

/// The largest distance over every so many of the `f32` whose bits are in a range.
fn worst_within(operation: Unary, bits: Range<u64>, stride: u64) -> (f64, f32) {
    #[cfg(target_arch = "x86_64")]
    let fast = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let mut worst = (0.0, 0.0);
    let mut first = bits.start;
    while first < bits.end {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions.
        let found = if fast { unsafe { compare_block_avx2(operation, first, stride) } } else { compare_block(operation, first, stride) };
        #[cfg(not(target_arch = "x86_64"))]
        let found = compare_block(operation, first, stride);
        if found.0 > worst.0 {
            worst = found;
        }
        first += 1024 * stride;
    }
    worst
}

/// The largest distance over every so many of all `f32`, by several threads. The sine of a large number, and the like, is what
/// `libm` says, one by one: of those a sample is looked at.
fn worst_single(operation: Unary, stride: u64) -> (f64, f32) {
    const PART: u64 = 1 << 24;
    let large = |part: u64| matches!(operation, Unary::Sin | Unary::Cos | Unary::Tan) && part % (1 << 31) >= u64::from(65536f32.to_bits());
    let parts: Vec<u64> = (0..1u64 << 32).step_by(PART as usize).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worst = (0.0, 0.0);
        while let Some(&part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Each part begins where a step of the whole comes to.
            let stride = if large(part) { stride.max(65_537) } else { stride };
            let found = worst_within(operation, part.next_multiple_of(stride)..part + PART, stride);
            if found.0 > worst.0 {
                worst = found;
            }
        }
        worst
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let found = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        found.fold((0.0, 0.0), |worst, found| if found.0 > worst.0 { found } else { worst })
    })
}

/// One lane that counts its operations.
#[derive(Default)]
struct Counting<L>(L, Cell<u32>);

impl<L> Counting<L> {
    fn count<T>(&self, value: T) -> T {
        self.1.set(self.1.get() + 1);
        value
    }
}

macro_rules! counted {
    ($($name:ident($($x:ident: $X:ident),*) -> $R:ident;)*) => {
        $(fn $name(&self, $($x: L::$X),*) -> L::$R { self.count(self.0.$name($($x),*)) })*
    };
}

impl<L: Lanes> Lanes for Counting<L> {
    type F = L::F;
    type I = L::I;
    type M = L::M;
    fn width(&self) -> Width { self.0.width() }
    fn constant(&self, value: f64) -> L::F { self.0.constant(value) }
    fn integer(&self, value: u64) -> L::I { self.0.integer(value) }
    fn bits(&self, x: L::F) -> L::I { self.0.bits(x) }
    fn of_bits(&self, bits: L::I) -> L::F { self.0.of_bits(bits) }
    fn shl(&self, x: L::I, count: u32) -> L::I { self.count(self.0.shl(x, count)) }
    fn shr(&self, x: L::I, count: u32) -> L::I { self.count(self.0.shr(x, count)) }
    fn fallback(&self, mask: L::M, slow: Slow, x: L::F, value: L::F) -> L::F {
        self.count(self.0.fallback(mask, slow, x, value))
    }
    counted! {
        add(x: F, y: F) -> F; sub(x: F, y: F) -> F; mul(x: F, y: F) -> F; div(x: F, y: F) -> F;
        fma(x: F, y: F, z: F) -> F; fnma(x: F, y: F, z: F) -> F; fms(x: F, y: F, z: F) -> F;
        sqrt(x: F) -> F; neg(x: F) -> F; abs(x: F) -> F; min(x: F, y: F) -> F; max(x: F, y: F) -> F;
        round(x: F) -> F; floor(x: F) -> F; trunc(x: F) -> F;
        lt(x: F, y: F) -> M; le(x: F, y: F) -> M; eq(x: F, y: F) -> M; negative(x: I) -> M;
        both(x: M, y: M) -> M; either(x: M, y: M) -> M; select(mask: M, x: F, y: F) -> F;
        iadd(x: I, y: I) -> I; isub(x: I, y: I) -> I; and(x: I, y: I) -> I; or(x: I, y: I) -> I; xor(x: I, y: I) -> I;
    }
}

/// Rounded up to two decimals.
fn shown(distance: f64) -> String {
    format!("{:.2}", (distance * 100.0).ceil() / 100.0)
}

/// What is measured of a function: a row of the table.
struct Row {
    name: &'static str,
    single: f64,
    double: f64,
    operations: [u32; 2],
}

const POINTS: usize = 600;

/// Measures all functions, the unary ones in `f32` over every so many numbers.
fn measure(stride: u64) -> Vec<Row> {
    let (single_format, double_format) = (Format::of(DType::F32), Format::of(DType::F64));
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for &operation in UNARY {
        let name = operation.name();
        let (single, at) = worst_single(operation, stride);
        if single > MOST {
            failures.push(format!("{name}({at:e}), f32: {single} ulp"));
        }
        let (mut random, mut double) = (Random(0x9e37_79b9_7f4a_7c15), 0f64);
        for _ in 0..POINTS {
            let x = random.number();
            let found = unary(&Scalar64, operation, x).expect("a vector form");
            let Some(distance) = distance(double_format, found, &exact(operation, x)) else { continue };
            if distance > MOST {
                failures.push(format!("{name}({x:e}) = {found:e}: {distance} ulp"));
            }
            double = double.max(distance);
        }
        let (narrow, wide) = (Counting::<Scalar32>::default(), Counting::<Scalar64>::default());
        let _ = (unary(&narrow, operation, 0.3), unary(&wide, operation, 0.3));
        rows.push(Row { name, single, double, operations: [narrow.1.get(), wide.1.get()] });
    }
    for &operation in BINARY {
        let name = operation.name();
        let (mut random, mut single, mut double) = (Random(0x9e37_79b9_7f4a_7c15), 0f64, 0f64);
        for _ in 0..POINTS {
            let (x, y) = (random.number(), random.number());
            let x = if operation == Binary::Pow { x.abs() } else { x };
            let found = binary(&Scalar64, operation, x, y).expect("a vector form");
            let narrow = binary(&Scalar32, operation, x as f32, y as f32).expect("a vector form");
            let exact_narrow = exact_pair(operation, f64::from(x as f32), f64::from(y as f32));
            for (format, found, exact, worst) in [
                (double_format, found, exact_pair(operation, x, y), &mut double),
                (single_format, f64::from(narrow), exact_narrow, &mut single),
            ] {
                let Some(distance) = distance(format, found, &exact) else { continue };
                if distance > MOST {
                    failures.push(format!("{name}({x:e}, {y:e}) = {found:e}: {distance} ulp"));
                }
                *worst = worst.max(distance);
            }
        }
        let (narrow, wide) = (Counting::<Scalar32>::default(), Counting::<Scalar64>::default());
        let _ = (binary(&narrow, operation, 0.3, 0.7), binary(&wide, operation, 0.3, 0.7));
        rows.push(Row { name, single, double, operations: [narrow.1.get(), wide.1.get()] });
    }
    assert!(failures.is_empty(), "{} are too far off:\n{}", failures.len(), failures.join("\n"));
    rows
}

/// Compares with the table in docs/numerics.md. A sample of `f32` may not be worse than what the table says.
fn check_document(rows: &[Row], all: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/numerics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- vector maths -->\n", "<!-- end of vector maths -->\n");
    let (before, rest) = text.split_once(start).expect("the mark before the table");
    let (table, after) = rest.split_once(end).expect("the mark after the table");
    let known = |name: &str| -> Option<f64> {
        let row = table.lines().find(|line| line.starts_with(&format!("| `{name}` |")))?;
        row.split('|').nth(2)?.trim().parse().ok()
    };
    let bless = std::env::var_os("ARIGNOTE_BLESS").is_some();
    let mut found = String::from("| function | f32, ulp | f64, ulp | operations, f32 | f64 |\n|---|---|---|---|---|\n");
    for Row { name, single, double, operations } in rows {
        let is_pair = BINARY.iter().any(|operation| operation.name() == *name);
        let single = match known(name) {
            Some(known) if !all && !is_pair => {
                assert!(*single <= known, "{name} in f32: {single} ulp, more than the {known} of docs/numerics.md");
                format!("{known:.2}")
            }
            _ => shown(*single),
        };
        found += &format!("| `{name}` | {single} | {} | {} | {} |\n", shown(*double), operations[0], operations[1]);
    }
    println!("{found}");
    if found != table && bless {
        std::fs::write(&path, format!("{before}{start}{found}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(table, found, "docs/numerics.md is not what was measured; ARIGNOTE_BLESS=1 writes it anew");
}

#[test]
fn functions_are_exact_to_two_ulp() {
    check_document(&measure(65_537), false);
}

#[test]
#[ignore = "goes through all 2^32 numbers: with --release some twenty minutes"]
fn every_f32_is_exact_to_two_ulp() {
    check_document(&measure(1), true);
}

/// Checks one value in both widths, to the sign of zeros.
fn check(operation: Unary, x: f64, expected: f64) {
    let wide = unary(&Scalar64, operation, x).unwrap();
    let narrow = unary(&Scalar32, operation, x as f32).unwrap();
    for found in [wide, f64::from(narrow)] {
        let same = found == expected && found.is_sign_negative() == expected.is_sign_negative();
        assert!(same || (found.is_nan() && expected.is_nan()), "{}({x}) is {found}, not {expected}", operation.name());
    }
}

#[test]
fn special_values() {
    use Unary::*;
    for &operation in UNARY {
        check(operation, NAN, NAN);
    }
    for odd in [Expm1, Log1p, Sin, Tan, Arcsin, Arctan, Sinh, Tanh, Arcsinh, Arctanh, Erf, Softsign, Selu] {
        check(odd, 0.0, 0.0);
        check(odd, -0.0, -0.0);
    }
    for (operation, at_zero, at_infinity, at_negative) in [
        (Exp, 1.0, INF, 0.0), (Exp2, 1.0, INF, 0.0), (Expm1, 0.0, INF, -1.0), (Log, -INF, INF, NAN), (Log2, -INF, INF, NAN),
        (Log10, -INF, INF, NAN), (Log1p, 0.0, INF, NAN), (Log1mexp, -INF, NAN, -0.0), (Sigmoid, 0.5, 1.0, 0.0),
        (Softplus, std::f64::consts::LN_2, INF, 0.0), (LogSigmoid, -std::f64::consts::LN_2, -0.0, -INF),
        (Silu, 0.0, INF, -0.0), (Gelu, 0.0, INF, -0.0), (GeluTanh, 0.0, INF, -0.0), (Softsign, 0.0, 1.0, -1.0),
        (HardSigmoid, 0.5, 1.0, 0.0), (Sin, 0.0, NAN, NAN), (Cos, 1.0, NAN, NAN), (Tan, 0.0, NAN, NAN),
        (Logit, -INF, NAN, NAN), (Arcsin, 0.0, NAN, NAN), (Sinh, 0.0, INF, -INF), (Cosh, 1.0, INF, INF), (Tanh, 0.0, 1.0, -1.0),
        (SechSquared, 1.0, 0.0, 0.0), (Arcsinh, 0.0, INF, -INF), (Arccosh, NAN, INF, NAN), (Arctanh, 0.0, NAN, NAN),
        (Erf, 0.0, 1.0, -1.0), (Erfc, 1.0, 0.0, 2.0), (Ndtr, 0.5, 1.0, 0.0),
    ] {
        if !matches!(operation, Softplus | LogSigmoid) {
            check(operation, 0.0, at_zero);
        }
        check(operation, INF, at_infinity);
        check(operation, -INF, at_negative);
    }
    check(Log, -0.0, -INF);
    check(Log, 1.0, 0.0);
    check(Log1p, -1.0, -INF);
    check(Log1p, -1.5, NAN);
    check(Log1mexp, 1.0, NAN);
    check(Arccos, 1.0, 0.0);
    check(Arccos, 1.5, NAN);
    check(Arccosh, 1.0, 0.0);
    check(Arccosh, -3.0, NAN);
    check(Arctanh, 1.0, INF);
    check(Arctanh, -1.0, -INF);
    check(Arctanh, 1e30, NAN);
    check(Exp2, 10.0, 1024.0);
    check(Exp2, -149.0, 2f64.powi(-149));
}

#[test]
fn pairs_of_special_values() {
    for x in [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, INF, -INF, NAN, 5e-324, 1e308, -1e308] {
        for y in [0.0, -0.0, 1.0, -1.0, 2.0, 3.0, -3.0, 0.5, -2.5, INF, -INF, NAN, 1e300, 9_007_199_254_740_993.0] {
            type Expected = fn(f64, f64) -> f64;
            let cases: [(Binary, Expected); 3] =
                [(Binary::Pow, libm::pow), (Binary::Arctan2, libm::atan2), (Binary::Hypot, libm::hypot)];
            for (operation, expected) in cases {
                let (found, expected) = (binary(&Scalar64, operation, x, y).unwrap(), expected(x, y));
                let near = (found - expected).abs() <= 1e-15 * expected.abs()
                    || (found == expected || (found.is_nan() && expected.is_nan()));
                let signs = found.is_nan() || found.is_sign_negative() == expected.is_sign_negative();
                assert!(near && signs, "{}({x}, {y}) is {found}, not {expected}", operation.name());
            }
        }
    }
    assert_eq!(binary(&Scalar64, Binary::Xlogy, 0.0, 0.0), Some(0.0));
    assert!(binary(&Scalar64, Binary::Xlogy, 0.0, NAN).unwrap().is_nan());
}
