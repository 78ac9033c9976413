//! Special functions against values of arbitrary precision, on dense grids and at special points.
//!
//! `core/tests/special/grid.txt` says which points, `make.py` beside it computed what the functions are
//! there. The table of docs/numerics.md is what is measured here; `ARIGNOTE_BLESS=1` writes it anew.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};

use arignote_core::special as s;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// The largest error that is allowed, in units in the last place.
const MOST: u64 = 4;

/// Of these it is larger: they are steep, or not yet computed with twice the digits.
const LARGER: &[(&str, u64)] = &[
    ("hyp2f1", 120), ("owens_t", 50), ("ndtri_exp", 20), ("gammaincinv", 8), ("gammainccinv", 8),
    ("betaincinv", 8),
];

#[derive(Clone, Copy)]
enum Function {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    Three(fn(f64, f64, f64) -> f64),
    Four(fn(f64, f64, f64, f64) -> f64),
}
use Function::*;

const FUNCTIONS: &[(&str, Function)] = &[
    ("erf", One(s::erf)),
    ("erfc", One(s::erfc)),
    ("erfcx", One(s::erfcx)),
    ("erfinv", One(s::erfinv)),
    ("erfcinv", One(s::erfcinv)),
    ("ndtr", One(s::ndtr)),
    ("ndtri", One(s::ndtri)),
    ("gamma", One(s::gamma)),
    ("lgamma", One(s::lgamma)),
    ("digamma", One(s::digamma)),
    ("trigamma", One(s::trigamma)),
    ("polygamma", Two(s::polygamma)),
    ("gammainc", Two(s::gammainc)),
    ("gammaincc", Two(s::gammaincc)),
    ("gammal", Two(s::gammal)),
    ("gammau", Two(s::gammau)),
    ("chi2sf", Two(s::chi2sf)),
    ("beta", Two(s::beta)),
    ("betaln", Two(s::betaln)),
    ("betainc", Three(s::betainc)),
    ("i0", One(s::i0)),
    ("i1", One(s::i1)),
    ("i0e", One(s::i0e)),
    ("i1e", One(s::i1e)),
    ("iv", Two(s::iv)),
    ("ive", Two(s::ive)),
    ("j0", One(s::j0)),
    ("j1", One(s::j1)),
    ("jv", Two(s::jv)),
    ("kv", Two(s::kv)),
    ("kve", Two(s::kve)),
    ("log_kv", Two(s::log_kv)),
    ("log_kv_dx", Two(s::log_kv_dx)),
    ("log_iv", Two(s::log_iv)),
    ("log_iv_dx", Two(s::log_iv_dx)),
    ("hyp2f1", Four(s::hyp2f1)),
    ("owens_t", Two(s::owens_t)),
    ("poch", Two(s::poch)),
    ("log_ndtr", One(s::log_ndtr)),
    ("ndtri_exp", One(s::ndtri_exp)),
    ("gammaincinv", Two(s::gammaincinv)),
    ("gammainccinv", Two(s::gammainccinv)),
    ("betaincinv", Three(s::betaincinv)),
    ("xlogy", Two(s::xlogy)),
    ("xlog1py", Two(s::xlog1py)),
    ("logaddexp", Two(s::logaddexp)),
    ("logsubexp", Two(s::logsubexp)),
    ("log1mexp", One(s::log1mexp)),
    ("logit", One(s::logit)),
    ("sigmoid", One(s::sigmoid)),
    ("log_sigmoid", One(s::log_sigmoid)),
    ("softplus", One(s::softplus)),
    ("silu", One(s::silu)),
    ("gelu", One(s::gelu)),
    ("gelu_tanh", One(s::gelu_tanh)),
    ("elu", Two(s::elu)),
    ("selu", One(s::selu)),
    ("softsign", One(s::softsign)),
];

fn call(name: &str, x: &[f64]) -> f64 {
    let function = FUNCTIONS.iter().find(|(known, _)| *known == name);
    let (_, function) = function.unwrap_or_else(|| panic!("{name} is not in the table"));
    match *function {
        One(f) => f(x[0]),
        Two(f) => f(x[0], x[1]),
        Three(f) => f(x[0], x[1], x[2]),
        Four(f) => f(x[0], x[1], x[2], x[3]),
    }
}

