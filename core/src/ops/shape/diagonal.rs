//! Triangles and diagonals of matrices.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{
    Arguments, add, between_axes, constant_int, length, positions, type_error, whole, zero_of,
};
use crate::ops::index::index_attribute;
use crate::ops::{Attribute, AttributeKind, Attributes, IndexBound, IndexItem, Param, ParamKind, Registry, where_};
use crate::tensor::{DType, Tensor};

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let optional = |name, doc| Param { name, kind: ParamKind::OptionalOperand, doc };
    let int = |name, default, doc| Param::attribute(name, AttributeKind::Int, Some(Attribute::Int(default)), doc);
    let k = || int("k", 0, "which diagonal; positive ones lie above");
    let dtype = || Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result");
    let rows = || operand("n", "number of rows");
    let columns = || optional("m", "number of columns; `n` if left out");
    let matrix = || operand("x", "a matrix, or a stack of them; a vector is every row of a square one");
    add(registry, "tri", vec![rows(), columns(), k(), dtype()],
        "The matrix with ones on and below diagonal `k`: 1 where `column <= row + k`.\n\n    tri(3, dtype=f64)", tri);
    add(registry, "tril", vec![matrix(), k()], "The lower triangle: 0 above diagonal `k` of the last two axes.\n\n    tril(x, k=-1)", |a| triangle(a, true));
    add(registry, "triu", vec![matrix(), k()], "The upper triangle: 0 below diagonal `k` of the last two axes.\n\n    triu(x, k=1)", |a| triangle(a, false));
    add(registry, "tril_indices", vec![rows(), k(), columns()],
        "Rows and columns of the lower triangle of a matrix, row after row.\n\n    rows, columns = tril_indices(3)\n    x[rows, columns]", |a| indices(a, true));
    add(registry, "triu_indices", vec![rows(), k(), columns()],
        "Rows and columns of the upper triangle of a matrix, row after row.\n\n    rows, columns = triu_indices(3, k=1)\n    x[rows, columns]", |a| indices(a, false));
    add(registry, "diag", vec![operand("x", "a vector or a matrix"), k()],
        "Of a vector the matrix that has it on diagonal `k` and 0 elsewhere; of a matrix its diagonal `k`.\n\n    diag([1, 2])  # [[1, 0], [0, 2]]", diag);
    add(registry, "diagonal",
        vec![operand("x", "a matrix or a stack of them"), int("offset", 0, "which diagonal; positive ones lie above"),
            int("axis1", 0, "the axis of the rows"), int("axis2", 1, "the axis of the columns")],
        "The elements of `x` on a diagonal of two axes, along a new last axis.\n\n    diagonal(x, axis1=-2, axis2=-1)", |a| {
            let axis = |name: &str| a.attributes.axis(name, a.rank()?);
            Ok(vec![diagonal(a.operand(0)?, a.attributes.int("offset")?, axis("axis1")?, axis("axis2")?)?])
        });
    let value = || operand("value", "what to write, in the dtype of x; it broadcasts to the diagonal");
    add(registry, "fill_diagonal",
        vec![operand("x", "a tensor of two axes, or of several of one length"), value(), Param::attribute("wrap", AttributeKind::Bool, Some(false.into()), "go on below the square of a tall matrix, one row left out")],
        "`x` with its main diagonal, the places `x[i, i, ...]`, overwritten.\n\n    fill_diagonal(x, 0)", fill_diagonal);
    add(registry, "fill_diagonal_offset", vec![operand("x", "a matrix"), value(), int("offset", 0, "which diagonal; positive ones lie above")],
        "The matrix `x` with a diagonal overwritten.\n\n    fill_diagonal_offset(x, 1, offset=-1)", |a| {
            if a.rank()? != 2 {
                return type_error(format!("expected a matrix, found {}", a.operand(0)?.ty()?));
            }
            let x = a.operand(0)?;
            let (i, j) = places(&length(x, 0), &length(x, 1), a.attributes.int("offset")?);
            Ok(vec![written(x, a.operand(1)?, &[i, j])])
        });
    add(registry, "identity", vec![rows(), dtype()], "The square matrix with ones on the diagonal and zeros elsewhere.\n\n    identity(3, dtype=f32)", |a| {
        Ok(vec![Var::apply("eye", a.operands, a.attributes.clone())])
    });
}

