//! Loops and branches: `scan` and `if`, the ops whose nodes hold graphs of their own ([`Body`]).
//!
//! **`scan`** runs one body again and again. Its operands are, in this order, the number of steps (if it is
//! given), the sequences, the initial states, and what the body reads of the surrounding graph; the
//! body's inputs are the same without the number of steps, a sequence being one row of it there. The
//! body's outputs are the next states, the yields, and the condition to stop (if there is one). The
//! results are the final states and then the yields, each stacked along a new first axis.
//!
//! All sequences have equally many rows, and as many as there are steps if both are given. With a
//! condition the loop ends after the first step in which it holds. After no step at all the final states
//! are the initial ones, and the yields have no rows.
//!
//! With `reverse` the steps go from the last rows of the sequences to the first, and rows that are yielded lie as
//! those of the sequences do: the first step's are the last. It goes together with neither a condition nor a
//! `keep`.
//!
//! Of a yield with a `keep` of k above 0 only the last k rows are kept. With a `truncate` of k derivatives in
//! reverse mode go back through the last k steps alone.
//!
//! **`if`** runs one of two bodies. Its operands are the condition, a `bool` scalar, and what the bodies
//! read; both bodies have the same inputs, and outputs of equal dtypes and ranks. The other body does not
//! run at all.
//!
//! **`checkpoint`** has the results of its body. Its derivative computes the body again rather than keeping
//! what is inside: it is a **`recompute`**, which runs as it stands, whereas a `checkpoint` becomes its body
//! once derivatives are expanded. What a `recompute` reads are operands of its own, so that nothing in it is
//! merged with what was computed before, and it runs when the cotangents are there.
//!
//! **`custom_vjp`** has the results of its body too, and a second body for its derivative.
//!
//! [`Scan`], [`if_else`], [`checkpoint`] and [`custom_vjp`] build them from closures. Derivatives stand in
//! `autodiff`, as they are derivatives of graphs.

mod builders;
mod chunks;
mod drive;
mod inside;
mod prune;

use std::sync::Arc;

pub use builders::{Scan, Scanned, Step, fold, if_else, map, while_loop};
pub(crate) use builders::{ScanOptions, ScanParts, build_if, build_scan, no_next, row};
pub use drive::run_scan;
pub use inside::{CustomLayout, checkpoint, custom_vjp};
pub(crate) use inside::{CustomParts, build_checkpoint, build_custom, param};
pub use prune::{Pruned, Read, normal_form, prune};

use super::{
    Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, NodeKind, Var, shapes_of};
use crate::tensor::{DType, Dim, Shape, Type};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let attribute = |name, kind, doc| Param::attribute(name, kind, None, doc);
    let rest = |doc| Param { name: "operands", kind: ParamKind::Operands, doc };
    registry.add(ScanOp {
        name: "scan",
        params: vec![
            rest("the number of steps if `counted`, sequences, initial states, captured values"),
            attribute("body", AttributeKind::Body, "one step"),
            attribute("counted", AttributeKind::Bool, "whether the first operand is the number of steps"),
            attribute("sequences", AttributeKind::Int, "how many sequences there are"),
            attribute("states", AttributeKind::Int, "how many states there are"),
            Param::attribute(
                "keep", AttributeKind::Ints, Some(Attribute::List(Vec::new())),
                "for each yield how many of the last rows are kept, 0 for all; empty: all of all",
            ),
            Param::attribute(
                "truncate", AttributeKind::Int, Some(Attribute::Int(0)),
                "through how many of the last steps reverse mode goes, 0 for all",
            ),
            Param::attribute(
                "reverse", AttributeKind::Bool, Some(Attribute::Bool(false)), "whether the steps go from the last row to the first",
            ),
            attribute("until", AttributeKind::Bool, "whether the last output of a step says that it is the last step"),
        ],
        doc: "A loop over the rows of sequences, or of a number of steps, with states.\n\n    ys = scan (x_t in x) {\n        state h: f64[] = 0\n        h <- h + x_t\n        yield h\n    }",
    });
    registry.add(IfOp {
        name: "if",
        params: vec![
            Param::operand("condition", "a bool scalar"),
            rest("the captured values"),
            attribute("otherwise", AttributeKind::Body, "what is computed where the condition does not hold"),
            attribute("then", AttributeKind::Body, "what is computed where the condition holds"),
        ],
        doc: "The results of one of two branches; the other one does not run.\n\n    y = if x > 0 { log(x) } else { x }",
    });
    inside::register(registry);
}

