//! Random well-typed graphs of every op of the registry, with all kinds of operands and attributes:
//! what is printed parses back to an equal graph.

mod bodies;

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;

use super::graph_tests::check_round_trip;
use super::tests::seeded;
use crate::graph::{Constant, FunctionGraph, Location, State, StateValue, Update, Var};
use crate::ops::{Attribute, AttributeKind as K, Attributes, IndexBound, IndexItem as I, Op, ParamKind as P, registry};
use crate::tensor::{DType, Dim, Tensor, Type};

fn of<T: Clone>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

fn random_float(random: &mut Rng) -> f64 {
    let bits = random.u64(..);
    match random.usize(..10) {
        0 => f64::INFINITY,
        1 => -0.0,
        2 => f64::NAN,
        // Among them NaNs with payloads and denormals.
        3 => f64::from_bits(bits),
        4 => -f64::INFINITY,
        5 => random.usize(..10) as f64 - 5.0,
        _ => f64::from_bits(bits >> 12 | 0x3ff0_0000_0000_0000) - 1.5,
    }
}

fn constant(value: Tensor, weak: bool) -> Var {
    Var::constant_at(Constant { value, weak }, Location::caller())
}

fn random_tensor(random: &mut Rng, dtype: DType) -> Tensor {
    let shape: &[usize] = of(random, &[&[][..], &[], &[3], &[2, 3], &[1, 3], &[2, 1], &[6, 5], &[0, 3], &[0]]);
    let elements = (0..shape.iter().product()).map(|_| random_float(random)).collect();
    Tensor::from_vec(elements, shape).unwrap_or_else(|e| panic!("{e}")).cast(dtype)
}

fn random_constant(random: &mut Rng) -> Var {
    let (float, whole) = (random_float(random), random.i64(-(1 << 39)..1 << 39));
    match random.usize(..6) {
        0 => Var::weak(float),
        1 => Var::weak(of(random, &[whole, 0, 1, -1, i64::MIN, i64::MAX])),
        2 => Var::scalar(of(random, &[u64::MAX, 0, 7])),
        3 => Var::scalar(f32::from_bits(random.u32(..))),
        _ => {
            let dtype = of(random, &DType::ALL);
            let weak = random.usize(..4) == 0;
            constant(random_tensor(random, dtype), weak)
        }
    }
}

/// The values that ops may be applied to.
struct Pool {
    inputs: Vec<Var>,
    states: Vec<State>,
    values: Vec<Var>,
    /// In how many bodies it stands.
    depth: usize,
}

fn is_body(param: &crate::ops::Param) -> bool {
    matches!(param.kind, P::Attribute(K::Body, _))
}

/// The rank of an operand of ops with many of them: with lengths of 1 all fit.
fn fitting(op: &str, operand: &str) -> Option<usize> {
    Some(match (op, operand) {
        ("separable_conv2d", _) => 4,
        ("separable_conv3d", _) => 5,
        ("conv1d_input_gradient" | "conv1d_weight_gradient", _) => 3,
        ("conv2d_input_gradient" | "conv2d_weight_gradient", _) => 4,
        ("conv3d_input_gradient" | "conv3d_weight_gradient", _) => 5,
        (op, _) if op.contains("_pool") && (op.ends_with("_gradient") || op.ends_with("_tangent")) => 3,
        ("unshared_conv2d", "w") => 6,
        ("unshared_conv2d", _) => 4,
        ("h_softmax", "b1") => 1,
        ("h_softmax", "w2") => 3,
        ("h_softmax" | "solve_discrete_are" | "solve_continuous_are" | "qz" | "ordqz", _) => 2,
        ("solve_by_factors", "order") => 1,
        ("solve_by_factors", _) => 2,
        ("solve_tridiagonal" | "tridiagonal_lu_factor", "diagonal" | "b") | ("tridiagonal_lu_solve", "d" | "b") => 1,
        _ => return None,
    })
}

