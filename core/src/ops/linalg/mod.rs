//! Linear algebra on matrices: the last two axes are rows and columns, the axes before them a stack of
//! matrices, each computed by itself.
//!
//! Ops with a kernel are `Linalg`; those that others give are `Composed`, in `composed`.

mod composed;
mod equations;
mod factored;
mod factors;
mod general;
mod norm;
mod parts;
mod solve;
mod spectral;

pub(crate) use composed::assumed;

use super::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, default_float,
    promote_operands, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Shape, Type, broadcast_dims};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Cholesky,
    Solve,
    SolveTriangular,
    Inv,
    Det,
    Adjugate,
    SlogDet,
    Lu,
    Qr,
    Svd,
    Eigh,
    Eig,
    Schur,
    Qz,
    OrdQz,
    Pinv,
    Expm,
}
use Rule::*;

struct Linalg {
    rule: Rule,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let square = || Param::operand("a", "square matrices");
    let right = || Param::operand("b", "the right sides: columns of matrices, or one vector");
    let flag = |name, doc| Param::attribute(name, AttributeKind::Bool, Some(false.into()), doc);
    let mut add = |rule, name, params, doc| registry.add(Linalg { rule, name, params, doc });
    add(Cholesky, "cholesky", vec![square(), Param::attribute("on_error", AttributeKind::Str, Some("raise".into()),
            "of a matrix that is not positive definite: \"raise\", the call fails, or \"nan\", its factor is NaN and the others go on")],
        "The lower triangular L with `L L' = a`, of symmetric positive definite matrices. Only the lower triangle of \
         `a` is read; the gradient is the symmetric one (Murray 2016), half of it in each triangle. The upper \
         factor is the transposed one.\n\n    cholesky(k + 0.1 * eye(3))\n    cholesky(ks, on_error=\"nan\")");
    add(Solve, "solve",
        vec![square(), right(), Param::attribute("assume_a", AttributeKind::Str, Some("gen".into()),
            "\"gen\": any matrix; \"sym\" and \"pos\": a symmetric (positive definite) one, of which the lower triangle is read")],
        "The x with `a @ x = b`; only where `b` has one axis it is a vector, else a stack of matrices. A singular \
         matrix, or with `assume_a=\"pos\"` one that is not positive definite, is an error of the call. Gradients as \
         Giles (2008); those of symmetric matrices are symmetric.\n\n    solve(a, b)\n    solve(k, y, assume_a=\"pos\")");
    add(SolveTriangular, "solve_triangular",
        vec![square(), right(),
            Param::attribute("trans", AttributeKind::Int, Some(Attribute::Int(0)), "0 solves `a @ x = b`; 1 and 2 `transpose(a) @ x = b`"),
            flag("lower", "whether the lower triangle is read, rather than the upper"),
            flag("unit_diagonal", "whether the diagonal is taken to be 1 and not read")],
        "The x with `a @ x = b` for triangular `a`; the other triangle is not read, and has no gradient. Only where `b` \
         has one axis it is a vector. A 0 on the diagonal is an error of the call.\n\n    solve_triangular(l, b, lower=true)");
    add(Inv, "inv", vec![square()],
        "The inverse. A singular matrix is an error of the call. `solve` is faster and more exact than a product with \
         the inverse.\n\n    inv(a)");
    add(Det, "det", vec![square()],
        "The determinant; 1 of a matrix without rows. The gradient is the transposed adjugate, right for singular \
         matrices too; the second derivatives need an inverse.\n\n    det(a)");
    add(Adjugate, "adjugate", vec![square()],
        "The transposed matrix of cofactors: `a @ adjugate(a)` is `det(a)` times the identity, also for singular \
         matrices. Its gradient needs an inverse.\n\n    adjugate(a)");
    add(SlogDet, "slogdet", vec![square()],
        "Sign of the determinant and logarithm of its magnitude, which do not overflow; of a singular matrix 0 and \
         -inf. The gradient, the transposed inverse, is an error where the matrix is singular.\n\n    sign, logdet = slogdet(a)");
    let any = || Param::operand("a", "matrices");
    add(Lu, "lu", vec![any()],
        "The factors of `a = p @ l @ u`: exchanged rows, a lower triangle with ones on its diagonal, an upper triangle. \
         With k the smaller of rows m and columns n they are m by m, m by k, k by n. Each pivot is the largest of its \
         column. The gradient needs the first k pivots to be other than 0.\n\n    p, l, u = lu(a)");
    add(Qr, "qr", vec![any(), Param::attribute("mode", AttributeKind::Str, Some("reduced".into()),
            "\"reduced\": `q` has as many columns as the smaller length; \"complete\": as rows; \"r\": only `r`")],
        "The factors of `a = q @ r`: orthonormal columns and an upper triangle, whose diagonal may be negative. Gradients \
         as Walter and Lehmann (2010), of the complete form only where it is the reduced one; the leading square part \
         must be regular for them.\n\n    q, r = qr(a)");
    add(Svd, "svd", vec![any(),
            Param::attribute("full_matrices", AttributeKind::Bool, Some(true.into()), "whether `u` and `vt` are square"),
            Param::attribute("compute_uv", AttributeKind::Bool, Some(true.into()), "whether `u` and `vt` are given too")],
        "The factors of `a = u * s @ vt`: orthonormal columns, singular values in descending order, orthonormal rows. \
         Gradients as Townsend (2016). Those of `u` and `vt` need `full_matrices=false` or square matrices, and \
         singular values that differ (and, of matrices that are not square, are not 0): where they do not, the vectors \
         are not determined and the gradient is not finite; that of `s` alone needs neither. The signs of the vectors \
         are not determined either: a cost should not depend on them.\n\n    u, s, vt = svd(a, full_matrices=false)");
    add(Eigh, "eigh", vec![Param::operand("a", "symmetric matrices"), Param::attribute("UPLO", AttributeKind::Str,
            Some("L".into()), "which triangle is read: \"L\", the lower, or \"U\"")],
        "Eigenvalues of symmetric matrices, in ascending order, and eigenvectors, the columns of `v`. The gradient, as \
         Giles (2008), is symmetric. That of the vectors needs eigenvalues that differ: where they do not, the vectors \
         are not determined and it is not finite; that of the values alone does not. The signs of the vectors are not \
         determined: a cost should not depend on them.\n\n    w, v = eigh(a)");
    add(Eig, "eig", vec![square()],
        "Eigenvalues and eigenvectors of matrices of any kind. They are complex: `w[..., i]` is a pair of real and imaginary \
         part, and `v[..., :, i, :]` the vector of the i-th, of length 1, its largest element real. Their order is that of \
         the factorization, conjugates side by side. The gradient, as Boeddeker et al. (2017), needs eigenvalues that differ \
         for the vectors and a matrix that has a basis of them for both; a cost should not depend on the phases of the \
         vectors.\n\n    w, v = eig(a)");
    add(Schur, "schur", vec![square()],
        "The real Schur form: `a = z @ t @ transpose(z)` with orthogonal z and t of a triangle above 1 by 1 blocks, the real \
         eigenvalues, and 2 by 2 blocks `[[a, b], [c, a]]`, the pairs of complex ones. It has no gradient: `eig` has.\
         \n\n    t, z = schur(a)");
    add(Qz, "qz", vec![square(), Param::operand("b", "square matrices as large")],
        "The generalized real Schur form: `a = q @ aa @ transpose(z)` and `b = q @ bb @ transpose(z)` with orthogonal q and z, \
         aa of a triangle above 1 by 1 and 2 by 2 blocks, bb of a triangle whose diagonal is not negative. The order of the \
         eigenvalues is that of the factorization. It has no gradient.\n\n    aa, bb, q, z = qz(a, b)");
    add(OrdQz, "ordqz", vec![square(), Param::operand("b", "square matrices as large"),
            Param::attribute("sort", AttributeKind::Str, Some("lhp".into()), "which eigenvalues come first: \"lhp\" and \"rhp\", those in the \
             left and right half plane; \"iuc\" and \"ouc\", those inside and outside of the unit circle")],
        "The generalized real Schur form of `qz` with the wanted eigenvalues first, as SciPy's: the first columns of z then \
         span the space that belongs to them. The eigenvalues are `alpha / beta`, in the order of the diagonal; `alpha[..., i, :]` \
         is a pair of real and imaginary part, and of a complex pair both are those of the complex triangle that the block turns to \
         (SciPy scales them otherwise). An infinite eigenvalue, of which beta is 0, is outside of the circle and in neither \
         half plane. Blocks change places as Kågström (1993); where eigenvalues are too close for it that is an error of the call. \
         It has no gradient.\n\n    aa, bb, alpha, beta, q, z = ordqz(a, b, sort=\"iuc\")");
    add(Pinv, "pinv", vec![any(), Param::attribute("rcond", AttributeKind::Float, Some(Attribute::None),
            "singular values up to this part of the largest count as 0; the larger length times the dtype's epsilon if none")],
        "The Moore-Penrose inverse. Its gradient, as Golub and Pereyra (1973), is that of constant rank.\n\n    pinv(a)");
    add(Expm, "expm", vec![square()],
        "The matrix exponential, by scaling and squaring (Higham 2005); its gradient as Al-Mohy and Higham (2009).\n\n    expm(a)");
    composed::register(registry);
    norm::register(registry);
    equations::register(registry);
    factored::register(registry);
}