/// How the operands and results of a `scan` are to be read.
#[derive(Clone, Debug)]
pub struct ScanLayout {
    /// One step.
    pub body: Arc<Body>,
    /// Whether the first operand is the number of steps.
    pub counted: bool,
    /// How many sequences there are.
    pub sequences: usize,
    /// How many states there are.
    pub states: usize,
    /// Whether the body's last output says when to stop.
    pub until: bool,
    /// For each yield how many of the last rows are kept; 0 for all.
    pub keep: Vec<usize>,
    /// Through how many of the last steps reverse mode goes, if not through all.
    pub truncate: Option<usize>,
    /// Whether the steps go from the last row to the first.
    pub reverse: bool,
}

impl ScanLayout {
    /// The layout that the attributes of a `scan` state.
    ///
    /// # Errors
    /// If they are not those of a `scan`, or do not agree with the body.
    pub fn of(attributes: &Attributes) -> Result<ScanLayout> {
        let count = |name: &str| {
            usize::try_from(attributes.int(name)?).map_err(|_| internal(format!("`{name}` is negative")))
        };
        let keep = attributes.ints("keep")?.unwrap_or_default().into_iter();
        let keep = keep.map(|rows| usize::try_from(rows).map_err(|_| kept_wrongly(rows))).collect::<Result<_>>()?;
        let mut layout = ScanLayout {
            body: attributes.body("body")?.clone(),
            counted: attributes.bool("counted")?,
            sequences: count("sequences")?,
            states: count("states")?,
            until: attributes.bool("until")?,
            keep,
            truncate: Some(count("truncate")?).filter(|&steps| steps > 0),
            reverse: attributes.bool("reverse")?,
        };
        let (inputs, outputs) = (layout.body.inputs().len(), layout.body.outputs().len());
        if inputs < layout.sequences + layout.states || outputs < layout.states + usize::from(layout.until) {
            return Err(internal("the body of a scan has too few inputs or outputs"));
        }
        if layout.keep.is_empty() {
            layout.keep = vec![0; layout.yields()];
        }
        if layout.keep.len() != layout.yields() {
            let message = format!("`keep` has {} entries for {} yields", layout.keep.len(), layout.yields());
            return Err(Error::new(ErrorKind::Type, message).note("it says for each yield how many of the last rows are kept"));
        }
        if layout.reverse && (layout.until || layout.keep.iter().any(|&rows| rows > 0)) {
            let other = if layout.until { "until" } else { "keep" };
            return Err(Error::new(ErrorKind::Type, format!("`reverse` and `{other}` do not go together in one scan")));
        }
        Ok(layout)
    }

    /// How many values are yielded in each step.
    pub fn yields(&self) -> usize {
        self.body.outputs().len() - self.states - usize::from(self.until)
    }

    /// The attributes that state this layout.
    pub(crate) fn attributes(&self) -> Attributes {
        let keep = if self.keep.iter().any(|&rows| rows > 0) { self.keep.as_slice() } else { &[] };
        let number = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        Attributes::new()
            .with("keep", keep.iter().map(|&rows| number(rows)).collect::<Vec<i64>>())
            .with("truncate", self.truncate.map_or(0, number))
            .with("body", Attribute::Body(self.body.clone()))
            .with("counted", self.counted)
            .with("sequences", self.sequences as i64)
            .with("states", self.states as i64)
            .with("reverse", self.reverse)
            .with("until", self.until)
    }

    /// The name of one of the body's inputs.
    pub fn name(&self, input: usize) -> &str {
        match self.body.inputs().get(input).map(|var| var.node().kind()) {
            Some(NodeKind::Input(name)) => name,
            _ => "",
        }
    }