impl Pool {
    fn new(random: &mut Rng) -> Pool {
        let rows: Dim = of(random, &["n".into(), "?".into(), 2.into(), 2.into()]);
        let columns: Dim = of(random, &["m".into(), "x".into(), "?".into(), 3.into(), 3.into()]);
        let shapes: [Vec<Dim>; 6] = [
            vec![],
            vec![columns.clone()],
            vec![rows.clone()],
            vec![rows.clone(), columns.clone()],
            vec![columns, rows],
            vec![1.into(), "?".into(), 3.into()],
        ];
        let mut inputs = Vec::new();
        let float = of(random, &[DType::F32, DType::F64, DType::F16, DType::BF16]);
        for dtype in [float, float, float, DType::I64, DType::Bool, of(random, &DType::ALL)] {
            let name = of(random, &["x", "x", "v1", "scan", "exp", "f32", "2x", "λ", "", "where", "rule", "a b", "_"]);
            inputs.push(Var::input(name, Type::new(dtype, of(random, &shapes))));
        }
        inputs.push(Var::input("cost", Type::scalar(float)));
        inputs.push(Var::input("matrix", Type::new(float, shapes[3].clone())));
        // Batch, channels and places, for windows that slide.
        inputs.push(Var::input("signal", Type::new(float, vec![1.into(), "?".into(), 3.into()])));
        inputs.push(Var::input("image", Type::new(float, vec![1.into(), "?".into(), 3.into(), "?".into()])));
        inputs.push(Var::input("volume", Type::new(float, vec![1.into(), "?".into(), 3.into(), "?".into(), 2.into()])));
        inputs.push(Var::input("key", Type::of_shape(DType::U64, &[2])));
        let ty = Type::of_shape(float, &[2, 3]);
        let known = Tensor::zeros(float, &[2, 3]);
        let unset = Var::apply("zeros", &[Var::constant(Tensor::vector(vec![2i64, 3]))], attribute("dtype", float));
        let states = vec![
            State::with_type("x", ty.clone(), StateValue::Host(known)),
            State::with_type(of(random, &["s", "if", ""]), ty, StateValue::Unset(unset)),
        ];
        let values = inputs.iter().cloned().chain(states.iter().map(Var::state)).collect();
        Pool { inputs, states, values, depth: 0 }
    }

    fn pick(&self, random: &mut Rng) -> Var {
        match random.usize(..10) {
            0 => random_constant(random),
            1 => Var::weak(of(random, &[1.5, -2.0, 3.0])),
            2 => Var::weak(of(random, &[0i64, 1, -3])),
            // Recent values, so that graphs grow deep.
            3 | 4 => self.values[self.values.len() - 1 - random.usize(..self.values.len().min(4))].clone(),
            _ => of(random, &self.values),
        }
    }

    fn key(&self) -> Var {
        // A body has no inputs of its own.
        self.inputs.last().cloned().unwrap_or_else(|| Var::constant(Tensor::vector(vec![7u64, 1])))
    }

    fn sizes(&self, random: &mut Rng) -> Var {
        let literal = of(random, &[&[2, 3][..], &[3], &[6], &[-1], &[3, -1], &[2, 1, 3], &[], &[2, 3]]);
        match random.usize(..6) {
            0 => Var::apply("shape", &[of(random, &self.values)], Attributes::new()),
            1 => constant(Tensor::vector(literal.to_vec()), true),
            2 => self.pick(random),
            _ => Var::constant(Tensor::vector(literal.to_vec())),
        }
    }

