//! Tests of lowering and printing, on ops of their own where the core's are not needed.

use std::sync::Once;

use super::tests::Random;
use super::*;
use crate::graph::{FunctionGraph, StateValue, Var, same_graph};
use crate::ops::{
    Attribute, AttributeKind as K, Attributes, IndexBound, IndexItem as I, Inferred, Op, Operand, Param, ParamKind as P,
    ShapeOperand, broadcast_operands, promote_operands, registry, registry_mut,
};
use crate::tensor::{DType, Shape, Tensor, Type};

/// An op that exists for its signature.
struct Fake(&'static str, Vec<Param>, usize);

impl Op for Fake {
    fn name(&self) -> &str {
        self.0
    }
    fn params(&self) -> &[Param] {
        &self.1
    }
    fn doc(&self) -> &str {
        "An op for tests of the language."
    }
    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> crate::Result<Vec<Inferred>> {
        let (dtype, weak) = promote_operands(operands.iter().map(|o| o.ty));
        let dims = match self.0 {
            "index" => {
                let removed = attributes.index("index")?.iter().filter(|i| matches!(i, I::At(_))).count();
                operands[0].ty.dims.iter().skip(removed).cloned().collect()
            }
            "shape" => vec![operands[0].ty.rank().into()],
            "stack" => vec![operands.len().into()],
            _ if self.0.starts_with("langtest") => operands.first().map_or(Vec::new(), |o| o.ty.dims.clone()),
            _ => broadcast_operands(operands.iter().map(|o| o.ty))?,
        };
        let dtype = match self.0 {
            "shape" => DType::I64,
            "cast" => attributes.dtype("dtype")?.unwrap_or(dtype),
            _ => dtype,
        };
        let ty = Type::new(dtype, dims).with_weak(weak && self.0 != "cast");
        Ok(vec![ty.into(); self.2])
    }
    fn shapes(&self, _: &[ShapeOperand<'_>], _: &Attributes) -> crate::Result<Vec<Shape>> {
        Ok(Vec::new())
    }
}

fn setup() {
    static ONCE: Once = Once::new();
    let param = |name, kind| Param { name, kind, doc: "a parameter" };
    let attr = |name, kind, default| param(name, P::Attribute(kind, default));
    ONCE.call_once(|| {
        let two = || vec![param("x", P::Operand), param("y", P::Operand)];
        let index = || attr("index", K::Index, None);
        let mut ops = vec![
            Fake("neg", vec![param("x", P::Operand)], 1),
            Fake("exp", vec![param("x", P::Operand)], 1),
            Fake("shape", vec![param("x", P::Operand)], 1),
            Fake("cast", vec![param("x", P::Operand), attr("dtype", K::DType, None)], 1),
            Fake("stack", vec![param("arrays", P::OperandList), attr("axis", K::Int, Some(0.into()))], 1),
            Fake("index", vec![param("x", P::Operand), param("operands", P::Operands), index()], 1),
            Fake("langtest::pair", vec![param("x", P::Operand)], 2),
            Fake("langtest::list", vec![param("xs", P::OperandList), attr("axis", K::Int, Some(0.into()))], 1),
            Fake("langtest::sized", vec![param("x", P::Operand), param("shape", P::Sizes)], 1),
            Fake("langtest::spread", vec![param("shape", P::SpreadSizes), attr("dtype", K::DType, Some(Attribute::None))], 1),
            Fake("langtest::set", vec![param("x", P::Operand), param("v", P::Operand), param("operands", P::Operands), index()], 1),
            Fake("langtest::wrt", vec![param("cost", P::Operand), param("wrt", P::Operands), attr("mode", K::Str, Some("error".into()))], 1),
            Fake("langtest::optional", vec![param("x", P::Operand), param("lo", P::OptionalOperand), param("hi", P::OptionalOperand)], 1),
            Fake(
                "langtest::attrs",
                vec![
                    param("x", P::Operand),
                    attr("axis", K::Axes, Some(Attribute::None)),
                    attr("flag", K::Bool, Some(false.into())),
                    attr("alpha", K::Float, Some(1.0.into())),
                    attr("pads", K::Ints, Some(Attribute::List(vec![]))),
                    attr("label", K::Str, Some("".into())),
                ],
                1,
            ),
        ];
        ops.extend(["add", "sub", "mul", "pow", "matmul"].map(|name| Fake(name, two(), 1)));
        for op in ops {
            let missing = registry().get(op.0).is_err();
            if missing {
                registry_mut().add(op);
            }
        }
    });
}

fn lowered(text: &str, constants: &[Tensor]) -> crate::Result<FunctionGraph> {
    setup();
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

fn check_round_trip(function: &FunctionGraph) {
    let printed = print(function).unwrap_or_else(|e| panic!("{e}"));
    let again = lowered(&printed.text, &printed.constants).unwrap_or_else(|e| panic!("{}\n{e}", printed.text));
    let values = |f: &FunctionGraph| -> Vec<Var> {
        f.updates.iter().map(|u| u.value.clone()).chain(f.outputs.iter().map(|(_, v)| v.clone())).collect()
    };
    let (left, right) = (values(function), values(&again));
    let states = |f: &FunctionGraph, vars: &[Var]| -> Vec<Option<Var>> {
        let leaves = crate::graph::inputs_of(vars);
        let is = |v: &Var, s: &crate::graph::State| matches!(v.node().kind(), crate::graph::NodeKind::State(t) if t.is(s));
        f.states.iter().map(|s| leaves.iter().find(|v| is(v, s)).cloned()).collect()
    };
    let mut pairs: Vec<(Var, Var)> = function.inputs.iter().cloned().zip(again.inputs.iter().cloned()).collect();
    pairs.extend(states(function, &left).into_iter().zip(states(&again, &right)).filter_map(|(a, b)| Some((a?, b?))));
    assert_eq!(function.inputs.len(), again.inputs.len());
    assert_eq!(function.defaults, again.defaults);
    assert!(same_graph(&left, &right, &pairs), "{}", printed.text);
    let names = |f: &FunctionGraph| f.outputs.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    assert_eq!(names(function), names(&again));
    let reprinted = print(&again).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(printed.text, reprinted.text, "value names are stable");
    assert_eq!(format(&Source::new("t", printed.text.as_str())).as_deref(), Ok(printed.text.as_str()));
}

fn check_error(body: &str, message: &str, also: &str) {
    let text = format!("fn g(a: f64[]) {{ return a }}\nfn h(a: f64[]) {{ return h(a) }}\nfn f(x: f64[2, 3], n: i64[k]) {{\n{body}\n}}");
    setup();
    let file = parse(Source::new("t.arig", text)).unwrap_or_else(|e| panic!("{e}"));
    let error = lower(&file, Some("f")).expect_err(body);
    assert_eq!(error.message(), message, "{error}");
    assert!(error.to_string().contains(also), "{error}");
}

#[test]
fn text_becomes_graphs() {
    check("a = x * y + 2\nreturn a - x", "v0 = x * y; v1 = v0 + 2; v2 = v1 - x; return v2");
    check("return -x, neg(-2.0), x ** -2", "v0 = -x; v1 = neg(-2.0); v2 = x ** (-2); return v0, v1, v2");
    check("return f32(0.1) * x, -0.0, inf, -nan, true", "v0 = f32(0.1) * x; return v0, -0.0, inf, -nan, true");
    check("return x[1:, ::-1][..., None, 0]", "v0 = x[1:, ::-1]; v1 = v0[..., None, 0]; return v1");
    check("return x[i, :i], x[[0, 1]]", "v0 = x[i, :i]; v1 = x[i64([0, 1])]; return v0, v1");
    check("a, b = langtest::pair(x)\nreturn loss=b, a", "v0, v1 = langtest::pair(x); return loss=v1, v0");
    check("p = [x, y]\nreturn langtest::list(p, 1)", "v0 = langtest::list([x, y], axis=1); return v0");
    check("return langtest::sized(x, [2, -1])", "v0 = langtest::sized(x, [2, -1]); return v0");
    check("return langtest::sized(x, [2, i])", "v0 = stack([i64(2), i]); v1 = langtest::sized(x, v0); return v1");
    check("return langtest::spread(2, 3, dtype=f32)", "v0 = langtest::spread([2, 3], dtype=f32); return v0");
    check("return langtest::set(x[i, 1:], y)", "v0 = langtest::set(x[i, 1:], y); return v0");
    check("return langtest::wrt(x, y, x, mode=\"zero\")", "v0 = langtest::wrt(x, y, x, mode=\"zero\"); return v0");
    check("return langtest::optional(x, y), langtest::optional(x, lo=y, hi=x)", {
        "v0 = langtest::optional(x, y); v1 = langtest::optional(x, y, x); return v0, v1"
    });
    check("return langtest::attrs(x, [0, 1], true, pads=[[1, 2], [3, 4]], alpha=2, label=\"a\\\"\")", {
        "v0 = langtest::attrs(x, alpha=2.0, axis=[0, 1], flag=true, label=\"a\\\"\", pads=[[1, 2], [3, 4]]); return v0"
    });
    check("state s: f64[2, 3] = [[1, 2, 3], [4, 5, 6]]\ns <- s + x\nreturn s", {
        "state s: f64[2, 3] = f64([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]); v0 = s + x; s <- v0; return s"
    });
}

#[test]
fn calls_are_inlined_and_dims_are_values() {
    let text = "fn main(x: f64[n, 3]) { return twice(x, k=2) * n }\n";
    let text = format!("{text}fn twice(x: f64[m, ?], k: f64[]) {{ y = x + k\n return y }}");
    setup();
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
fn mistakes_are_explained() {
    check_error("return z + 1", "there is no value `z`", "t.arig:4:8");
    check_error("total = x\nreturn totl", "there is no value `totl`", "did you mean `total`?");
    check_error("x = 1", "`x` is bound already, at 3:6", "names are bound once");
    check_error("return h(1)", "`h` calls itself: `f` calls `h` calls `h`", "2:25");
    check_error("return g(x)", "the parameter has the type f64[], but this is f64[2, 3]", "4:10");
    check_error("return g(1, b=2)", "`g` has no parameter `b`", "");
    check_error("return expp(x)", "there is no op `expp`", "did you mean `exp`?");
    check_error("return langtest::attrs(x, flg=true)", "`langtest::attrs` has no argument `flg`", "did you mean `flag`?");
    check_error("return langtest::attrs(x, flag=n)", "`flag` of `langtest::attrs` is `true` or `false`", "literal");
    check_error("return langtest::set(x, x)", "`langtest::set` takes an index expression, like `x[i]`", "");
    check_error("a, b = exp(x)", "2 names for a value of 1 results", "");
    check_error("y <- x", "there is no state `y`", "`=` binds a new name");
    check_error("state s: f64[] = x", "the state has the type f64[], but this is f64[2, 3]", "");
    check_error("return u8(256)", "this does not fit into `u8`", "");
    check_error("return complex64(1)", "the dtype `complex64` is not supported yet", "");
    check_error("y = scan (a in x) { yield a }\nreturn y", "`scan` is not supported yet", "t.arig:4:5");
    check_error("return const(0)", "the table beside the text has 0 constants", "");
    check_error("return x\ny = 1", "nothing stands after `return`", "");
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

fn random_constant(random: &mut Random) -> Var {
    let bits = ((random.below(1 << 32) as u64) << 32) | random.below(1 << 32) as u64;
    let float = match random.below(8) {
        0 => f64::INFINITY,
        1 => -0.0,
        2 => f64::NAN,
        3 => f64::from_bits(bits),
        _ => f64::from_bits(bits >> 12 | 0x3ff0_0000_0000_0000),
    };
    let dtype = [DType::F32, DType::F16, DType::BF16, DType::F64, DType::I8, DType::U64, DType::Bool][random.below(7)];
    match random.below(5) {
        0 => Var::weak(float),
        1 => Var::weak(bits as i64),
        2 => Var::scalar(bits),
        3 => Var::scalar(f32::from_bits(bits as u32)),
        _ => {
            let shape = [[2, 3], [1, 1], [4, 3], [6, 5], [0, 3]][random.below(5)];
            let elements = vec![float; shape.iter().product()];
            Var::constant(Tensor::from_vec(elements, &shape).unwrap_or_else(|e| panic!("{e}")).cast(dtype))
        }
    }
}

#[test]
fn random_graphs_survive_printing() {
    setup();
    let mut random = Random::seeded();
    for _ in 0..300 {
        let ty = Type::of_shape(DType::F64, &[2, 3]);
        let inputs: Vec<Var> = ["x", "v1", "scan", "x"].iter().map(|n| Var::input(n, ty.clone())).collect();
        let state = crate::graph::State::with_type("s", ty.clone(), StateValue::Host(Tensor::zeros(DType::F64, &[2, 3])));
        let mut values = inputs.clone();
        values.push(Var::state(&state));
        let mut outputs = Vec::new();
        for _ in 0..1 + random.below(30) {
            let mut pick = || values[random.below(values.len())].clone();
            let (a, b) = (pick(), pick());
            let none = Attributes::new();
            let choice = random.below(9);
            let new = match choice {
                0 => Var::apply(["add", "sub", "mul"][random.below(3)], &[a, b], none),
                1 => Var::apply("add", &[Var::weak(2.5f64), b], none),
                2 => Var::apply("neg", &[a], none),
                3 => Var::apply("langtest::pair", &[a], none).sibling(random.below(2)),
                4 => Var::apply("langtest::list", &[a, b], none.with("axis", random.below(3) as i64)),
                5 => Var::apply("langtest::attrs", &[a], none.with("alpha", -1.5).with("flag", random.below(2) == 0)),
                6 => Var::apply("langtest::wrt", &[a, b, random_constant(&mut random)], none),
                7 => Var::apply("langtest::sized", &[a, Var::constant(Tensor::vector(vec![2i64, -1]))], none),
                _ => {
                    let (start, stop) = (IndexBound::Operand(0), IndexBound::At(-1));
                    let items = vec![I::NewAxis, I::Slice { start, stop, step: -2 }, I::Ellipsis, I::Operand(1)];
                    let (at, mask) = (Var::weak(1i64), Var::constant(Tensor::vector(vec![0i64, 1])));
                    let mut attributes = none;
                    attributes.set("index", Attribute::Index(items));
                    outputs.push((None, Var::apply("langtest::set", &[a.clone(), b, at, mask], attributes)));
                    a
                }
            };
            values.push(new);
        }
        let last = values[values.len() - 1].clone();
        outputs.push((Some("last".to_owned()), last.clone()));
        outputs.push((None, random_constant(&mut random)));
        check_round_trip(&FunctionGraph {
            name: "exp".into(),
            defaults: vec![None, Some(Tensor::zeros(DType::F64, &[2, 3])), None, None],
            inputs,
            outputs,
            updates: vec![crate::graph::Update { state: state.clone(), value: last }],
            states: vec![state],
        });
    }
}