    /// What is known of the number of steps.
    fn rows(&self, operands: &[Operand<'_>]) -> Result<Dim> {
        if self.until {
            return Ok(Dim::Unknown);
        }
        let mut known: Option<(Dim, String)> = None;
        let steps = operands.first().filter(|_| self.counted).and_then(|steps| match steps.sizes {
            Some([dim]) => Some((dim.clone(), "`steps`".to_owned())),
            _ => None,
        });
        let offset = usize::from(self.counted);
        let sequences = (0..self.sequences).map(|number| {
            (operands[offset + number].ty.dims[0].clone(), format!("the sequence of `{}`", self.name(number)))
        });
        for (dim, of) in steps.into_iter().chain(sequences) {
            known = match known {
                None | Some((Dim::Unknown, _)) => Some((dim, of)),
                Some((Dim::Known(a), first)) if dim.known().is_some_and(|b| a != b) => {
                    let message = format!("{of} has the length {dim}, {first} {a}; all lengths of a scan are equal");
                    return Err(Error::new(ErrorKind::Type, message));
                }
                Some((Dim::Named(_), _)) if dim.known().is_some() => Some((dim, of)),
                known => known,
            };
        }
        Ok(known.map_or(Dim::Unknown, |(dim, _)| dim))
    }
}

fn kept_wrongly(rows: i64) -> Error {
    Error::new(ErrorKind::Type, format!("`keep` says how many of the last rows are kept; {rows} is negative"))
}

/// How many rows there are of a yield of which so many are kept.
fn kept(rows: &Dim, keep: usize) -> Dim {
    match (rows, keep) {
        (rows, 0) => rows.clone(),
        (Dim::Known(rows), keep) => Dim::Known(keep.min(*rows)),
        _ => Dim::Unknown,
    }
}

fn internal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, message)
}

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// Whether a value of one type can stand where the other is declared.
fn fits(found: &Type, declared: &Type) -> bool {
    found.dtype == declared.dtype
        && found.rank() == declared.rank()
        && found.dims.iter().zip(&declared.dims).all(|(a, b)| a.compatible(b))
}

struct ScanOp {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

impl Op for ScanOp {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let layout = ScanLayout::of(attributes)?;
        let body = &layout.body;
        let given = operands.get(usize::from(layout.counted)..).unwrap_or_default();
        if given.len() != body.inputs().len() {
            return Err(internal(format!("{} operands for {} inputs", given.len(), body.inputs().len())));
        }
        if layout.counted && !(operands[0].ty.dtype.is_integer() && operands[0].ty.rank() == 0) {
            return fail(format!("the number of steps is an integer scalar, not {}", operands[0].ty));
        }
        for (number, (operand, input)) in given.iter().zip(body.inputs()).enumerate() {
            let (found, declared, name) = (operand.ty, input.ty()?, layout.name(number));
            if number < layout.sequences {
                let row = found.rank() > 0 && fits(&Type::new(found.dtype, found.dims[1..].to_vec()), declared);
                if !row {
                    return fail(format!("the rows of a sequence, `{name}`, are {declared}, but it is {found}"));
                }
            } else if !fits(found, declared) {
                let state = number < layout.sequences + layout.states;
                let (what, value) = if state { ("state", "initial value") } else { ("value", "value") };
                return fail(format!("the {what} `{name}` has the type {declared}, but its {value} is {found}"));
            }
        }
        let mut results = Vec::new();
        for state in 0..layout.states {
            let declared = body.inputs()[layout.sequences + state].ty()?;
            let next = body.outputs()[state].ty()?;
            if !fits(next, declared) {
                let name = layout.name(layout.sequences + state);
                return fail(format!("the state `{name}` has the type {declared}, but its next value is {next}"));
            }
            results.push(declared.with_dtype(declared.dtype).into());
        }
        let rows = layout.rows(operands)?;
        for (value, &keep) in body.outputs()[layout.states..].iter().zip(&layout.keep) {
            let row = value.ty()?;
            let dims = std::iter::once(kept(&rows, keep)).chain(row.dims.iter().cloned());
            results.push(Type::new(row.dtype, dims).into());
        }
        if let (true, Some(stop)) = (layout.until, body.outputs().last()) {
            let ty = stop.ty()?;
            if ty.dtype != DType::Bool || ty.rank() != 0 {
                return fail(format!("the condition after `until` is a bool scalar, not {ty}"));
            }
        }
        if results.is_empty() {
            return fail("a scan has a state or yields something");
        }
        Ok(results)
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let layout = ScanLayout::of(attributes)?;
        let offset = usize::from(layout.counted);
        let given = operands.get(offset..).unwrap_or_default();
        let rows = match (layout.sequences, operands.first().and_then(|steps| steps.value)) {
            (0, Some(steps)) => steps.to_i64_vec().first().and_then(|&n| usize::try_from(n).ok()),
            (0, None) => None,
            _ => given.first().and_then(|sequence| sequence.shape.first().copied()),
        };
        // The number of steps is the number of rows of what is yielded, and of nothing else.
        let rows = match rows.filter(|_| !layout.until) {
            Some(rows) => rows,
            None if layout.yields() == 0 => 0,
            None => return Err(Error::new(ErrorKind::Unsupported, "how often a loop runs is known only when it has run")),
        };
        let inside: Vec<(Var, &[usize])> = layout.body.inputs().iter().zip(given).enumerate().map(|(number, (var, operand))| {
            (var.clone(), &operand.shape[usize::from(number < layout.sequences)..])
        }).collect();
        let outputs = &layout.body.outputs()[..layout.states + layout.yields()];
        let shapes = shapes_of(outputs, &inside)?;
        let states = shapes.iter().zip(&given[layout.sequences..]).take(layout.states);
        if states.into_iter().any(|(next, init)| next.as_deref().is_some_and(|next| next != init.shape)) {
            return Err(Error::new(ErrorKind::Unsupported, "a state has another shape in each step"));
        }
        shapes
            .into_iter()
            .enumerate()
            .map(|(number, shape)| {
                let shape = shape.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the shapes depend on values"))?;
                Ok(match number.checked_sub(layout.states).map(|number| layout.keep[number]) {
                    None => shape,
                    Some(keep) => std::iter::once(if keep > 0 { keep.min(rows) } else { rows }).chain(shape).collect(),
                })
            })
            .collect()
    }

