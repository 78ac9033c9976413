//! Ops that change gradients and nothing else: `clip_gradient`, `scale_gradient`.
//!
//! Their value is that of their operand. Compilation takes them out once derivatives are expanded
//! ([`Op::is_identity`]), so no device sees them.

use super::{AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::Shape;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Clip,
    Scale,
}

struct Changed {
    change: Change,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let x = || Param::operand("x", "any value");
    let number = |name, doc| Param::attribute(name, AttributeKind::Float, None, doc);
    registry.add(Changed {
        change: Change::Clip, name: "clip_gradient",
        params: vec![x(), number("lo", "the least cotangent"), number("hi", "the largest cotangent")],
        doc: "x; its cotangent is clipped to `lo`..`hi`, element by element. Only reverse mode has cotangents: in \
              forward mode it is an error.",
    });
    registry.add(Changed {
        change: Change::Scale, name: "scale_gradient",
        params: vec![x(), number("factor", "what derivatives are multiplied by; -1 reverses them, 0 is like `stop_gradient`")],
        doc: "x; its derivatives, in both modes, are multiplied by `factor`. -1 is gradient reversal (Ganin and \
              Lempitsky 2015).",
    });
}

impl Op for Changed {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        if self.change == Change::Clip {
            let (lo, hi) = (attributes.float("lo")?, attributes.float("hi")?);
            if lo.is_nan() || hi.is_nan() || lo > hi {
                return Err(Error::new(ErrorKind::Type, format!("`lo` must not be above `hi`; they are {lo} and {hi}")));
            }
        }
        let (ty, sizes) = (operands[0].ty.clone(), operands[0].sizes.map(<[_]>::to_vec));
        Ok(vec![Inferred { ty, sizes }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        Ok(vec![operands[0].shape.into()])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let changed = |g: &Var| -> Result<Var> {
            let number = |name| context.attributes.float(name).map(Var::weak);
            Ok(match self.change {
                Change::Clip => Var::apply("clip", &[g.clone(), number("lo")?, number("hi")?], Attributes::new()),
                Change::Scale => g * number("factor")?,
            })
        };
        Ok(vec![context.cotangents[0].as_ref().map(changed).transpose()?])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let Some(tangent) = &context.tangents[0] else { return Ok(vec![None]) };
        match self.change {
            Change::Scale => Ok(vec![Some(tangent * Var::weak(context.attributes.float("factor")?))]),
            Change::Clip => Err(Error::new(ErrorKind::Gradient, "`clip_gradient` has no forward-mode derivative")
                .note("it clips cotangents, which only reverse mode (`grad`, `vjp`) has")),
        }
    }

    fn is_identity(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        Ok(Batched::Rows(vec![Var::apply(self.name, context.operands, context.attributes.clone())]))
    }
}

impl Var {
    /// This value; its cotangent is clipped to `lo`..`hi`.
    #[track_caller]
    pub fn clip_gradient(&self, lo: f64, hi: f64) -> Var {
        let attributes = Attributes::new().with("lo", lo).with("hi", hi);
        Var::apply("clip_gradient", std::slice::from_ref(self), attributes)
    }

    /// This value; its derivatives change their sign, as between features and a classifier that they are to
    /// deceive (Ganin and Lempitsky 2015).
    #[track_caller]
    pub fn reverse_gradient(&self) -> Var {
        self.scale_gradient(-1.0)
    }

    /// This value; its derivatives are multiplied by `factor`.
    #[track_caller]
    pub fn scale_gradient(&self, factor: f64) -> Var {
        Var::apply("scale_gradient", std::slice::from_ref(self), Attributes::new().with("factor", factor))
    }
}