/// `transpose(x) @ y`.
fn transposed_product(x: &Var, y: &Var) -> Var {
    x.swap_last().matmul(y)
}

/// The smaller of two lengths.
fn smaller(m: &Dim, n: &Dim) -> Dim {
    match (m, n) {
        (Dim::Known(m), Dim::Known(n)) => Dim::Known(*m.min(n)),
        _ if m.same(n) => m.clone(),
        _ => Dim::Unknown,
    }
}

fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// The axes before the last two, rows and columns.
fn matrix<'a>(what: &str, dims: &'a [Dim]) -> Result<(&'a [Dim], &'a Dim, &'a Dim)> {
    match dims {
        [batch @ .., rows, columns] => Ok((batch, rows, columns)),
        _ => type_error(format!("{what} needs two axes or more, rows and columns, not {}", dims.len())),
    }
}

/// The axes before the last two, and the length of both of these.
fn square<'a>(what: &str, dims: &'a [Dim]) -> Result<(&'a [Dim], Dim)> {
    let (batch, rows, columns) = matrix(what, dims)?;
    if !rows.compatible(columns) {
        return type_error(format!("{what} must be square, not of {rows} rows and {columns} columns"));
    }
    Ok((batch, super::sizes::meet(rows, columns)))
}

fn joined(batch: &[Dim], last: &[Dim]) -> Vec<Dim> {
    [batch, last].concat()
}