    fn size_operands(&self, types: &[&Type], attributes: &Attributes) -> Vec<usize> {
        match ScanLayout::of(attributes) {
            Ok(layout) if layout.yields() == 0 => Vec::new(),
            // Then everything decides.
            Ok(layout) if layout.until => (0..types.len()).collect(),
            Ok(layout) if layout.counted => vec![0],
            _ => Vec::new(),
        }
    }

    fn can_fail(&self) -> bool {
        true
    }
}

struct IfOp {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// The bodies of an `if`: where the condition holds, and where it does not.
///
/// # Errors
/// If the attributes are not those of an `if`.
pub fn branches(attributes: &Attributes) -> Result<[&Arc<Body>; 2]> {
    Ok([attributes.body("then")?, attributes.body("otherwise")?])
}

impl Op for IfOp {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let [then, otherwise] = branches(attributes)?;
        let condition = operands[0].ty;
        if condition.dtype != DType::Bool || condition.rank() != 0 {
            return fail(format!("the condition is a bool scalar, not {condition}"));
        }
        for body in [then, otherwise] {
            if body.inputs().len() + 1 != operands.len() {
                return Err(internal(format!("{} operands for {} inputs", operands.len() - 1, body.inputs().len())));
            }
            for (operand, input) in operands[1..].iter().zip(body.inputs()) {
                if !fits(operand.ty, input.ty()?) {
                    return fail(format!("a branch reads {}, but the value is {}", input.ty()?, operand.ty));
                }
            }
        }
        if then.outputs().len() != otherwise.outputs().len() {
            let (a, b) = (then.outputs().len(), otherwise.outputs().len());
            return fail(format!("the branches have different numbers of results, {a} and {b}"));
        }
        if then.outputs().is_empty() {
            return fail("a branch has a result");
        }
        let mut results = Vec::new();
        for (a, b) in then.outputs().iter().zip(otherwise.outputs()) {
            let (a, b) = (a.ty()?, b.ty()?);
            if a.dtype != b.dtype || a.rank() != b.rank() {
                return fail(format!("one branch gives {a}, the other {b}"));
            }
            let dims = a.dims.iter().zip(&b.dims).map(|(a, b)| if a.same(b) { a.clone() } else { Dim::Unknown });
            results.push(Type::new(a.dtype, dims).into());
        }
        Ok(results)
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let known = |body: &Body| {
            let pairs = body.inputs().iter().cloned().zip(operands[1..].iter().map(|operand| operand.shape));
            shapes_of(body.outputs(), &pairs.collect::<Vec<_>>())?
                .into_iter()
                .map(|shape| shape.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the shapes depend on values")))
                .collect::<Result<Vec<Shape>>>()
        };
        let [then, otherwise] = branches(attributes)?;
        match operands.first().and_then(|condition| condition.value) {
            Some(value) => known(if value.to_i64_vec() == [0] { otherwise } else { then }),
            None => Err(internal("the condition decides the shapes")),
        }
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        vec![0]
    }

    fn can_fail(&self) -> bool {
        true
    }
}
