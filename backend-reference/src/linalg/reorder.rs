//! Generalized Schur forms whose eigenvalues stand in another order: neighbouring blocks change places by turns from
//! both sides (Kågström, A direct method for reordering eigenvalues in the generalized real Schur form of a regular
//! matrix pair (A, B), 1993), as LAPACK's `dtgsen` does it. `faer` has the form, but no order of it.

use arignote_core::Result;

use super::direct::{by_factors, lu};
use super::general::qz;
use super::matrices::Matrix;
use super::spectral::qr;
use crate::values::fail;

/// Which eigenvalues come first, as SciPy names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    LeftHalfPlane,
    RightHalfPlane,
    InsideUnitCircle,
    OutsideUnitCircle,
}

impl Wanted {
    /// By the name that SciPy gives it.
    pub fn named(name: &str) -> Option<Wanted> {
        Some(match name {
            "lhp" => Wanted::LeftHalfPlane,
            "rhp" => Wanted::RightHalfPlane,
            "iuc" => Wanted::InsideUnitCircle,
            "ouc" => Wanted::OutsideUnitCircle,
            _ => return None,
        })
    }

    /// Whether the eigenvalue `alpha / beta` is one of them. An infinite one lies outside of the circle and in neither
    /// half plane; one of 0 and 0 is none of them.
    fn has(self, Eigenvalue { alpha: [re, im], beta }: Eigenvalue) -> bool {
        if beta == 0.0 {
            return self == Wanted::OutsideUnitCircle && (re != 0.0 || im != 0.0);
        }
        match self {
            Wanted::LeftHalfPlane => re / beta < 0.0,
            Wanted::RightHalfPlane => re / beta > 0.0,
            Wanted::InsideUnitCircle => libm::hypot(re, im) < beta.abs(),
            Wanted::OutsideUnitCircle => libm::hypot(re, im) > beta.abs(),
        }
    }
}

/// `alpha / beta`; `alpha` is a pair of real and imaginary part.
#[derive(Clone, Copy, Debug)]
struct Eigenvalue {
    alpha: [f64; 2],
    beta: f64,
}

/// The form `a = q s z'`, `b = q t z'`.
struct Form {
    s: Matrix,
    t: Matrix,
    q: Matrix,
    z: Matrix,
}

/// The generalized Schur form in which the wanted eigenvalues come first, in the order that they had, as
/// `[aa, bb, alpha, beta, q, z]` in row-major order.
///
/// # Errors
/// If an element is not finite, or eigenvalues that should change places are too close to.
pub fn ordered_qz(a: &Matrix, b: &Matrix, wanted: Wanted) -> Result<[Vec<f64>; 6]> {
    let n = a.rows;
    let [s, t, q, z] = qz(a, b)?;
    let mut form = Form { s, t, q, z };
    form.part_real_pairs();
    let mut placed = 0;
    let mut at = 0;
    while at < n {
        let size = form.block(at);
        if wanted.has(form.eigenvalues(at, size)[0]) {
            // Past one block after the other, from the last that is not wanted on.
            let mut here = at;
            while here > placed {
                let before = if here >= 2 && form.s.at(here - 1, here - 2) != 0.0 { 2 } else { 1 };
                form.exchange(here - before, before, size)?;
                here -= before;
            }
            placed += size;
        }
        at += size;
    }
    form.make_positive();
    let (mut alpha, mut beta) = (Vec::with_capacity(2 * n), Vec::with_capacity(n));
    let mut at = 0;
    while at < n {
        let size = form.block(at);
        for value in &form.eigenvalues(at, size)[..size] {
            alpha.extend(value.alpha);
            beta.push(value.beta);
        }
        at += size;
    }
    Ok([form.s.values, form.t.values, alpha, beta, form.q.values, form.z.values])
}

impl Form {
    /// The size of the block that begins at a place.
    fn block(&self, at: usize) -> usize {
        if at + 1 < self.s.rows && self.s.at(at + 1, at) != 0.0 { 2 } else { 1 }
    }

