//! Ops whose work is a closure of the program: `host_call`, which gives the closure's results, and `inspect`, which
//! shows values to it. [`host_call`] and [`inspect`] build them.
//!
//! A closure stays as long as the process, and graphs name it by its number; a graph that is printed and read by another
//! process lacks it. It runs on the reference backend that is linked in, and on other devices by `fallback`.

use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use super::{AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{NodeKind, Var, topological_order};
use crate::tensor::{DType, Dim, Shape, Tensor, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Call,
    Inspect,
}

struct Host {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let function = || Param::attribute("function", AttributeKind::Int, None, "the number of the closure");
    let operands = |doc| Param { name: "operands", kind: ParamKind::Operands, doc };
    registry.add(Host {
        kind: Kind::Call, name: "host_call",
        params: vec![
            operands("what the closure is given"), function(),
            Param::attribute("results", AttributeKind::Str, None, "the types of the results, with `;` between them"),
        ],
        doc: "What a closure of the program gives for values; the Rust API's `host_call` makes one. It has no derivative but \
              that of a `custom_vjp` around it.",
    });
    registry.add(Host {
        kind: Kind::Inspect, name: "inspect",
        params: vec![
            Param::operand("x", "any value"), Param::operand("condition", "a bool scalar"),
            operands("what else the closure is given"), function(),
        ],
        doc: "x; where the condition holds a closure of the program is given x and the other values, whenever x is computed, and \
              may fail: a breakpoint. The Rust API's `inspect` makes one.",
    });
}

impl Op for Host {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        if self.kind == Kind::Call {
            return Ok(result_types(attributes)?.into_iter().map(Inferred::from).collect());
        }
        let condition = operands[1].ty;
        if condition.dtype != DType::Bool || condition.rank() != 0 {
            return Err(Error::new(ErrorKind::Type, format!("the condition is a bool scalar, not {condition}")));
        }
        let (ty, sizes) = (operands[0].ty.clone(), operands[0].sizes.map(<[_]>::to_vec));
        Ok(vec![Inferred { ty, sizes }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        match self.kind {
            Kind::Call => Err(Error::new(ErrorKind::Unsupported, "the shapes that a closure gives are known only when it has run")),
            Kind::Inspect => Ok(vec![operands[0].shape.into()]),
        }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        if self.kind == Kind::Call {
            return Err(no_derivative());
        }
        let mut found = vec![None; context.operands.len()];
        found[0] = context.cotangents[0].clone();
        Ok(found)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        if self.kind == Kind::Call {
            return Err(no_derivative());
        }
        Ok(vec![context.tangents[0].clone()])
    }

    fn batch(&self, _context: &Batch<'_>) -> Result<Batched> {
        // A closure sees one row after the other.
        Ok(Batched::Default)
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn has_effect(&self) -> bool {
        self.kind == Kind::Inspect
    }
}

fn no_derivative() -> Error {
    let error = Error::new(ErrorKind::Gradient, "`host_call` has no derivative: it is a closure");
    error.note("put it into a `custom_vjp`, which states the derivative, or into a `stop_gradient`")
}

/// The types that the attribute `results` names.
fn result_types(attributes: &Attributes) -> Result<Vec<Type>> {
    let text = attributes.str("results")?;
    let wrong = || Error::new(ErrorKind::Type, format!("`results` are types like \"f64[?, 3]; i64[]\", not {text:?}"));
    let one = |ty: &str| {
        let (dtype, dims) = ty.trim().strip_suffix(']')?.split_once('[')?;
        let dims = dims.split(',').map(str::trim).filter(|dim| !dim.is_empty());
        let dims = dims.map(|dim| if dim == "?" { Some(Dim::Unknown) } else { dim.parse().ok().map(Dim::Known) });
        Some(Type::new(DType::from_str(dtype).ok()?, dims.collect::<Option<Vec<Dim>>>()?))
    };
    text.split(';').map(|ty| one(ty).ok_or_else(wrong)).collect()
}

type Function = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;

static FUNCTIONS: RwLock<Vec<Arc<Function>>> = RwLock::new(Vec::new());

fn keep(function: Arc<Function>) -> i64 {
    let mut functions = FUNCTIONS.write().unwrap_or_else(PoisonError::into_inner);
    functions.push(function);
    functions.len() as i64 - 1
}

fn kept(attributes: &Attributes) -> Result<Arc<Function>> {
    let number = attributes.int("function")?;
    let functions = FUNCTIONS.read().unwrap_or_else(PoisonError::into_inner);
    let found = usize::try_from(number).ok().and_then(|number| functions.get(number).cloned());
    found.ok_or_else(|| {
        let error = Error::new(ErrorKind::Runtime, format!("this backend knows no closure {number}"));
        error.note("closures belong to the program that made them, and to the backends that are linked into it")
    })
}

/// Whether an application, or one in a body of it, shows values to a closure.
pub(crate) fn shows_values(op: &dyn Op, attributes: &Attributes) -> bool {
    let in_body = |outputs: &[Var]| {
        topological_order(outputs).iter().any(|var| match var.node().kind() {
            NodeKind::Apply(op, attributes) => shows_values(&**op, attributes),
            _ => false,
        })
    };
    matches!(op.name(), "host_call" | "inspect") || attributes.bodies().any(|(_, body)| in_body(body.outputs()))
}

/// Runs the closure of a `host_call`: for kernels.
///
/// # Errors
/// Those of the closure, or if its results have other types than it was said.
pub fn run_call(attributes: &Attributes, operands: &[Tensor]) -> Result<Vec<Tensor>> {
    let (types, results) = (result_types(attributes)?, kept(attributes)?(operands)?);
    if results.len() != types.len() {
        let message = format!("the closure gives {} results, not {}", results.len(), types.len());
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    for (number, (result, ty)) in results.iter().zip(&types).enumerate() {
        let dims = || result.shape().iter().zip(&ty.dims).all(|(length, dim)| dim.known().is_none_or(|known| known == *length));
        if result.dtype() != ty.dtype || result.rank() != ty.rank() || !dims() {
            let found = Type::of_shape(result.dtype(), result.shape());
            return Err(Error::new(ErrorKind::Runtime, format!("result {number} of the closure is {found}, not {ty}")));
        }
    }
    Ok(results)
}

/// Runs the closure of an `inspect`, if the condition holds: for kernels.
///
/// # Errors
/// Those of the closure.
pub fn run_inspect(attributes: &Attributes, operands: &[Tensor]) -> Result<()> {
    let [x, condition, more @ ..] = operands else {
        return Err(Error::new(ErrorKind::Internal, "`inspect` has a value and a condition"));
    };
    if condition.to_i64_vec() != [0] {
        let shown: Vec<Tensor> = std::iter::once(x).chain(more).cloned().collect();
        kept(attributes)?(&shown)?;
    }
    Ok(())
}

/// What a closure gives for values: an op of one's own without a plugin. `results` says of which types the results are;
/// named dims count as unknown. The closure gives equal results for equal values, as it may be called once for several
/// equal calls, while compiling, or not at all where nobody reads the results. Inside a
/// [`custom_vjp`](crate::ops::control::custom_vjp) it has a derivative, which may be a closure too.
///
/// ```
/// use arignote_core::{graph::Var, ops::host_call, tensor::{DType, Tensor, Type}};
/// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
/// let ty = Type::new(DType::F64, ["n".into()]);
/// let y = host_call(&[&x], &[ty], |values| Ok(vec![Tensor::vector(values[0].to_f64_vec().iter().map(|x| x.sin()).collect::<Vec<f64>>())]));
/// assert_eq!(y[0].ty().unwrap().to_string(), "f64[?]");
/// ```
#[track_caller]
pub fn host_call(
    operands: &[&Var], results: &[Type], function: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
) -> Vec<Var> {
    let dim = |dim: &Dim| dim.known().map_or_else(|| "?".to_owned(), |known| known.to_string());
    let ty = |ty: &Type| format!("{}[{}]", ty.dtype, ty.dims.iter().map(dim).collect::<Vec<_>>().join(", "));
    let types = results.iter().map(ty).collect::<Vec<_>>().join("; ");
    let attributes = Attributes::new().with("function", keep(Arc::new(function))).with("results", types.as_str());
    let operands: Vec<Var> = operands.iter().copied().cloned().collect();
    Var::apply("host_call", &operands, attributes).siblings()
}

/// `x`, of which a closure is shown the value, and then those of `more`, where the condition holds. It runs whenever `x` is
/// computed, once per call and in the order of other effects; an error of it ends the call. A debugger's breakpoint in the
/// closure stops there.
///
/// ```
/// use arignote_core::{graph::Var, ops::inspect, tensor::{DType, Type}};
/// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
/// let checked = inspect(&x, &x.isnan().any(None), &[], |values| {
///     eprintln!("NaN in {}", values[0]);
///     Ok(())
/// });
/// assert_eq!(checked.ty().unwrap().to_string(), "f64[n]");
/// ```
#[track_caller]
pub fn inspect(
    x: &Var, condition: &Var, more: &[&Var], function: impl Fn(&[Tensor]) -> Result<()> + Send + Sync + 'static,
) -> Var {
    let shown = move |values: &[Tensor]| function(values).map(|()| Vec::new());
    let operands: Vec<Var> = [x, condition].into_iter().chain(more.iter().copied()).cloned().collect();
    Var::apply("inspect", &operands, Attributes::new().with("function", keep(Arc::new(shown))))
}