    fn index(&self, random: &mut Rng) -> (Vec<I>, Vec<Var>) {
        let mut operands = Vec::new();
        let mut items = Vec::new();
        for _ in 0..1 + random.usize(..3) {
            let at = |random: &mut Rng| random.usize(..5) as i64 - 3;
            let mut bound = |random: &mut Rng| match random.usize(..3) {
                0 => IndexBound::Open,
                1 => IndexBound::At(at(random)),
                _ => {
                    operands.push(of(random, &[Var::scalar(1i64), Var::weak(1i64), Var::scalar(-1i32)]));
                    IndexBound::Operand(operands.len() - 1)
                }
            };
            let item = match random.usize(..7) {
                0 => I::At(at(random)),
                1 | 2 => I::Slice { start: bound(random), stop: bound(random), step: of(random, &[1, 1, 2, -1, -3]) },
                3 => I::Ellipsis,
                4 => I::NewAxis,
                kind => {
                    let (positions, mask) = (Tensor::vector(vec![1i64, -1]), Tensor::vector(vec![true, false, true]));
                    operands.push(match (kind, random.usize(..5)) {
                        (5, _) => of(random, &self.values),
                        (_, 0) => Var::constant(mask),
                        (_, 1) => Var::scalar(0u8),
                        (_, 2) => Var::weak(0i64),
                        (_, which) => constant(positions, which == 3),
                    });
                    I::Operand(operands.len() - 1)
                }
            };
            items.push(item);
        }
        (items, operands)
    }

    /// An op with random arguments; they need not fit.
    fn apply(&self, op: &Arc<dyn Op>, random: &mut Rng) -> Var {
        if op.params().iter().any(is_body) {
            return self.control(op.name(), random);
        }
        let (mut operands, mut more, mut attributes) = (Vec::new(), Vec::new(), Attributes::new());
        let indexes = op.params().iter().any(|param| matches!(param.kind, P::Attribute(K::Index, _)));
        let mut left_out = false;
        for param in op.params() {
            match &param.kind {
                P::Operand if param.name == "key" && random.bool() => operands.push(self.key()),
                // Operands whose lengths fit each other are found by no chance.
                P::Operand if fitting(op.name(), param.name).is_some() && random.bool() => {
                    let rank = fitting(op.name(), param.name).unwrap_or_default();
                    let dtype = if param.name == "order" { DType::I64 } else { DType::F64 };
                    operands.push(Var::constant(Tensor::zeros(dtype, &[1; 6][..rank])));
                }
                P::Operand => operands.push(self.pick(random)),
                P::OptionalOperand => {
                    left_out |= random.bool();
                    if !left_out {
                        operands.push(self.pick(random));
                    }
                }
                P::Operands if indexes => {}
                P::Operands | P::OperandList => {
                    let first = self.pick(random);
                    operands.push(first.clone());
                    for _ in 0..random.usize(..3) {
                        operands.push(if random.bool() { first.clone() } else { self.pick(random) });
                    }
                }
                P::Sizes | P::SpreadSizes => operands.push(self.sizes(random)),
                P::Attribute(K::Index, _) => {
                    let (items, vars) = self.index(random);
                    more = vars;
                    attributes.set(param.name, Attribute::Index(items));
                }
                P::Attribute(_, Some(_)) if random.bool() => {}
                P::Attribute(kind, default) => {
                    attributes.set(param.name, random_attribute(*kind, default.as_ref(), random));
                }
            }
        }
        operands.append(&mut more);
        Var::apply_op(op.clone(), &operands, attributes, Location::caller())
    }

    fn function(self, random: &mut Rng) -> FunctionGraph {
        let mut outputs: Vec<(Option<String>, Var)> = Vec::new();
        for _ in 0..random.usize(..3) {
            outputs.push((of(random, &[None, Some("loss".to_owned())]), self.pick(random)));
        }
        outputs.push((None, self.values[self.values.len() - 1].clone()));
        outputs.push((Some("constant".to_owned()), random_constant(random)));
        let state = of(random, &self.states);
        let fits = |value: &&Var| value.ty().is_ok_and(|ty| ty == state.ty());
        let next = self.values.iter().rfind(fits).cloned().unwrap_or_else(|| Var::state(&state));
        let default = |var: &Var, random: &mut Rng| {
            let shape = var.ty().ok().and_then(Type::known_shape).filter(|_| random.usize(..3) == 0);
            Some(Tensor::zeros(var.ty().ok()?.dtype, &shape?))
        };
        FunctionGraph {
            name: of(random, &["f", "exp", "const", "state", "x", "2", "main"]).into(),
            defaults: self.inputs.iter().map(|var| default(var, random)).collect(),
            inputs: self.inputs,
            outputs,
            updates: vec![Update { state, value: next }],
            states: self.states,
        }
    }
}