    /// `s - x t` of a block of two, for a real `x` and the rest of a complex one: real and imaginary parts.
    fn shifted(&self, at: usize, [re, im]: [f64; 2]) -> [[[f64; 2]; 2]; 2] {
        let of = |i: usize, j: usize| {
            let (s, t) = (self.s.at(at + i, at + j), self.t.at(at + i, at + j));
            [s - re * t, -im * t]
        };
        [[of(0, 0), of(0, 1)], [of(1, 0), of(1, 1)]]
    }

    /// The eigenvalues of a block; of one of a single row only the first is one. Of a pair they are those of the
    /// complex triangle to which the block turns, the one with positive imaginary part first.
    fn eigenvalues(&self, at: usize, size: usize) -> [Eigenvalue; 2] {
        if size == 1 {
            return [Eigenvalue { alpha: [self.s.at(at, at), 0.0], beta: self.t.at(at, at) }; 2];
        }
        let (mean, squared) = self.spread(at);
        let im = (-squared).max(0.0).sqrt();
        let [row, other] = self.shifted(at, [mean, im]);
        let size_of = |row: [[f64; 2]; 2]| row.iter().flatten().fold(0.0, |size: f64, part| libm::hypot(size, *part));
        // The vector that the larger row takes to 0.
        let row = if size_of(row) >= size_of(other) { row } else { other };
        let length = size_of(row);
        let vector = [row[1].map(|part| -part / length), row[0].map(|part| part / length)];
        let image = |i: usize, part: usize| (0..2).map(|j| self.t.at(at + i, at + j) * vector[j][part]).sum::<f64>();
        let beta = [image(0, 0), image(0, 1), image(1, 0), image(1, 1)].into_iter().fold(0.0, libm::hypot);
        let second = self.t.at(at, at) * self.t.at(at + 1, at + 1) / beta;
        [
            Eigenvalue { alpha: [mean * beta, im * beta], beta },
            Eigenvalue { alpha: [mean * second, -im * second], beta: second },
        ]
    }

    /// Mean of the two eigenvalues of a block, and the square of half their distance: negative of a complex pair.
    fn spread(&self, at: usize) -> (f64, f64) {
        let (s, t) = (|i, j| self.s.at(at + i, at + j), |i, j| self.t.at(at + i, at + j));
        // Of `s t^-1`.
        let (m11, m21) = (s(0, 0) / t(0, 0), s(1, 0) / t(0, 0));
        let (m12, m22) = ((s(0, 1) - m11 * t(0, 1)) / t(1, 1), (s(1, 1) - m21 * t(0, 1)) / t(1, 1));
        let half = 0.5 * (m11 - m22);
        (0.5 * (m11 + m22), half * half + m12 * m21)
    }

    /// Turns blocks of two whose eigenvalues are real to triangles.
    fn part_real_pairs(&mut self) {
        for at in 0..self.s.rows.saturating_sub(1) {
            if self.s.at(at + 1, at) == 0.0 {
                continue;
            }
            let (mean, squared) = self.spread(at);
            if squared.is_nan() || squared < 0.0 {
                continue;
            }
            let [row, other] = self.shifted(at, [mean + squared.sqrt(), 0.0]).map(|row| row.map(|[re, _]| re));
            let size = |row: [f64; 2]| libm::hypot(row[0], row[1]);
            let row = if size(row) >= size(other) { row } else { other };
            let right = rotation([-row[1], row[0]]);
            self.turn_columns(at, &right);
            let image = [self.t.at(at, at), self.t.at(at + 1, at)];
            let image = if size(image) > 0.0 { image } else { [self.s.at(at, at), self.s.at(at + 1, at)] };
            self.turn_rows(at, &rotation(image));
            *self.s.at_mut(at + 1, at) = 0.0;
            *self.t.at_mut(at + 1, at) = 0.0;
        }
    }

    /// Rows from a place on, by the transposed matrix from the left.
    fn turn_rows(&mut self, at: usize, by: &Matrix) {
        for x in [&mut self.s, &mut self.t] {
            for column in 0..x.columns {
                let old: Vec<f64> = (0..by.rows).map(|i| x.at(at + i, column)).collect();
                for i in 0..by.rows {
                    *x.at_mut(at + i, column) = (0..by.rows).map(|k| by.at(k, i) * old[k]).sum();
                }
            }
        }
        turn(&mut self.q, at, by);
    }

