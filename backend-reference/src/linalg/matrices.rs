//! Stacks of matrices, as plain lists in row-major order.

use arignote_core::Result;
use arignote_core::error::Error;
use arignote_core::tensor::{Tensor, broadcast_shapes};

use crate::values::{broadcast_offsets, fail, floats};

/// A matrix.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f64>,
}

impl Matrix {
    pub fn zeros(rows: usize, columns: usize) -> Matrix {
        Matrix { rows, columns, values: vec![0.0; rows * columns] }
    }

    pub fn identity(n: usize) -> Matrix {
        let mut one = Matrix::zeros(n, n);
        (0..n).for_each(|i| *one.at_mut(i, i) = 1.0);
        one
    }

    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    pub fn at_mut(&mut self, row: usize, column: usize) -> &mut f64 {
        &mut self.values[row * self.columns + column]
    }

    /// The rows in another order: row i is row `order[i]` of this.
    pub fn permuted(&self, order: &[usize]) -> Matrix {
        let row = |&row: &usize| self.values[row * self.columns..(row + 1) * self.columns].iter().copied();
        Matrix { values: order.iter().flat_map(row).collect(), ..*self }
    }

    /// The symmetric matrix with this lower triangle.
    pub fn mirrored(&self) -> Matrix {
        let mut whole = self.clone();
        for row in 0..self.rows {
            for column in row + 1..self.columns {
                *whole.at_mut(row, column) = self.at(column, row);
            }
        }
        whole
    }

    /// Whether the lower triangle is finite.
    pub fn is_finite_below(&self) -> bool {
        (0..self.rows).all(|row| (0..=row).all(|column| self.at(row, column).is_finite()))
    }

    pub fn transposed(&self) -> Matrix {
        let places = (0..self.rows * self.columns).map(|at| (at % self.rows) * self.columns + at / self.rows);
        Matrix { rows: self.columns, columns: self.rows, values: places.map(|at| self.values[at]).collect() }
    }

    pub fn scaled(&self, by: f64) -> Matrix {
        Matrix { values: self.values.iter().map(|value| value * by).collect(), ..*self }
    }

    pub fn plus(&self, other: &Matrix) -> Matrix {
        Matrix { values: self.values.iter().zip(&other.values).map(|(x, y)| x + y).collect(), ..*self }
    }

    pub fn times(&self, other: &Matrix) -> Matrix {
        let mut product = Matrix::zeros(self.rows, other.columns);
        for i in 0..self.rows {
            for k in 0..self.columns {
                for j in 0..other.columns {
                    *product.at_mut(i, j) += self.at(i, k) * other.at(k, j);
                }
            }
        }
        product
    }

    /// The first rows.
    pub fn top(mut self, rows: usize) -> Matrix {
        self.values.truncate(rows * self.columns);
        Matrix { rows, ..self }
    }
}

/// The matrices of a tensor.
pub struct Stack {
    pub batch: Vec<usize>,
    pub rows: usize,
    pub columns: usize,
    values: Vec<f64>,
}

impl Stack {
    /// The last two axes as matrices.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn of(x: &Tensor) -> Result<Stack> {
        let [batch @ .., rows, columns] = x.shape() else {
            return Err(fail(format!("matrices have two axes or more, not {}", x.rank())));
        };
        Ok(Stack { batch: batch.to_vec(), rows: *rows, columns: *columns, values: floats(x) })
    }

    /// A vector as a column.
    pub fn column(x: &Tensor) -> Stack {
        Stack { batch: Vec::new(), rows: x.len(), columns: 1, values: floats(x) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.batch.iter().product()
    }

    /// The matrix with a number.
    pub fn matrix(&self, number: usize) -> Matrix {
        let size = self.rows * self.columns;
        let values = self.values[number * size..(number + 1) * size].to_vec();
        Matrix { rows: self.rows, columns: self.columns, values }
    }
}

/// Two stacks broadcast together: their shape, and for every place of it the number of the matrix in each.
pub type Paired = (Vec<usize>, Vec<(usize, usize)>);

/// Pairs the matrices of two stacks.
///
/// # Errors
/// If they do not broadcast.
pub fn pairs(a: &Stack, b: &Stack) -> Result<Paired> {
    let batch = broadcast_shapes(&a.batch, &b.batch)?;
    let (first, second) = (broadcast_offsets(&a.batch, &batch)?, broadcast_offsets(&b.batch, &batch)?);
    Ok((batch.to_vec(), first.into_iter().zip(second).collect()))
}

/// An error that says what a matrix is, with the matrix's place in its stack.
pub fn named(error: &Error, batch: &[usize], number: usize) -> Error {
    let mut rest = number;
    let mut place = vec![0; batch.len()];
    for (axis, &length) in batch.iter().enumerate().rev() {
        place[axis] = rest % length;
        rest /= length;
    }
    let which = if batch.is_empty() { String::new() } else { format!(" {place:?} of the stack") };
    let message = format!("the matrix{which} {}", error.message());
    error.notes().iter().fold(Error::new(error.kind(), message), |error, note| error.note(note.clone()))
}
