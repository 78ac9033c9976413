//! Special functions against values of 60 digits by mpmath, rounded to `f64`.

use arignote_backend_reference::{KernelCall, kernel};
use arignote_core::ops::Attributes;
use arignote_core::tensor::{DType, Tensor, Type};

/// (op, argument, value)
#[rustfmt::skip]
#[allow(clippy::approx_constant, clippy::excessive_precision)]
const VALUES: &[(&str, f64, f64)] = &[
    ("erfinv", 1e-12, 8.86226925452758e-13),
    ("erfinv", 0.001, 0.0008862271574665521),
    ("erfinv", 0.3, 0.2724627147267543),
    ("erfinv", -0.5, -0.4769362762044699),
    ("erfinv", 0.75, 0.8134198475976185),
    ("erfinv", 0.999, 2.3267537655135246),
    ("erfinv", 0.9999999999, 4.572824958544925),
    ("erfinv", -0.99999999999999, -5.4725525174145355),
    ("erfinv", 0.9999999999999999, 5.863584748755168),
    ("digamma", 1e-05, -100000.57719921567),
    ("digamma", 0.3, -3.502524222200133),
    ("digamma", 1.0, -0.5772156649015329),
    ("digamma", 1.4616321449683622, -9.241265521729427e-17),
    ("digamma", 1.5, 0.03648997397857652),
    ("digamma", 2.5, 0.7031566406452432),
    ("digamma", 7.25, 1.910453526883736),
    ("digamma", 10.0, 2.251752589066721),
    ("digamma", 123.4, 4.8113737751162775),
    ("digamma", 10000000000.0, 23.025850929890456),
    ("digamma", -0.5, 0.03648997397857652),
    ("digamma", -3.3, 3.620353460592126),
    ("digamma", -10.75, -0.7208957601671612),
    ("gamma", 0.5, 1.772453850905516),
    ("gamma", 5.0, 24.0),
    ("gamma", -1.5, 2.363271801207355),
    ("gamma", 20.3, 2.9724610752355725e+17),
    ("gamma", 1e-05, 99999.42279422555),
    ("lgamma", 0.5, 0.5723649429247001),
    ("lgamma", 3.0, 0.6931471805599453),
    ("lgamma", 100.5, 361.4355404677776),
    ("lgamma", 1e-10, 23.025850929882736),
    ("lgamma", -1.5, 0.860047015376481),
    ("erf", 0.3, 0.3286267594591274),
    ("erf", -2.0, -0.9953222650189527),
    ("erf", 1e-10, 1.1283791670955126e-10),
    ("erfc", 0.3, 0.6713732405408726),
    ("erfc", 5.0, 1.537459794428035e-12),
    ("erfc", 20.0, 5.395865611607901e-176),
    ("expm1", 1e-10, 1.00000000005e-10),
    ("expm1", 1.0, 1.7182818284590453),
    ("expm1", -30.0, -0.9999999999999064),
    ("log1p", 1e-15, 9.999999999999995e-16),
    ("log1p", 1.0, 0.6931471805599453),
    ("log1p", -0.999, -6.907755278982136),
    ("sigmoid", -700.0, 9.85967654375977e-305),
    ("sigmoid", -1.0, 0.2689414213699951),
    ("sigmoid", 0.0, 0.5),
    ("sigmoid", 2.0, 0.8807970779778824),
    ("sigmoid", 40.0, 1.0),
    ("softplus", -700.0, 9.85967654375977e-305),
    ("softplus", -1.0, 0.3132616875182228),
    ("softplus", 0.0, 0.6931471805599453),
    ("softplus", 2.0, 2.1269280110429727),
    ("softplus", 40.0, 40.0),
    ("softplus", 100000.0, 100000.0),
    ("log_sigmoid", -700.0, -700.0),
    ("log_sigmoid", -1.0, -1.3132616875182228),
    ("log_sigmoid", 0.0, -0.6931471805599453),
    ("log_sigmoid", 2.0, -0.1269280110429725),
    ("log_sigmoid", 40.0, -4.248354255291589e-18),
    ("log1mexp", -1e-12, -27.631021115929048),
    ("log1mexp", -0.5, -0.9327521295671886),
    ("log1mexp", -0.6931, -0.6931943633460008),
    ("log1mexp", -0.6932, -0.6930943639096365),
    ("log1mexp", -1.0, -0.4586751453870819),
    ("log1mexp", -40.0, -4.248354255291589e-18),
    ("silu", -50.0, -9.643749239819589e-21),
    ("silu", -1.0, -0.2689414213699951),
    ("silu", 3.0, 2.8577223804672998),
    ("gelu", -10.0, -7.619853024160526e-23),
    ("gelu", -1.0, -0.15865525393145705),
    ("gelu", 0.5, 0.34573123063700656),
    ("gelu", 8.0, 7.999999999999995),
    ("exp2", 0.5, 1.4142135623730951),
    ("exp2", -10.25, 0.0008211879055212056),
    ("log10", 1000.0, 3.0),
    ("log10", 0.02, -1.6989700043360187),
    ("arcsinh", 1e-08, 1e-08),
    ("arcsinh", -3.0, -1.8184464592320668),
    ("arcsinh", 10000000000.0, 23.7189981105004),
    ("arccosh", 1.5, 0.9624236501192069),
    ("arccosh", 10000000000.0, 23.7189981105004),
    ("arctanh", 1e-08, 1e-08),
    ("arctanh", 0.9, 1.4722194895832204),
    ("tanh", 1e-08, 1e-08),
    ("tanh", 0.7, 0.6043677771171635),
    ("tanh", -25.0, -1.0),
    ("sin", 100000.0, 0.03574879797201651),
    ("sin", 1.0, 0.8414709848078965),
    ("tan", 1.5, 14.101419947171719),
    ("tan", -0.1, -0.10033467208545055),
];

