//! Tests of lowering and printing.

use super::*;
use crate::graph::{FunctionGraph, NodeKind, State, StateValue, Var, inputs_of, same_graph};
use crate::tensor::{DType, Tensor, Type};

fn lowered(text: &str, constants: &[Tensor]) -> crate::Result<FunctionGraph> {
    let file = parse(Source::new("t.arig", text))?;
    Ok(lower_program(&file, None, constants)?.function)
}

/// What the body of `fn f(x: f64[2, 3], y: f64[2, 3], i: i64[])` prints as.
fn check(body: &str, expected: &str) {
    let text = format!("fn f(x: f64[2, 3], y: f64[2, 3], i: i64[]) {{\n{body}\n}}");
    let function = lowered(&text, &[]).unwrap_or_else(|e| panic!("{body}\n{e}"));
    let printed = print(&function).unwrap_or_else(|e| panic!("{e}"));
    let lines: Vec<&str> = printed.text.lines().map(str::trim).collect();
    assert_eq!(lines[1..lines.len() - 1].join("; "), expected);
    check_round_trip(&function);
}

/// Printing is deterministic, in the standard layout, and parses back to an equal function.
pub(super) fn check_round_trip(function: &FunctionGraph) {
    let printed = print(function).unwrap_or_else(|e| panic!("{e}"));
    let twice = print(function).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(printed.text, twice.text, "printing is deterministic");
    let again = lowered(&printed.text, &printed.constants).unwrap_or_else(|e| panic!("{}\n{e}", printed.text));
    let values = |f: &FunctionGraph| -> Vec<Var> {
        f.updates.iter().map(|u| u.value.clone()).chain(f.outputs.iter().map(|(_, v)| v.clone())).collect()
    };
    let (left, right) = (values(function), values(&again));
    let read = |f: &FunctionGraph, vars: &[Var]| -> Vec<Option<Var>> {
        let leaves = inputs_of(vars);
        let is = |v: &Var, s: &State| matches!(v.node().kind(), NodeKind::State(t) if t.is(s));
        f.states.iter().map(|s| leaves.iter().find(|v| is(v, s)).cloned()).collect()
    };
    let mut pairs: Vec<(Var, Var)> = function.inputs.iter().cloned().zip(again.inputs.iter().cloned()).collect();
    pairs.extend(read(function, &left).into_iter().zip(read(&again, &right)).filter_map(|(a, b)| Some((a?, b?))));
    assert_eq!(function.inputs.len(), again.inputs.len());
    assert_eq!(function.defaults, again.defaults);
    assert!(same_graph(&left, &right, &pairs), "{}", printed.text);
    assert_eq!(function.states.len(), again.states.len());
    for (state, other) in function.states.iter().zip(&again.states) {
        assert_eq!(state.ty(), other.ty());
        match (&*state.lock(), &*other.lock()) {
            (StateValue::Host(a), StateValue::Host(b)) => assert!(a.identical(b), "{}", printed.text),
            (StateValue::Unset(a), StateValue::Unset(b)) => {
                assert!(same_graph(std::slice::from_ref(a), std::slice::from_ref(b), &[]), "{}", printed.text);
            }
            (a, b) => panic!("{a:?} reads back as {b:?}"),
        }
    }
    let updated = |f: &FunctionGraph| -> Vec<Option<usize>> {
        f.updates.iter().map(|u| f.states.iter().position(|s| s.is(&u.state))).collect()
    };
    assert_eq!(updated(function), updated(&again));
    let names = |f: &FunctionGraph| f.outputs.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    assert_eq!(names(function), names(&again));
    let reprinted = print(&again).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(printed.text, reprinted.text, "value names are stable");
    assert_eq!(format(&Source::new("t", printed.text.as_str())).as_deref(), Ok(printed.text.as_str()));
}

/// What is wrong with the error of the body of a function, if anything.
fn check_error(body: &str, message: &str, also: &str) -> Option<String> {
    let text = format!("fn g(a: f64[]) {{ return a }}\nfn h(a: f64[]) {{ return h(a) }}\nfn f(x: f64[2, 3], n: i64[k]) {{\n{body}\n}}\nfn none() {{ }}");
    let file = match parse(Source::new("t.arig", text)) {
        Ok(file) => file,
        Err(error) => return Some(format!("{body}: does not parse\n{error}")),
    };
    match lower(&file, Some("f")) {
        Ok(_) => Some(format!("{body}: no error")),
        Err(error) if error.message() == message && error.to_string().contains(also) => None,
        Err(error) => Some(format!("{body}: expected\n{message}\n... {also}\nfound\n{error}")),
    }
}