/// One operand of point `index`; the same steps as in `make.py`.
fn point(spacing: &str, low: f64, high: f64, index: u64, operand: usize) -> f64 {
    const STRIDES: [u64; 4] =
        [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0xabc9_8388_fb8f_ac03, 0x8cb9_2ba7_2f3d_8dd7];
    let part = (index + 1).wrapping_mul(STRIDES[operand]);
    let of = |count: u64| ((u128::from(part) * u128::from(count)) >> 64) as u64;
    match spacing {
        "lin" => low + (high - low) * ((part >> 11) as f64 / (1u64 << 53) as f64),
        "int" => (low as i64 + of((high - low) as u64 + 1) as i64) as f64,
        "bits" => {
            let (low_bits, high_bits) = (low.abs().to_bits(), high.abs().to_bits());
            f64::from_bits(low_bits + of(high_bits - low_bits)).copysign(low)
        }
        other => panic!("unknown spacing {other}"),
    }
}

/// How many `f64` lie between two.
fn ulps(x: f64, y: f64) -> u64 {
    if x.is_nan() || y.is_nan() {
        return if x.is_nan() && y.is_nan() { 0 } else { u64::MAX };
    }
    let place = |x: f64| {
        let bits = x.to_bits() as i64;
        i128::from(if bits < 0 { i64::MIN - bits } else { bits })
    };
    place(x).abs_diff(place(y)) as u64
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/special")
}

#[derive(Default)]
struct Measured {
    count: u64,
    worst: u64,
    domains: Vec<String>,
}

#[test]
fn every_function_is_exact_to_a_few_ulp() {
    let grid = std::fs::read_to_string(folder().join("grid.txt")).unwrap();
    let expected = std::fs::read(folder().join("expected.bin")).unwrap();
    let mut expected = expected.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
    let (mut measured, mut failures) = (BTreeMap::<&str, Measured>::new(), Vec::new());
    for line in grid.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, count, rest @ ..] = &words[..] else { panic!("{line}") };
        let entry = measured.entry(name).or_default();
        let ends = |spec: &[&str]| format!("{} to {}", spec[1], spec[2]);
        entry.domains.push(rest.chunks(3).map(ends).collect::<Vec<_>>().join(" × "));
        for index in 0..count.parse().unwrap() {
            let number = |text: &str| text.parse::<f64>().unwrap();
            let operand = |(i, spec): (usize, &[&str])| point(spec[0], number(spec[1]), number(spec[2]), index, i);
            let x: Vec<f64> = rest.chunks(3).enumerate().map(operand).collect();
            let (found, exact) = (call(name, &x), expected.next().expect("make.py has run since grid.txt changed"));
            let off = ulps(found, exact);
            entry.count += 1;
            entry.worst = entry.worst.max(off);
            let larger = LARGER.iter().find(|(larger, _)| larger == name);
            if off > larger.map_or(MOST, |(_, most)| *most) {
                failures.push(format!("{name}{x:?}: {found:e}, expected {exact:e}: {off} ulp"));
            }
        }
    }
    assert!(expected.next().is_none(), "expected.bin has more values than grid.txt points");
    let missing: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).filter(|name| !measured.contains_key(name)).collect();
    assert!(missing.is_empty(), "not measured: {missing:?}");
    let mut table = String::from("| function | worst error, ulp | points | of |\n|---|---|---|---|\n");
    for (name, _) in FUNCTIONS {
        let Measured { count, worst, domains } = &measured[name];
        table += &format!("| `{name}` | {worst} | {count} | {} |\n", domains.join("; "));
    }
    println!("{table}");
    assert!(failures.is_empty(), "{} further off than they may be:\n{}", failures.len(), failures.join("\n"));
    check_document(&table);
}

