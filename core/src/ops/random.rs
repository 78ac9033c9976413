//! Random draws: a pure function of a key, so that equal keys give equal draws on every device.

use super::sizes::{dims_of_sizes, shape_of_sizes, sizes};
use super::{
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand,
    Vjp, default_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Shape, Type};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let params = || {
        vec![
            Param::operand("key", "`u64[2]`: seed and stream"),
            Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths of the axes" },
            Param::attribute(
                "dtype", AttributeKind::DType, Some(Attribute::None), "a float dtype; the config's `float` if left out",
            ),
        ]
    };
    registry.add(Draw {
        name: "uniform",
        params: params(),
        doc: "Independent draws, uniform on [0, 1), from Philox4x32-10 (Salmon et al., 2011, *Parallel random \
              numbers: as easy as 1, 2, 3*) keyed by the seed, with the stream in its counter. The same key \
              gives the same draws.\n\n    uniform(key, 2, n, dtype=f32)",
    });
    registry.add(Draw {
        name: "normal",
        params: params(),
        doc: "Independent draws from the normal distribution of mean 0 and variance 1: Box and Muller's \
              transform `sqrt(-2 log(1 - u1)) cos(2 pi u2)`, and the same with `sin`, of the draws of \
              Philox4x32-10. The same key gives the same draws.\n\n    normal(key, 2, n, dtype=f32)",
    });
}

struct Draw {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

impl Op for Draw {
    described!();

    fn settle(&self, _operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
        if attributes.dtype("dtype").is_ok_and(|given| given.is_none()) {
            attributes.set("dtype", Attribute::DType(default_float()));
        }
        Vec::new()
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
        let [key, shape] = operands else {
            return fail(format!("expected a key and a shape, found {} operands", operands.len()));
        };
        let two = matches!(key.ty.dims.as_slice(), [length] if length.compatible(&Dim::Known(2)));
        if key.ty.dtype != DType::U64 || !two {
            return fail(format!("a key is u64[2] (seed and stream), not {}", key.ty));
        }
        let dtype = attributes.dtype("dtype")?.unwrap_or_else(default_float);
        if !dtype.is_float() {
            return fail(format!("draws have a float dtype, not {dtype}"));
        }
        Ok(vec![Type::new(dtype, dims_of_sizes(shape)?).into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let [key, shape] = operands else {
            return Err(Error::new(ErrorKind::Internal, "expected a key and a shape"));
        };
        if key.shape != [2] {
            return Err(Error::new(ErrorKind::Runtime, format!("a key has the shape [2], not {:?}", key.shape)));
        }
        Ok(vec![shape_of_sizes(shape, self.name)?])
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        vec![1]
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; context.operands.len()])
    }

    fn jvp(&self, _context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![None])
    }

    fn can_fail(&self) -> bool {
        true
    }
}

/// Draws uniform on [0, 1) from a key (`u64[2]`: seed and stream).
#[track_caller]
pub fn uniform(key: &Var, shape: &[usize], dtype: DType) -> Var {
    Var::apply("uniform", &[key.clone(), sizes(shape)], Attributes::new().with("dtype", dtype))
}

/// Normal draws of mean 0 and variance 1 from a key (`u64[2]`: seed and stream).
#[track_caller]
pub fn normal(key: &Var, shape: &[usize], dtype: DType) -> Var {
    Var::apply("normal", &[key.clone(), sizes(shape)], Attributes::new().with("dtype", dtype))
}