#[test]
fn text_becomes_graphs() {
    check("a = x * y + 2\nreturn a - x", "v0 = x * y; v1 = v0 + 2; v2 = v1 - x; return v2");
    check("return -x, neg(-2.0), x ** -2", "v0 = -x; v1 = neg(-2.0); v2 = x ** (-2); return v0, v1, v2");
    check("return f32(0.1) * x, -0.0, inf, -nan, true", "v0 = f32(0.1) * x; return v0, -0.0, inf, -nan, true");
    check("return x[1:, ::-1][..., None, 0]", "v0 = x[1:, ::-1]; v1 = v0[..., None, 0]; return v1");
    check("return x[i, :i], x[[0, 1]]", "v0 = x[i, :i]; v1 = x[i64([0, 1])]; return v0, v1");
    check("a, b = grad(sum(x * y), x, y)\nreturn loss=b, a", {
        "v0 = x * y; v1 = sum(v0); v2, v3 = grad(v1, x, y); return loss=v3, v2"
    });
    check("p = [x, y]\nreturn concatenate(p, 1)", "v0 = concatenate([x, y], axis=1); return v0");
    check("return reshape(x, [2, -1])", "v0 = reshape(x, [2, -1]); return v0");
    check("return reshape(x, [2, i])", "v0 = stack([i64(2), i]); v1 = reshape(x, v0); return v1");
    check("return zeros(2, 3, dtype=f32)", "v0 = zeros([2, 3], dtype=f32); return v0");
    check("return set_at(x[i, 1:], 0.5)", "v0 = set_at(x[i, 1:], 0.5); return v0");
    check("return grad(sum(x), y, x, disconnected=\"zero\")", {
        "v0 = sum(x); v1, v2 = grad(v0, y, x, disconnected=\"zero\"); return v1, v2"
    });
    check("return arange(4), arange(i, step=2, stop=7)", "v0 = arange(4); v1 = arange(i, 7, 2); return v0, v1");
    check("return sum(x, [0, -1], keepdims=true), sum(y, dtype=f32, axis=0)", {
        "v0 = sum(x, axis=[0, -1], keepdims=true); v1 = sum(y, axis=0, dtype=f32); return v0, v1"
    });
    check("return checkpoint(x * y), if i > 0 { -1.0 * x } else { -x }", {
        "v1 = checkpoint {; v0 = x * y; v0; }; v2 = i > 0; v5 = if v2 {; v3 = (-1.0) * x; v3; } else {; v4 = -x; v4; }; return v1, v5"
    });
    check("return scan (e in x, keep = [2], truncate = 4) {\nstate s: f64[3] = y[0]\ns <- s + e\nyield s * e\n}", {
        "v0 = y[0]; v3, v4 = scan (e in x, final = true, keep = [2], truncate = 4) {; state s: f64[3] = v0; v1 = s + e; v2 = s * e; s <- v1; yield v2; }; return v4"
    });
    check("return custom_vjp (a = x) {\nexp(a) + i\n} vjp(r, dr) {\ndr * r\n}", {
        "v3 = custom_vjp (a = x) {; v0 = exp(a); v1 = v0 + i; v1; } vjp(r, dr) {; v2 = dr * r; v2; }; return v3"
    });
    check("state s: f64[2, 3] = [[1, 2, 3], [4, 5, 6]]\ns <- s + x\nreturn s", {
        "state s: f64[2, 3] = f64([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]); v0 = s + x; s <- v0; return s"
    });
}