/// The dtype of the results: a float.
fn float_dtype<'a>(types: impl IntoIterator<Item = &'a Type>) -> (DType, bool) {
    match promote_operands(types) {
        (dtype, weak) if dtype.is_float() => (dtype, weak),
        (_, true) => (DType::F64, true),
        (_, false) => (default_float(), false),
    }
}

impl Linalg {
    /// The dims of the results of a matrix of any lengths.
    fn rectangular(&self, (batch, m, n): (&[Dim], &Dim, &Dim), attributes: &Attributes) -> Result<Vec<Vec<Dim>>> {
        let k = smaller(m, n);
        let of = |rows: &Dim, columns: &Dim| joined(batch, &[rows.clone(), columns.clone()]);
        Ok(match self.rule {
            Lu => vec![of(m, m), of(m, &k), of(&k, n)],
            Qr => match attributes.str("mode")? {
                "reduced" => vec![of(m, &k), of(&k, n)],
                "complete" => vec![of(m, m), of(m, n)],
                "r" => vec![of(&k, n)],
                _ => return type_error("`mode` is \"reduced\", \"complete\" or \"r\""),
            },
            Svd => {
                let values = joined(batch, &[k.clone()]);
                match (attributes.bool("compute_uv")?, attributes.bool("full_matrices")?) {
                    (false, _) => vec![values],
                    (true, true) => vec![of(m, m), values, of(n, n)],
                    (true, false) => vec![of(m, &k), values, of(&k, n)],
                }
            }
            _ => vec![of(n, m)],
        })
    }

