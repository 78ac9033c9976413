//! Concrete shapes of expressions from the shapes of their inputs.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{NodeKind, Var, topological_order};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{self, Attributes, Inferred, Op, Operand, ShapeOperand};
use crate::tensor::{Dim, Shape, Tensor, Type};

/// The shapes of values for given shapes of inputs (or states, or intermediate values), without
/// computing anything. `None` stands where the shape depends on a value, or on an input whose shape is
/// neither given nor known from its type and the names of dims.
///
/// ```
/// use arignote_core::graph::{Var, shapes_of};
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::new(DType::F32, ["n".into(), 3.into()]));
/// let y = x.t().matmul(&x);
/// let shapes = shapes_of(&[x.t(), y], &[(x, &[5, 3])]).unwrap();
/// assert_eq!(shapes[0].as_deref(), Some(&[3, 5][..]));
/// assert_eq!(shapes[1].as_deref(), Some(&[3, 3][..]));
/// ```
///
/// # Errors
/// If a value is ill-typed, a shape does not fit the type that it is given for, a named dim gets two
/// lengths, or the shapes do not fit an op on the way; the error has the op's place.
pub fn shapes_of(values: &[Var], inputs: &[(Var, &[usize])]) -> Result<Vec<Option<Shape>>> {
    let mut known: FxHashMap<(u64, u32), Inferred> = FxHashMap::default();
    let mut names: FxHashMap<Arc<str>, usize> = FxHashMap::default();
    for &(ref input, shape) in inputs {
        let ty = input.ty()?;
        let fail = |message: String| Err(Error::new(ErrorKind::Type, message).at(input.node().location()));
        if !ty.admits(ty.dtype, shape) {
            return fail(format!("{} is {ty}, the shape {shape:?} was given", title(input)));
        }
        for (dim, &length) in ty.dims.iter().zip(shape) {
            let Dim::Named(name) = dim else { continue };
            let first = *names.entry(name.clone()).or_insert(length);
            if first != length {
                return fail(format!("the dim `{name}` is {first} elsewhere and {length} in {}", title(input)));
            }
        }
        known.insert(input.key(), Type::of_shape(ty.dtype, shape).with_weak(ty.weak).into());
    }
    let order = topological_order(values);
    for var in &order {
        let node = var.node();
        let results = match node.kind() {
            NodeKind::Apply(op, attributes) => {
                node.results()?;
                let operands: Vec<Operand<'_>> =
                    node.operands().iter().filter_map(|operand| operand_of(operand, &known)).collect();
                concrete(&**op, &operands, attributes).map_err(|error| error.at(node.location()))?
            }
            _ => node.results()?.iter().map(|result| named(result, &names)).collect(),
        };
        for (sibling, result) in var.siblings().into_iter().zip(results) {
            known.entry(sibling.key()).or_insert(result);
        }
    }
    Ok(values.iter().map(|value| known.get(&value.key()).and_then(|inferred| inferred.ty.known_shape())).collect())
}

fn title(var: &Var) -> String {
    match var.node().kind() {
        NodeKind::Input(name) => format!("the input `{name}`"),
        NodeKind::State(state) => format!("the state `{}`", state.name()),
        NodeKind::Constant(_) => "the constant".to_owned(),
        NodeKind::Apply(op, _) => format!("the result of `{}`", op.name()),
    }
}

fn operand_of<'a>(var: &'a Var, known: &'a FxHashMap<(u64, u32), Inferred>) -> Option<Operand<'a>> {
    let inferred = known.get(&var.key())?;
    let constant = match var.node().kind() {
        NodeKind::Constant(constant) => Some(&constant.value),
        _ => None,
    };
    Some(Operand { ty: &inferred.ty, sizes: inferred.sizes.as_deref(), constant })
}

/// The same with the lengths of names that are known.
fn named(inferred: &Inferred, names: &FxHashMap<Arc<str>, usize>) -> Inferred {
    let mut inferred = inferred.clone();
    for dim in &mut inferred.ty.dims {
        if let Dim::Named(name) = dim
            && let Some(&length) = names.get(name)
        {
            *dim = Dim::Known(length);
        }
    }
    inferred
}

/// The results by the op's type rule, and where that leaves dims open by its shape rule.
fn concrete(op: &dyn Op, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
    let mut results = ops::infer(op, operands, attributes)?;
    if op.is_symbolic() || results.iter().all(|result| result.ty.known_shape().is_some()) {
        return Ok(results);
    }
    let Some(shapes) = operands.iter().map(|operand| operand.ty.known_shape()).collect::<Option<Vec<_>>>() else {
        return Ok(results);
    };
    let mut values: Vec<Option<Tensor>> = vec![None; operands.len()];
    let types: Vec<&Type> = operands.iter().map(|operand| operand.ty).collect();
    for at in op.size_operands(&types, attributes) {
        let Some(operand) = operands.get(at) else { continue };
        match sizes(operand) {
            Some(value) => values[at] = Some(value),
            None => return Ok(results),
        }
    }
    let seen: Vec<ShapeOperand<'_>> =
        shapes.iter().zip(&values).map(|(shape, value)| ShapeOperand { shape, value: value.as_ref() }).collect();
    let shapes = match op.shapes(&seen, attributes) {
        // What is made of other ops may have no rule of its own.
        Err(error) if op.has_decomposition() && error.kind() == ErrorKind::Internal => return Ok(results),
        // They depend on values.
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(results),
        shapes => shapes?,
    };
    for (result, shape) in results.iter_mut().zip(shapes) {
        result.ty.dims = shape.into_iter().map(Dim::Known).collect();
    }
    Ok(results)
}

/// The value of an operand that holds sizes, where all of them are known.
fn sizes(operand: &Operand<'_>) -> Option<Tensor> {
    if let Some(constant) = operand.constant {
        return Some(constant.clone());
    }
    let lengths: Vec<i64> =
        operand.sizes?.iter().map(|dim| i64::try_from(dim.known()?).ok()).collect::<Option<_>>()?;
    let shape = operand.ty.known_shape()?;
    Some(Tensor::from_vec(lengths, &shape).ok()?.cast(operand.ty.dtype))
}