/// docs/numerics.md shows this table between its marks.
fn check_document(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/numerics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- measured -->\n", "<!-- end of measured -->\n");
    let (before, rest) = text.split_once(start).expect("the mark before the table");
    let (shown, after) = rest.split_once(end).expect("the mark after the table");
    if shown != table && std::env::var_os("ARIGNOTE_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, table, "docs/numerics.md is not what was measured; ARIGNOTE_BLESS=1 writes it anew");
}

/// Limits, poles and numbers outside of the domain, as in SciPy.
#[test]
fn special_points() {
    let rows: &[(&str, &[f64], f64)] = &[
        ("erf", &[-0.0], -0.0),
        ("erf", &[INF], 1.0),
        ("erfc", &[-INF], 2.0),
        ("erfcx", &[INF], 0.0),
        ("erfcx", &[-INF], INF),
        ("erfcx", &[-27.0], INF),
        ("erfcx", &[0.0], 1.0),
        ("erfinv", &[1.0], INF),
        ("erfinv", &[-1.0], -INF),
        ("erfinv", &[-0.0], -0.0),
        ("erfinv", &[1.5], NAN),
        ("erfcinv", &[0.0], INF),
        ("erfcinv", &[2.0], -INF),
        ("erfcinv", &[1.0], 0.0),
        ("erfcinv", &[-0.1], NAN),
        ("ndtr", &[INF], 1.0),
        ("ndtr", &[-INF], 0.0),
        ("ndtr", &[0.0], 0.5),
        ("ndtri", &[0.0], -INF),
        ("ndtri", &[1.0], INF),
        ("ndtri", &[2.0], NAN),
        ("log_kv", &[0.5, 0.0], INF),
        ("log_kv", &[0.5, -1.0], NAN),
        ("log_kv", &[1.0, INF], -INF),
        ("log_kv_dx", &[1.0, INF], -1.0),
        ("log_kv_dx", &[1.0, 0.0], -INF),
        ("log_iv", &[0.0, 0.0], 0.0),
        ("log_iv", &[1.0, 0.0], -INF),
        ("log_iv", &[1.0, -1.0], NAN),
        ("log_iv", &[0.5, -1.0], NAN),
        ("log_iv", &[101.0, 1.0], NAN),
        ("log_iv", &[2.0, INF], INF),
        ("log_iv_dx", &[0.0, 0.0], 0.0),
        ("log_iv_dx", &[2.0, 0.0], INF),
        ("log_iv_dx", &[2.0, INF], 1.0),
        ("gamma", &[0.0], INF),
        ("gamma", &[-0.0], -INF),
        ("gamma", &[-1.0], NAN),
        ("gamma", &[INF], INF),
        ("gamma", &[-INF], NAN),
        ("gamma", &[5.0], 24.0),
        ("gamma", &[172.0], INF),
        ("lgamma", &[0.0], INF),
        ("lgamma", &[-3.0], INF),
        ("lgamma", &[-INF], INF),
        ("lgamma", &[1.0], 0.0),
        ("lgamma", &[2.0], 0.0),
        ("digamma", &[0.0], -INF),
        ("digamma", &[-0.0], INF),
        ("digamma", &[-2.0], NAN),
        ("digamma", &[INF], INF),
        ("digamma", &[5e-324], -INF),
        ("trigamma", &[-1.0], INF),
        ("polygamma", &[2.0, 0.0], -INF),
        ("polygamma", &[2.0, 1e-200], -INF),
        ("polygamma", &[3.0, INF], 0.0),
        ("polygamma", &[-1.0, 1.0], NAN),
        ("polygamma", &[0.5, 1.0], NAN),
        ("gammainc", &[0.0, 1.0], 1.0),
        ("gammainc", &[1.0, 0.0], 0.0),
        ("gammainc", &[0.0, 0.0], NAN),
        ("gammainc", &[1.0, -1.0], NAN),
        ("gammainc", &[-1.0, 1.0], NAN),
        ("gammainc", &[1.0, INF], 1.0),
        ("gammainc", &[INF, 1.0], 0.0),
        ("gammainc", &[INF, INF], NAN),
        ("gammainc", &[1e300, 1.0], 0.0),
        ("gammaincc", &[1.0, 1e300], 0.0),
        ("gammaincc", &[1.0, 0.0], 1.0),
        ("chi2sf", &[-1.0, 2.0], 1.0),
        ("chi2sf", &[0.0, 2.0], 1.0),
        ("chi2sf", &[INF, 2.0], 0.0),
        ("beta", &[0.0, 1.0], INF),
        ("beta", &[-1.0, 1.5], NAN),
        ("beta", &[1.0, INF], 0.0),
        ("beta", &[-0.5, -0.5], 0.0),
        ("beta", &[2.0, 3.0], 1.0 / 12.0),
        ("betaln", &[0.0, 1.0], INF),
        ("betaln", &[1.0, 1.0], 0.0),
        ("betaln", &[-0.5, -0.5], -INF),
        ("betainc", &[1.0, 1.0, 0.0], 0.0),
        ("betainc", &[1.0, 1.0, 1.0], 1.0),
        ("betainc", &[1.0, 1.0, 0.25], 0.25),
        ("betainc", &[1.0, 1.0, 1.5], NAN),
        ("betainc", &[0.0, 1.0, 0.5], NAN),
        ("betainc", &[1e9, 1.0, 0.5], NAN),
        ("betainc", &[INF, 1.0, 0.5], 0.0),
        ("betainc", &[1.0, INF, 0.5], 1.0),
        ("i0", &[0.0], 1.0),
        ("i0", &[-INF], INF),
        ("i0", &[800.0], INF),
        ("i1", &[-0.0], 0.0),
        ("i1", &[-INF], -INF),
        ("i0e", &[INF], 0.0),
        ("i1e", &[0.0], 0.0),
        ("iv", &[0.5, -1.0], NAN),
        ("iv", &[0.5, 0.0], 0.0),
        ("iv", &[-0.5, 0.0], INF),
        ("iv", &[-1.5, 0.0], -INF),
        ("iv", &[101.0, 1.0], NAN),
        ("iv", &[3.0, 0.0], 0.0),
        ("ive", &[0.0, 1e300], 3.989_422_804_014_327e-151),
        ("j0", &[0.0], 1.0),
        ("j0", &[INF], 0.0),
        ("j1", &[0.0], 0.0),
        ("jv", &[2.0, 0.0], 0.0),
        ("jv", &[2.0, INF], 0.0),
        ("jv", &[0.5, -1.0], NAN),
        ("jv", &[0.5, 0.0], 0.0),
        ("jv", &[-0.5, 0.0], INF),
        ("jv", &[0.5, INF], 0.0),
        ("jv", &[100.5, 1.0], NAN),
        ("gammal", &[0.0, 1.0], NAN),
        ("gammau", &[1.0, 0.0], 1.0),
        ("gammau", &[1.0, INF], 0.0),
        ("xlogy", &[0.0, 0.0], 0.0),
        ("xlogy", &[0.0, NAN], NAN),
        ("xlogy", &[1.0, 0.0], -INF),
        ("xlog1py", &[0.0, -1.0], 0.0),
        ("xlog1py", &[0.0, NAN], NAN),
        ("logaddexp", &[INF, INF], INF),
        ("logaddexp", &[-INF, -INF], -INF),
        ("logaddexp", &[INF, -INF], INF),
        ("logaddexp", &[-LN_2, -LN_2], 2.319_046_813_846_299_6e-17),
        ("logsubexp", &[INF, INF], NAN),
        ("logsubexp", &[INF, 1.0], INF),
        ("logsubexp", &[-INF, -INF], -INF),
        ("logsubexp", &[1.5, 1.5], -INF),
        ("logsubexp", &[1.5, -INF], 1.5),
        ("logsubexp", &[1.0, 1.5], NAN),
        ("logsubexp", &[LN_2, 0.0], -2.319_046_813_846_299_6e-17 * 2.0),
        ("log1mexp", &[0.0], -INF),
        ("log1mexp", &[-INF], 0.0),
        ("logit", &[0.0], -INF),
        ("logit", &[1.0], INF),
        ("logit", &[0.5], 0.0),
        ("logit", &[2.0], NAN),
        ("sigmoid", &[-INF], 0.0),
        ("sigmoid", &[INF], 1.0),
        ("softplus", &[INF], INF),
        ("softplus", &[-INF], 0.0),
        ("log_sigmoid", &[-INF], -INF),
        ("silu", &[-INF], -0.0),
        ("gelu", &[-INF], -0.0),
        ("gelu", &[INF], INF),
        ("gelu_tanh", &[-INF], -0.0),
        ("gelu_tanh", &[INF], INF),
        ("elu", &[-INF, 2.0], -2.0),
        ("selu", &[INF], INF),
        ("softsign", &[INF], 1.0),
        ("softsign", &[-INF], -1.0),
    ];
    let mut failures = Vec::new();
    for (name, x, expected) in rows {
        let found = call(name, x);
        if ulps(found, *expected) > 1 {
            failures.push(format!("{name}{x:?}: {found:e}, expected {expected:e}"));
        }
    }
    for (name, function) in FUNCTIONS {
        let count = match function {
            One(_) => 1,
            Two(_) => 2,
            Three(_) => 3,
            Four(_) => 4,
        };
        for at in 0..count {
            // Above 0 `elu` does not read its second operand.
            let mut x = vec![if *name == "elu" { -0.5 } else { 0.5 }; count];
            x[at] = NAN;
            if !call(name, &x).is_nan() {
                failures.push(format!("{name}{x:?}: {:e}, expected NaN", call(name, &x)));
            }
        }
    }
    for (x, expected) in [(-3.0, 0.0), (-2.5, 0.0), (0.0, 0.5), (1.0, 0.7), (2.5, 1.0), (INF, 1.0)] {
        if s::hard_sigmoid(x) != expected {
            failures.push(format!("hard_sigmoid({x}): {}, expected {expected}", s::hard_sigmoid(x)));
        }
    }
    assert!(s::hard_sigmoid(NAN).is_nan());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