/// Where `column <= row + k`, or, of an upper triangle, `column >= row + k`.
fn mask(rows: &Var, columns: &Var, k: i64, lower: bool) -> Var {
    let (row, column) = (positions(rows).expand_dims(1) + Var::scalar(k), positions(columns));
    if lower { column.le(&row) } else { column.ge(&row) }
}

/// The operands `n` and `m`, as i64 scalars.
fn rows_and_columns(a: &Arguments<'_>) -> Result<(Var, Var)> {
    let size = |x: &Var| -> Result<Var> {
        whole(x)?;
        match x.ty()?.rank() {
            0 => Ok(x.cast(DType::I64)),
            _ => type_error(format!("a length is one whole number, not {}", x.ty()?)),
        }
    };
    // A constant stays one, so that the shape is known.
    let size = |x: &Var| constant_int(x).map_or_else(|| size(x), |length| Ok(Var::scalar(length)));
    let rows = size(a.operand(0)?)?;
    let columns = a.operands.get(1).map_or_else(|| Ok(rows.clone()), size)?;
    Ok((rows, columns))
}

fn tri(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (rows, columns) = rows_and_columns(a)?;
    let mask = mask(&rows, &columns, a.attributes.int("k")?, true);
    Ok(vec![match a.attributes.dtype("dtype")? {
        Some(dtype) => mask.cast(dtype),
        None => where_(&mask, &Var::weak(1.0), &Var::weak(0.0)),
    }])
}

fn triangle(a: &Arguments<'_>, lower: bool) -> Result<Vec<Var>> {
    let (x, rank) = (a.operand(0)?, a.rank()?);
    if rank == 0 {
        return type_error("a triangle is part of a matrix, not of a scalar");
    }
    let (rows, columns) = (length(x, rank.max(2) - 2), length(x, rank - 1));
    let rows = if rank == 1 { columns.clone() } else { rows };
    let k = a.attributes.int("k")?;
    Ok(vec![where_(&mask(&rows, &columns, k, lower), x, &zero_of(x)?)])
}

fn indices(a: &Arguments<'_>, lower: bool) -> Result<Vec<Var>> {
    let (rows, columns) = rows_and_columns(a)?;
    let k = a.attributes.int("k")?;
    if let (Some(rows @ 0..=256), Some(columns @ 0..=256)) = (constant_int(&rows), constant_int(&columns)) {
        let inside = |row: i64, column: i64| if lower { column <= row.saturating_add(k) } else { column >= row.saturating_add(k) };
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let (row, column): (Vec<i64>, Vec<i64>) = all.filter(|&(row, column)| inside(row, column)).unzip();
        return Ok(vec![Var::constant(Tensor::vector(row)), Var::constant(Tensor::vector(column))]);
    }
    let mask = mask(&rows, &columns, k, lower);
    let shape = mask.shape();
    let chosen = |grid: Var| grid.broadcast_to_var(&shape).index(vec![IndexItem::Operand(0)], std::slice::from_ref(&mask));
    Ok(vec![chosen(positions(&rows).expand_dims(1)), chosen(positions(&columns))])
}

/// The positions on both axes of a diagonal of a matrix with so many rows and columns.
fn places(rows: &Var, columns: &Var, offset: i64) -> (Var, Var) {
    let (down, right) = (offset.saturating_neg().max(0), offset.max(0));
    let count = match (constant_int(rows), constant_int(columns)) {
        (Some(rows), Some(columns)) => Var::scalar(rows.saturating_sub(down).min(columns.saturating_sub(right)).max(0)),
        _ if offset == 0 => rows.minimum(columns),
        _ => (rows - down).minimum(&(columns - right)).maximum(&Var::scalar(0i64)),
    };
    let along = positions(&count);
    let moved = |by: i64| if by == 0 { along.clone() } else { &along + by };
    (moved(down), moved(right))
}

fn diagonal(x: &Var, offset: i64, axis1: usize, axis2: usize) -> Result<Var> {
    let rank = x.ty()?.rank();
    if axis1 == axis2 {
        return type_error("`axis1` and `axis2` are the same axis");
    }
    let others = (0..rank).filter(|&axis| axis != axis1 && axis != axis2);
    let order: Vec<i64> = others.chain([axis1, axis2]).map(|axis| axis as i64).collect();
    let in_order = order.iter().enumerate().all(|(at, &axis)| at as i64 == axis);
    let x = if in_order { x.clone() } else { x.transpose(&order) };
    let (i, j) = places(&length(&x, rank - 2), &length(&x, rank - 1), offset);
    Ok(x.index(vec![IndexItem::Ellipsis, IndexItem::Operand(0), IndexItem::Operand(1)], &[i, j]))
}

