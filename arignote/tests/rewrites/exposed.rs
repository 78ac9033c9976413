//! Forms that keep digits are found also where what they are made of is moved, joined, read or chosen on the way: at every
//! level, and before gradients are expanded.

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{FunctionBuilder, Session};
use arignote::tensor::Tensor;

/// An expression of `x`, with the sum of its elements and the gradient of that, in `f64`; without one if there is none.
struct Exposed {
    text: &'static str,
    x: Vec<f64>,
    shape: &'static [usize],
    sum: f64,
    gradient: Vec<f64>,
}

fn exposed() -> Vec<Exposed> {
    let of = |text, x: &[f64], shape, sum, gradient: &[f64]| Exposed { text, x: x.to_vec(), shape, sum, gradient: gradient.to_vec() };
    // log(1 + exp(x)) and the like, of a vector of one large element.
    let softplus = [
        "log(1 + broadcast_to(exp(x), shape(x)))",
        "log(1 + exp(x) * ones_like(x))",
        "log(1 + squeeze(expand_dims(exp(x), 0), axis=0))",
        "log(1 + reshape(reshape(exp(x), [1, -1]), [-1]))",
        "log(1 + (if sum(x) > 0 { exp(x) } else { exp(x) }))",
        "log(1 + exp(x)[arange(1)])",
        "log(1 + exp(x)[0])",
        "log(1 + exp(x)[::-1])",
        "log(1 + take(exp(x), [0], axis=0))",
        "log(1 + add_at(zeros_like(x)[:], exp(x)))",
        "log(1 + sum(stack([exp(x)]), axis=0))",
        "log(1 + concatenate([exp(x)]))",
        "log(1 + repeat(exp(x), 1, axis=0))",
        "log(1 + mean(exp(x)[None], axis=0))",
        "log(1 + diagonal(diag(exp(x))))",
        "log(1 + transpose(transpose(exp(x)[None])))[0]",
    ];
    let mut all: Vec<Exposed> = softplus.iter().map(|text| of(text, &[800.0], &[1], 800.0, &[1.0])).collect();
    let e = 1f64.exp();
    let (small, large) = (1.0 / (1.0 + e), e / (1.0 + e));
    let sum_of_exps = [
        "log(sum(sum(exp(x), axis=0)))",
        "log(sum(reshape(exp(x), [-1])))",
        "log(sum(sum(exp(x)[None], axis=1)))",
        "log(sum(transpose(exp(x))))",
    ];
    all.extend(sum_of_exps.iter().map(|text| of(text, &[800.0, 801.0], &[1, 2], 801.0 + (-1f64).exp().ln_1p(), &[small, large])));
    let softmax = [
        "(exp(x) * (1 / sum(exp(x), axis=1, keepdims=true)))[0, 1]",
        "(exp(x) / reshape(sum(exp(x), axis=1), [-1, 1]))[0, 1]",
        "(exp(x) / broadcast_to(sum(exp(x), axis=1, keepdims=true), shape(x)))[0, 1]",
        "(exp(x) / expand_dims(sum(exp(x), axis=1), 1))[0, 1]",
        "(exp(x) / sum(exp(x), axis=1)[:, None])[0, 1]",
    ];
    all.extend(softmax.iter().map(|text| of(text, &[800.0, 801.0], &[1, 2], large, &[-small * large, small * large])));
    // What drops an operand waits for gradients, so that only values are found.
    for text in [
        "log(1 + (if 1 < 2 { exp(x) } else { x }))", "log(1 + set_at(x[:], exp(x)))", "log(1 + stack([x, exp(x)])[1])",
        "log(1 + (scan (a in x) { yield exp(a) }))", "scan (a in x) { yield log(1 + exp(x[0])) }",
    ] {
        all.push(of(text, &[800.0], &[1], 800.0, &[]));
    }
    all.push(of("log(sum(scan (a in x) { yield exp(a) }))", &[800.0, 801.0], &[2], 801.0 + (-1f64).exp().ln_1p(), &[]));
    all.push(of("scan (a in x) { yield log(sum(exp(x))) }", &[800.0, 801.0], &[2], 2.0 * (801.0 + (-1f64).exp().ln_1p()), &[]));
    all.push(of("log(exp(x) * exp(x))", &[800.0], &[1], 1600.0, &[2.0]));
    all.push(of("log(square(exp(x)))", &[800.0], &[1], 1600.0, &[2.0]));
    all.push(of("log(prod(prod(exp(x), axis=0)))", &[800.0, 801.0], &[1, 2], 1601.0, &[1.0, 1.0]));
    all.push(of("log(prod(stack([exp(x), exp(x)]), axis=0))", &[800.0], &[1], 1600.0, &[2.0]));
    all.push(of("log(take_along_axis(softmax(x), [0], axis=0))", &[-800.0, 2.0], &[2], -802.0, &[1.0, -1.0]));
    all.push(of("log(take(softmax(x), [0], axis=0))", &[-800.0, 2.0], &[2], -802.0, &[1.0, -1.0]));
    all
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs())
}

#[test]
fn stable_forms_are_found_behind_what_moves_elements() {
    let mut failures = Vec::new();
    for device in ["reference", "cpu"] {
        for level in ["none", "fast-compile", "fast-run"] {
            let config = Config::default().with("device", device).unwrap().with("rewrite.level", level).unwrap();
            let session: Session = arignote::session_with(config).unwrap();
            for Exposed { text, x, shape, sum, gradient } in exposed() {
                let ty = ["n", "m"][..shape.len()].join(", ");
                let wanted = if gradient.is_empty() { "y" } else { "y, grad(y, x)" };
                let source = format!("fn f(x: f64[{ty}]) {{\n y = sum({text})\n return {wanted}\n}}");
                let graph = lang::load(lang::Source::new("exposed", source)).and_then(|module| module.function(None)).unwrap();
                let results = FunctionBuilder::from_graph(graph).build(&session).unwrap().call(&[Tensor::from_vec(x, shape).unwrap()]).unwrap();
                let [value, slope] = [0, 1].map(|at: usize| results.get(at).map(Tensor::to_f64_vec).unwrap_or_default());
                if !near(&value, &[sum]) || !near(&slope, &gradient) {
                    failures.push(format!("{text} on {device}, {level}: {value:?}, {slope:?}, not {sum}, {gradient:?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