fn apply(op: &str, x: f64) -> f64 {
    let ty = Type::scalar(DType::F64);
    let attributes = Attributes::new().with("approximate", "none");
    let call = KernelCall {
        op,
        operands: &[Tensor::scalar(x)],
        types: std::slice::from_ref(&ty),
        attributes: &attributes,
        results: std::slice::from_ref(&ty),
    };
    kernel(op).expect(op).run(&call).expect(op)[0].item().expect(op)
}

#[test]
fn values_are_right_to_a_few_ulp() {
    let mut wrong = Vec::new();
    for &(op, x, expected) in VALUES {
        let found = apply(op, x);
        // Below 0 two terms of size 1 and more cancel near each of the roots of `digamma`.
        let scale = if op == "digamma" && x < 0.0 { f64::max(expected.abs(), 1.0) } else { expected.abs() };
        let error = (found - expected).abs() / scale;
        if found != expected && error >= 1.5e-15 {
            wrong.push(format!("{op}({x}) = {found}, not {expected}: off by {error:e}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn limits_are_right() {
    let inf = f64::INFINITY;
    #[rustfmt::skip]
    let cases: &[(&str, f64, f64)] = &[
        ("softplus", inf, inf), ("softplus", -inf, 0.0), ("log_sigmoid", inf, 0.0), ("log_sigmoid", -inf, -inf),
        ("sigmoid", inf, 1.0), ("sigmoid", -inf, 0.0), ("log1mexp", 0.0, -inf), ("log1mexp", -inf, 0.0),
        ("silu", -inf, 0.0), ("silu", inf, inf), ("gelu", -inf, 0.0), ("gelu", inf, inf),
        ("erfinv", 1.0, inf), ("erfinv", -1.0, -inf), ("erfinv", 0.0, 0.0), ("erf", inf, 1.0), ("erfc", inf, 0.0),
        ("digamma", 0.0, -inf), ("digamma", -0.0, inf), ("digamma", inf, inf), ("gamma", 0.0, inf),
        ("lgamma", 0.0, inf), ("lgamma", -1.0, inf), ("log", 0.0, -inf), ("exp", -inf, 0.0), ("log1p", -1.0, -inf),
        ("tanh", inf, 1.0), ("reciprocal", -0.0, -inf), ("arctanh", 1.0, inf), ("expm1", -inf, -1.0),
    ];
    for &(op, x, expected) in cases {
        assert_eq!(apply(op, x), expected, "{op}({x})");
    }
    for op in [
        "softplus", "sigmoid", "log_sigmoid", "log1mexp", "silu", "gelu", "erfinv", "digamma", "gamma", "lgamma",
        "relu", "sign", "floor", "rint", "exp", "log", "sqrt",
    ] {
        assert!(apply(op, f64::NAN).is_nan(), "{op}(nan)");
    }
    for (op, x) in [("erfinv", 1.5), ("log1mexp", 0.5), ("digamma", -2.0), ("gamma", -1.0), ("log", -1.0)] {
        assert!(apply(op, x).is_nan(), "{op}({x})");
    }
}