    /// Columns from a place on, by a matrix from the right.
    fn turn_columns(&mut self, at: usize, by: &Matrix) {
        for x in [&mut self.s, &mut self.t, &mut self.z] {
            turn(x, at, by);
        }
    }

    /// Exchanges two blocks, of `first` and `second` rows, of which the first begins at a place.
    ///
    /// With r and l such that `s11 r - l s22 = s12` and `t11 r - l t22 = t12`, the pair takes the columns of
    /// `[-r; 1]` to the space of `[-l; 1]`, with the eigenvalues of the second block.
    fn exchange(&mut self, at: usize, first: usize, second: usize) -> Result<()> {
        let all = first + second;
        let count = first * second;
        let place = |i: usize, j: usize| i * second + j;
        let mut equations = Matrix::zeros(2 * count, 2 * count);
        let mut right = Matrix::zeros(2 * count, 1);
        for (half, x) in [&self.s, &self.t].into_iter().enumerate() {
            for i in 0..first {
                for j in 0..second {
                    let row = half * count + place(i, j);
                    (0..first).for_each(|k| *equations.at_mut(row, place(k, j)) += x.at(at + i, at + k));
                    (0..second).for_each(|k| *equations.at_mut(row, count + place(i, k)) -= x.at(at + first + k, at + first + j));
                    *right.at_mut(row, 0) = x.at(at + i, at + first + j);
                }
            }
        }
        let close = || fail("has eigenvalues that are too close to change places").note("any order of them is as good; `qz` gives one");
        let factors = lu(&equations);
        let found = by_factors(&factors, &right).map_err(|_| close())?;
        if found.values.iter().any(|value| !value.is_finite()) {
            return Err(close());
        }
        let basis = |from: usize| {
            let mut basis = Matrix::zeros(all, second);
            for j in 0..second {
                (0..first).for_each(|i| *basis.at_mut(i, j) = -found.at(from + place(i, j), 0));
                *basis.at_mut(first + j, j) = 1.0;
            }
            qr(&basis, all).0
        };
        let (columns, rows) = (basis(0), basis(count));
        self.turn_columns(at, &columns);
        self.turn_rows(at, &rows);
        // What is 0 but for rounding.
        for x in [&mut self.s, &mut self.t] {
            let mut sizes = [0.0f64; 2];
            for i in 0..all {
                for j in 0..all {
                    let value = x.at_mut(at + i, at + j);
                    let below = i >= second && j < second;
                    sizes[usize::from(below)] = libm::hypot(sizes[usize::from(below)], *value);
                    if below {
                        *value = 0.0;
                    }
                }
            }
            if sizes[1] > 100.0 * f64::EPSILON * sizes[0] {
                return Err(close());
            }
        }
        for (from, size) in [(at, second), (at + second, first)] {
            if size == 2 {
                let by = rotation([self.t.at(from, from), self.t.at(from + 1, from)]);
                self.turn_rows(from, &by);
                *self.t.at_mut(from + 1, from) = 0.0;
            }
        }
        Ok(())
    }

    /// Turns columns around where the diagonal of `t` is negative.
    fn make_positive(&mut self) {
        for at in 0..self.t.rows {
            if self.t.at(at, at) < 0.0 {
                for x in [&mut self.s, &mut self.t, &mut self.z] {
                    (0..x.rows).for_each(|i| *x.at_mut(i, at) = -x.at(i, at));
                }
            }
        }
    }
}

/// The turn whose first column has the direction of a vector.
fn rotation([x, y]: [f64; 2]) -> Matrix {
    let length = libm::hypot(x, y);
    let [x, y] = if length > 0.0 { [x / length, y / length] } else { [1.0, 0.0] };
    Matrix { rows: 2, columns: 2, values: vec![x, -y, y, x] }
}

/// Columns from a place on, by a matrix from the right.
fn turn(x: &mut Matrix, at: usize, by: &Matrix) {
    for row in 0..x.rows {
        let old: Vec<f64> = (0..by.rows).map(|k| x.at(row, at + k)).collect();
        for j in 0..by.rows {
            *x.at_mut(row, at + j) = (0..by.rows).map(|k| old[k] * by.at(k, j)).sum();
        }
    }
}