    /// The dims of the results.
    fn dims(&self, operands: &[&[Dim]], attributes: &Attributes) -> Result<Vec<Vec<Dim>>> {
        let Some(a) = operands.first() else { return type_error("operand 0 is missing") };
        if matches!(self.rule, Lu | Qr | Svd | Pinv) {
            return self.rectangular(matrix("`a`", a)?, attributes);
        }
        let (batch, n) = square("`a`", a)?;
        Ok(match self.rule {
            Cholesky if !matches!(attributes.str("on_error")?, "raise" | "nan") => return type_error("`on_error` is \"raise\" or \"nan\""),
            Cholesky | Inv | Adjugate | Expm => vec![joined(batch, &[n.clone(), n])],
            Det => vec![batch.to_vec()],
            Eigh if !matches!(attributes.str("UPLO")?, "L" | "U") => return type_error("`UPLO` is \"L\" or \"U\""),
            Eigh => vec![joined(batch, &[n.clone()]), joined(batch, &[n.clone(), n])],
            Eig => {
                let two = Dim::Known(2);
                vec![joined(batch, &[n.clone(), two.clone()]), joined(batch, &[n.clone(), n, two])]
            }
            Schur => vec![joined(batch, &[n.clone(), n]); 2],
            OrdQz if !matches!(attributes.str("sort")?, "lhp" | "rhp" | "iuc" | "ouc") => {
                return type_error("`sort` is \"lhp\", \"rhp\", \"iuc\" or \"ouc\"");
            }
            Qz | OrdQz => {
                let Some(b) = operands.get(1) else { return type_error("operand 1 is missing") };
                let (lead, rows) = square("`b`", b)?;
                if !rows.compatible(&n) {
                    return type_error(format!("`b` has {rows} rows where `a` has {n}"));
                }
                let n = super::sizes::meet(&n, &rows);
                let batch = broadcast_dims(batch, lead)?;
                let (matrices, values) = (joined(&batch, &[n.clone(), n.clone()]), joined(&batch, &[n.clone()]));
                let pairs = joined(&batch, &[n, Dim::Known(2)]);
                match self.rule {
                    Qz => vec![matrices; 4],
                    _ => vec![matrices.clone(), matrices.clone(), pairs, values, matrices.clone(), matrices],
                }
            }
            Lu | Qr | Svd | Pinv => Vec::new(),
            SlogDet => vec![batch.to_vec(), batch.to_vec()],
            Solve | SolveTriangular => {
                let Some(b) = operands.get(1) else { return type_error("operand 1 is missing") };
                if self.rule == SolveTriangular && !matches!(attributes.int("trans")?, 0..=2) {
                    return type_error("`trans` is 0, 1 or 2");
                }
                if self.rule == Solve && !matches!(attributes.str("assume_a")?, "gen" | "sym" | "pos") {
                    return type_error("`assume_a` is \"gen\", \"sym\" or \"pos\"");
                }
                vec![solution(batch, &n, b)?]
            }
        })
    }
}

/// The dims of what solves equations of `n` rows for right sides `b`: columns of matrices, or one vector.
fn solution(batch: &[Dim], n: &Dim, b: &[Dim]) -> Result<Vec<Dim>> {
    let rows = match b {
        [] => return type_error("`b` needs an axis"),
        [rows] | [.., rows, _] => rows,
    };
    if !rows.compatible(n) {
        return type_error(format!("`b` has {rows} rows where `a` has {n}"));
    }
    let n = super::sizes::meet(n, rows);
    Ok(match b {
        [lead @ .., _, columns] => joined(&broadcast_dims(batch, lead)?, &[n, columns.clone()]),
        _ => joined(batch, &[n]),
    })
}