fn diag(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, k) = (a.operand(0)?, a.attributes.int("k")?);
    match a.rank()? {
        1 => {}
        2 => return Ok(vec![diagonal(x, k, 0, 1)?]),
        _ => return type_error(format!("expected a vector or a matrix, found {}; `diagonal` takes stacks", x.ty()?)),
    }
    // Row r has element r on diagonal k if k is not negative, else column c has element c; what lies
    // behind the end is never chosen.
    let (zero, dtype) = (zero_of(x)?, x.ty()?.dtype);
    let (size, long) = match k {
        0 => (length(x, 0), x.clone()),
        _ => {
            let Some(extra) = usize::try_from(k.unsigned_abs()).ok().filter(|&extra| extra < 1 << 40) else {
                return type_error(format!("diagonal {k} makes too large a matrix"));
            };
            let more = Var::apply("zeros", &[crate::ops::sizes::sizes(&[extra])], Attributes::new().with("dtype", dtype));
            (length(x, 0) + Var::scalar(extra as i64), super::concatenate(&[x.clone(), more], 0))
        }
    };
    let mask = Var::apply("eye", &[size.clone(), size], Attributes::new().with("k", k).with("dtype", DType::Bool));
    let spread = if k >= 0 { between_axes(&long, 0, 1) } else { long };
    Ok(vec![where_(&mask, &spread, &zero)])
}

/// `x` with a value at positions, one vector for each axis.
fn written(x: &Var, value: &Var, places: &[Var]) -> Var {
    let items = (0..places.len()).map(IndexItem::Operand).collect();
    Var::apply("set_at", &[&[x.clone(), value.clone()], places].concat(), index_attribute(items))
}

fn fill_diagonal(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, value, rank) = (a.operand(0)?, a.operand(1)?, a.rank()?);
    let dims = &x.ty()?.dims;
    match rank {
        0 | 1 => return type_error(format!("expected at least two axes, found {}", x.ty()?)),
        2 => {}
        _ if dims.iter().any(|dim| !dim.compatible(&dims[0])) => {
            return type_error(format!("more than two axes must have one length, found {}", x.ty()?));
        }
        _ => {}
    }
    if rank == 2 && a.attributes.bool("wrap")? {
        let Some(columns) = dims[1].known() else {
            return type_error(format!("`wrap` needs a known number of columns, found {}", x.ty()?));
        };
        let Some(step) = i64::try_from(columns).ok().and_then(|columns| columns.checked_add(1)) else {
            return type_error(format!("{columns} columns are too many"));
        };
        let step = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step };
        let flat = Var::apply("set_at", &[x.flatten(), value.clone()], index_attribute(vec![step]));
        return Ok(vec![flat.reshape_to(&x.shape())]);
    }
    let (mut along, _) = places(&length(x, 0), &length(x, 1), 0);
    if rank > 2 {
        along = positions(&length(x, 0));
    }
    Ok(vec![written(x, value, &vec![along; rank])])
}

impl Var {
    /// Of a vector the matrix that has it on diagonal `k` (positive ones lie above) and 0 elsewhere; of a
    /// matrix its diagonal `k`.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, ["n".into()]));
    /// assert_eq!(x.diag(0).ty().unwrap().to_string(), "f32[n, n]");
    /// ```
    #[track_caller]
    pub fn diag(&self, k: i64) -> Var {
        Var::apply("diag", std::slice::from_ref(self), Attributes::new().with("k", k))
    }

    /// The elements on a diagonal of two axes, along a new last axis.
    #[track_caller]
    pub fn diagonal(&self, offset: i64, axis1: i64, axis2: i64) -> Var {
        let attributes = Attributes::new().with("offset", offset).with("axis1", axis1).with("axis2", axis2);
        Var::apply("diagonal", std::slice::from_ref(self), attributes)
    }

    /// The lower triangle of the last two axes: 0 above diagonal `k`.
    #[track_caller]
    pub fn tril(&self, k: i64) -> Var {
        Var::apply("tril", std::slice::from_ref(self), Attributes::new().with("k", k))
    }

    /// The upper triangle of the last two axes: 0 below diagonal `k`.
    #[track_caller]
    pub fn triu(&self, k: i64) -> Var {
        Var::apply("triu", std::slice::from_ref(self), Attributes::new().with("k", k))
    }
}
