//! `logsumexp`: the largest element is taken out first, so nothing overflows, and where the result is so small beside it
//! that too few digits are left, the sum is taken with twice the digits.

use arignote_core::Result;
use arignote_core::special;
use arignote_core::tensor::{DType, Element};

use super::nn::{LONG, exp_of_difference, shifted};
use super::number::Number;
use super::reduce::{Layout, accumulator, arranged, operand_and_axes};
use super::{Call, Context};
use crate::buffer::with_scratch;

/// Elements in a row that are summed at once.
const PART: usize = 65536;
/// Elements that are worth a task.
const TASK: usize = 16384;
/// Columns that are brought into rows at once, of a few cache lines.
const COLUMNS: usize = 64;

/// Elements of scratch memory that a call takes on so many threads.
pub(super) fn scratch(shape: &[usize], axes: &[usize], threads: usize) -> usize {
    let Layout { length, inner, .. } = Layout::of(shape, axes);
    if inner == 1 { 0 } else { threads * COLUMNS * apart(length) }
}

/// From one row of columns that are brought into rows to the next: those that lie apart by a power of two would take each
/// other's place in the cache.
fn apart(length: usize) -> usize {
    length.next_multiple_of(COLUMNS) + COLUMNS
}

/// `logsumexp`
pub fn logsumexp(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    let dtype = accumulator(call.results[0].dtype);
    let context = call.context;
    number_type!(dtype, T => {
        let (x, Layout { length, inner, .. }) = arranged::<T>(context, x, dtype, &axes);
        call.results[0].computed(dtype, |out: &mut [T]| {
            if length == 0 {
                out.fill(T::from_f64(f64::NEG_INFINITY));
            } else if inner == 1 && length > PART {
                long_rows(context, &x, dtype, length, out);
            } else if inner == 1 {
                let size = (TASK / length).max(1);
                context.chunks(out, size, &|chunk, out| {
                    for (out, row) in out.iter_mut().zip(x[chunk * size * length..].chunks(length)) {
                        *out = Part::of(context, row, dtype).log(row, dtype);
                    }
                });
            } else {
                let stride = apart(length);
                let size = (TASK / length).next_multiple_of(COLUMNS).max(COLUMNS);
                context.chunks(out, size, &|chunk, out| with_scratch(COLUMNS * stride, |block: &mut [T]| {
                    for (number, out) in out.chunks_mut(COLUMNS).enumerate() {
                        let first = chunk * size + number * COLUMNS;
                        let starts: Vec<usize> = (first..first + out.len()).map(|at| at / inner * length * inner + at % inner).collect();
                        for k in 0..length {
                            for (i, start) in starts.iter().enumerate() { block[i * stride + k] = x[start + k * inner]; }
                        }
                        for (out, row) in out.iter_mut().zip(block.chunks(stride)) {
                            *out = Part::of(context, &row[..length], dtype).log(&row[..length], dtype);
                        }
                    }
                }));
            }
        });
    });
    Ok(())
}

/// Fixed parts of each row at once, whatever the number of threads.
fn long_rows<T: Number>(context: &Context<'_>, x: &[T], dtype: DType, length: usize, out: &mut [T]) {
    let count = length.div_ceil(PART);
    let mut parts = vec![Part::default(); out.len() * count];
    context.chunks(&mut parts, 1, &|at, part| {
        let row = &x[at / count * length..(at / count + 1) * length];
        let start = at % count * PART;
        part[0] = Part::of(context, &row[start..(start + PART).min(length)], dtype);
    });
    for ((out, parts), row) in out.iter_mut().zip(parts.chunks(count)).zip(x.chunks(length)) {
        *out = Part::joined(parts).log(row, dtype);
    }
}

/// The sum of the exponentials of some elements: `exp(largest) * (1 + others)`.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    largest: f64,
    others: f64,
}

impl Part {
    fn of<T: Number>(context: &Context<'_>, row: &[T], dtype: DType) -> Part {
        if row.len() >= LONG {
            // SAFETY: the row has elements of the dtype.
            let scale = unsafe { context.cache.rows(dtype).scale(row.as_ptr().cast(), row.len(), None) };
            return Part { largest: scale.largest, others: scale.others };
        }
        let (largest, others) = shifted(row.iter().copied());
        Part { largest: largest.to_f64(), others }
    }

    fn joined(parts: &[Part]) -> Part {
        let better = |a: f64, b: f64| b > a || b.is_nan() && !a.is_nan();
        let best = (1..parts.len()).fold(0, |best, at| if better(parts[best].largest, parts[at].largest) { at } else { best });
        let Part { largest, mut others } = parts[best];
        for (_, part) in parts.iter().enumerate().filter(|&(at, part)| at != best && part.largest != f64::NEG_INFINITY) {
            others += (1.0 + part.others) * exp_of_difference(part.largest, largest);
        }
        Part { largest, others }
    }

    /// The logarithm, of the elements of a whole row.
    fn log<T: Number>(self, row: &[T], dtype: DType) -> T {
        let Part { largest, others } = self;
        if largest.is_infinite() {
            return T::from_f64(largest);
        }
        let mut rough = largest + others.ln_1p();
        if dtype == DType::F32 && rough.abs() < 0.5 * largest.abs() {
            rough = largest + shifted(row.iter().copied()).1.ln_1p();
            // Of f32 a sum in f64 has enough, but for the smallest.
            if rough.abs() >= 1e-8 * largest.abs() {
                return T::from_f64(rough);
            }
        }
        T::from_f64(special::log_of_sum(row.iter().map(|x| x.to_f64()), rough, largest))
    }
}