#[test]
fn calls_are_inlined_and_dims_are_values() {
    let text = "fn main(x: f64[n, 3]) { return twice(x, k=2) * n }\n";
    let text = format!("{text}fn twice(x: f64[m, ?], k: f64[]) {{ y = x + k\n return y }}");
    let file = parse(Source::new("t", text)).unwrap_or_else(|e| panic!("{e}"));
    let function = lower(&file, Some("main")).unwrap_or_else(|e| panic!("{e}"));
    let printed = print(&function).unwrap_or_else(|e| panic!("{e}"));
    let body = "    v0 = x + f64(2.0)\n    v1 = shape(x)\n    v2 = v1[0]\n    v3 = v0 * v2\n    return v3\n}\n";
    assert_eq!(printed.text, format!("fn main(x: f64[n, 3]) {{\n{body}"));
    let x = Var::input("z", Type::of_shape(DType::F64, &[2, 3]));
    let k = Var::weak(1.0);
    let results = inline(&file, "twice", &[x, k]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(results[0].ty().map(Type::to_string).as_deref(), Ok("f64[2, 3]"));
}

#[test]
fn parameters_without_a_type_take_anything() {
    let text = "fn main(x: f32[n]) { return scaled(x), scaled(x, k=3) }\nfn scaled(x, k = 2.5) { return x * k }";
    let printed = print(&lower(&parse(Source::new("t", text)).unwrap(), Some("main")).unwrap()).unwrap();
    assert!(printed.text.contains("v0 = x * 2.5\n    v1 = x * 3\n"), "{}", printed.text);
    let error = lower(&parse(Source::new("t", text)).unwrap(), Some("scaled")).unwrap_err().to_string();
    assert!(error.contains("the input `x` has no type") && error.contains("x: f32[n, 64]"), "{error}");
}

#[test]
fn mistakes_are_explained() {
    let rows = [
        ("return z + 1", "there is no value `z`", "t.arig:4:8"),
        ("total = x\nreturn totl", "there is no value `totl`", "did you mean `total`?"),
        ("x = 1", "`x` is bound already, at 3:6", "names are bound once"),
        ("return h(1)", "`h` calls itself: `f` calls `h` calls `h`", "2:25"),
        ("return g(x)", "the parameter has the type f64[], but this is f64[2, 3]", "4:10"),
        ("return g(1, b=2)", "`g` has no parameter `b`", ""),
        ("return expp(x)", "there is no op `expp`", "did you mean `exp`?"),
        ("return sum(x, axs=0)", "`sum` has no argument `axs`", "did you mean `axis`?"),
        ("return sum(x, keepdims=n)", "`keepdims` of `sum` is `true` or `false`", "literal"),
        ("return sum(x, 0, f32, true, 1)", "`sum` takes fewer arguments: its arguments are sum(x, axis=none, dtype=none, keepdims=false)", "4:29"),
        ("return sum(x, axis=0, axis=1)", "`axis` is given twice", "4:28"),
        ("return cast(x, f23)", "there is no value `f23`", "did you mean `f32`?"),
        ("return sum()", "`sum` needs `x`: what is reduced", "its arguments are sum("),
        ("return set_at(x, x)", "`set_at` takes an index expression, like `x[i]`", ""),
        ("return x + f64([1, 2])", "`add` of f64[2, 3], f64[2]: axis 1 of the result: 3 against 2", "  |        ^^^^^^^^^^^^^^^"),
        ("return x @ x", "`matmul` of f64[2, 3], f64[2, 3]: the last axis of x has length 3, the matching axis of y 2", "  |        ^^^^^"),
        ("return x[0, 0, 0]", "`index` of f64[2, 3]: the index is for 3 axes, but there are 2", "4:8"),
        ("return x[1.5]", "an index is a whole number", "4:10"),
        ("state s: i64[] = 2.5", "the state has the type i64[], but this is f64[]", "4:18"),
        ("state s: i8[] = 300", "this does not fit into `i8`", "4:17"),
        ("y = none()\nreturn y", "`none` has no `return`, so this call has no value", "4:5"),
        ("y = x", "`f` computes nothing", "end it with a `return`"),
        ("return", "`f` computes nothing", "end it with a `return`"),
        ("return f(x, n)", "`f` calls itself: `f` calls `f`", "calls are inlined"),
        ("return $a", "`$` variables stand only in rules", ""),
        ("return exp(\"x\")", "expected a value, found a string", "4:12"),
        ("a, b = exp(x)", "2 names for 1 result", ""),
        ("y <- x", "there is no state `y`", "`=` binds a new name"),
        ("state s: f64[] = x", "the state has the type f64[], but this is f64[2, 3]", ""),
        ("return u8(256)", "this does not fit into `u8`", ""),
        ("return complex64(1)", "the dtype `complex64` is not supported yet", ""),
        ("return const(0)", "the table beside the text has 0 constants", ""),
        ("return x\ny = 1", "nothing stands after `return`", ""),
    ];
    let wrong: Vec<String> = rows.iter().filter_map(|(body, message, also)| check_error(body, message, also)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn long_chains_do_not_recurse() {
    use std::fmt::Write;
    let mut text = String::from("fn f(v: f64[]) {\nw0 = v\n");
    for i in 0..100_000 {
        writeln!(text, "w{} = exp(w{i})", i + 1).expect("a string takes it");
    }
    write!(text, "return w100000{}\n}}", " + v".repeat(100_000)).expect("a string takes it");
    check_round_trip(&lowered(&text, &[]).unwrap_or_else(|e| panic!("{e}")));
}

#[test]
fn each_call_of_a_function_with_state_has_its_own() {
    let text = "fn count(x: f64[k]) {\n state n: f64[k] = [0, 0]\n n <- n + x\n return n\n}\n\
                fn both(x: f64[m]) {\n return count(x), count(2 * x)\n}\n\
                fn f(x: f64[2]) {\n state both_count_n: f64[] = 1\n a, b = both(x)\n return a + b + count(x) + both_count_n\n}";
    let file = parse(Source::new("t", text)).unwrap_or_else(|e| panic!("{e}"));
    let function = lower(&file, Some("f")).unwrap_or_else(|e| panic!("{e}"));
    let states: Vec<String> = function.states.iter().map(|s| format!("{s:?}")).collect();
    let expected = [
        "state both_count_n: f64[]", "state both_count_n_2: f64[2]", "state both_count_n_3: f64[2]", "state count_n: f64[2]",
    ];
    assert_eq!(states, expected);
    assert_eq!(function.updates.len(), 3);
    check_round_trip(&function);
    let x = Var::input("x", Type::of_shape(DType::F64, &[2]));
    let error = inline(&file, "count", &[x]).expect_err("an op given by text has no state");
    assert_eq!(error.message(), "`count` has the state `n`; an op that is given by text has none");
}