/// Shapes by a rule for dims.
fn shapes_of(dims: impl Fn(&[&[Dim]]) -> Result<Vec<Vec<Dim>>>, name: &str, operands: &[ShapeOperand<'_>]) -> Result<Vec<Shape>> {
    let known: Vec<Vec<Dim>> =
        operands.iter().map(|operand| operand.shape.iter().map(|&length| Dim::Known(length)).collect()).collect();
    let seen: Vec<&[Dim]> = known.iter().map(Vec::as_slice).collect();
    let results = dims(&seen).map_err(|error| {
        let shapes: Vec<String> = operands.iter().map(|operand| format!("{:?}", operand.shape)).collect();
        Error::new(ErrorKind::Runtime, format!("`{name}` of shapes {}: {}", shapes.join(", "), error.message()))
    })?;
    let shape = |dims: &Vec<Dim>| dims.iter().map(Dim::known).collect::<Option<Shape>>();
    let unknown = || Error::new(ErrorKind::Internal, format!("a shape of `{name}` is not known"));
    results.iter().map(|dims| shape(dims).ok_or_else(unknown)).collect()
}

impl Op for Linalg {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, true)
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let seen: Vec<&[Dim]> = operands.iter().map(|operand| operand.ty.dims.as_slice()).collect();
        let (dtype, weak) = float_dtype(operands.iter().map(|operand| operand.ty));
        let results = self.dims(&seen, attributes)?.into_iter();
        Ok(results.map(|dims| Type { dtype, weak, dims }.into()).collect())
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        shapes_of(|dims| self.dims(dims, attributes), self.name, operands)
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        match self.rule {
            Cholesky => solve::cholesky_vjp(context),
            Solve | SolveTriangular => solve::solve_vjp(self.name, context),
            Inv => solve::inv_vjp(context),
            Det => solve::det_vjp(context),
            Adjugate => solve::adjugate_vjp(context),
            SlogDet => solve::slogdet_vjp(context),
            Lu => factors::lu_vjp(context),
            Qr => factors::qr_vjp(context),
            Svd => spectral::svd_vjp(context),
            Eigh => spectral::eigh_vjp(context),
            Eig => general::eig_vjp(context),
            Schur | Qz | OrdQz => general::none(self.name, "`eig` has one, of eigenvalues and eigenvectors"),
            Pinv => spectral::pinv_vjp(context),
            Expm => factors::expm_vjp(context),
        }
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        match self.rule {
            Cholesky => solve::cholesky_jvp(context),
            Solve | SolveTriangular => solve::solve_jvp(self.name, context),
            Inv => solve::inv_jvp(context),
            Det => solve::det_jvp(context),
            Adjugate => solve::adjugate_jvp(context),
            SlogDet => solve::slogdet_jvp(context),
            Lu => factors::lu_jvp(context),
            Qr => factors::qr_jvp(context),
            Svd => spectral::svd_jvp(context),
            Eigh => spectral::eigh_jvp(context),
            Eig => general::eig_jvp(context),
            Schur | Qz | OrdQz => general::none(self.name, "`eig` has one, of eigenvalues and eigenvectors"),
            Pinv => spectral::pinv_jvp(context),
            Expm => factors::expm_jvp(context),
        }
    }

    fn can_fail(&self) -> bool {
        // At least where shapes are known only at the call.
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let apply = |operands: &[Var]| Var::apply(self.name, operands, context.attributes.clone()).siblings();
        if !matches!(self.rule, Solve | SolveTriangular | Qz | OrdQz) {
            return Ok(Batched::Rows(apply(context.operands)));
        }
        let (rank_a, rank_b) = (context.rank(0)?, context.rank(1)?);
        if rank_b == 1 && context.is_batched(1) {
            // Vectors as matrices of one column.
            let columns = context.aligned(1, rank_a - 1)?.expand_dims(-1);
            let a = context.aligned(0, rank_a)?;
            return Ok(Batched::Rows(apply(&[a, columns]).into_iter().map(|x| x.squeeze(-1)).collect()));
        }
        let rank = if rank_b == 1 { rank_a } else { rank_a.max(rank_b) };
        Ok(Batched::Rows(apply(&[context.aligned(0, rank)?, context.aligned(1, rank)?])))
    }
}

impl Var {
    /// The Cholesky factor of symmetric positive definite matrices.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let k = Var::input("k", Type::new(DType::F64, ["b".into(), 4.into(), 4.into()]));
    /// assert_eq!(k.cholesky().ty().unwrap().to_string(), "f64[b, 4, 4]");
    /// ```
    #[track_caller]
    pub fn cholesky(&self) -> Var {
        Var::apply("cholesky", std::slice::from_ref(self), Attributes::new())
    }

    /// The solution of equations with this matrix on the left and `b` on the right.
    #[track_caller]
    pub fn solve(&self, b: &Var) -> Var {
        Var::apply("solve", &[self.clone(), b.clone()], Attributes::new())
    }

    /// The solution of equations with this triangular matrix on the left and `b` on the right.
    #[track_caller]
    pub fn solve_triangular(&self, b: &Var, lower: bool) -> Var {
        Var::apply("solve_triangular", &[self.clone(), b.clone()], Attributes::new().with("lower", lower))
    }

    /// The inverse of square matrices.
    #[track_caller]
    pub fn inv(&self) -> Var {
        Var::apply("inv", std::slice::from_ref(self), Attributes::new())
    }

    /// The determinant of square matrices.
    #[track_caller]
    pub fn det(&self) -> Var {
        Var::apply("det", std::slice::from_ref(self), Attributes::new())
    }

    /// Sign of the determinant, and logarithm of its magnitude.
    #[track_caller]
    pub fn slogdet(&self) -> (Var, Var) {
        let sign = Var::apply("slogdet", std::slice::from_ref(self), Attributes::new());
        let logdet = sign.sibling(1);
        (sign, logdet)
    }
}