fn attribute(name: &str, value: impl Into<Attribute>) -> Attributes {
    Attributes::new().with(name, value)
}

fn random_attribute(kind: K, default: Option<&Attribute>, random: &mut Rng) -> Attribute {
    let whole = |random: &mut Rng| Attribute::Int(random.usize(..5) as i64 - 2);
    match kind {
        K::Bool => (random.bool()).into(),
        K::Int => whole(random),
        K::NumberOrStr => of(random, &[Attribute::Int(1), f64::INFINITY.into(), 2.5.into(), "fro".into(), "nuc".into()]),
        K::IntsOrStr => of(random, &[Attribute::Int(0), Attribute::Int(1), "same".into(), "full".into(), vec![0i64, 0].into()]),
        K::Float if random.bool() => whole(random),
        K::Float => of(random, &[0.1, -0.0, f64::INFINITY, f64::NAN, 1e300, -2.5]).into(),
        K::DType => of(random, &DType::ALL).into(),
        K::Axes | K::Ints => match random.usize(..4) {
            0 => whole(random),
            1 => default.cloned().unwrap_or_else(|| vec![0i64].into()),
            2 => of(random, &[vec![0i64], vec![1, 0], vec![0, 1], vec![2, 1], vec![-1], vec![], vec![0, 2, 1]]).into(),
            _ => Attribute::List((0..random.usize(..3)).map(|_| whole(random)).collect()),
        },
        K::Str => match (random.usize(..2), default) {
            (0, Some(default)) => default.clone(),
            _ => of(random, &["zero", "error", "tanh", "none", "positive", "maximum", "...", "a\"b\\\n"]).into(),
        },
        // Made together with its operands.
        K::Index => Attribute::Index(vec![I::Ellipsis]),
        K::Body => Attribute::None,
    }
}

#[test]
fn random_graphs_of_every_op_survive_printing() {
    let mut random = seeded();
    // A closure of a program cannot be drawn.
    let wanted = |op: &&Arc<dyn Op>| !op.name().contains("::") && !matches!(op.name(), "host_call" | "inspect");
    let ops: Vec<Arc<dyn Op>> = registry().iter().filter(wanted).cloned().collect();
    let mut unseen: BTreeSet<&str> = ops.iter().map(|op| op.name()).collect();
    for round in 0..10 * ops.len() {
        let mut pool = Pool::new(&mut random);
        for turn in 0..1 + random.usize(..20) {
            let (op, attempts) = match turn {
                0 => (&ops[round % ops.len()], 2000),
                _ => (&ops[random.usize(..ops.len())], 20),
            };
            for _ in 0..attempts {
                let made = pool.apply(op, &mut random);
                if made.node().results().is_ok() {
                    unseen.remove(op.name());
                    pool.values.extend(made.siblings());
                    break;
                }
            }
        }
        check_round_trip(&pool.function(&mut random));
    }
    assert!(unseen.is_empty(), "no well-typed application was found of {unseen:?}");
}

#[test]
fn whole_numbers_given_for_floats_are_floats() {
    struct Scaled(Vec<crate::ops::Param>);
    impl Op for Scaled {
        fn name(&self) -> &str {
            "scaled"
        }
        fn params(&self) -> &[crate::ops::Param] {
            &self.0
        }
        fn doc(&self) -> &str {
            "x times a number."
        }
        fn infer(&self, _: &[crate::ops::Operand<'_>], _: &Attributes) -> crate::Result<Vec<crate::ops::Inferred>> {
            Ok(Vec::new())
        }
        fn shapes(&self, _: &[crate::ops::ShapeOperand<'_>], _: &Attributes) -> crate::Result<Vec<crate::tensor::Shape>> {
            Ok(Vec::new())
        }
    }
    let by = crate::ops::Param { name: "by", kind: P::Attribute(K::Float, None), doc: "the number" };
    let op = Scaled(vec![by]);
    let given = crate::ops::complete_attributes(&op, attribute("by", 2i64)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(given.get("by"), Some(&Attribute::Float(2.0)));
}
