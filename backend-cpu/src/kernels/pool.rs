//! Poolings and their derivatives, a plane of places at a time.

use arignote_core::tensor::DType;
use arignote_core::{Error, ErrorKind, Result};

use super::Call;
use super::number::Number;
use super::sliding::{Axis, axes};
use crate::buffer::with_scratch;

/// Elements of planes that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// A float that poolings compute in.
trait Float: Number {
    const LOWEST: Self;
}
impl Float for f32 {
    const LOWEST: f32 = f32::NEG_INFINITY;
}
impl Float for f64 {
    const LOWEST: f64 = f64::NEG_INFINITY;
}

/// Windows over planes: how many planes, and the last axes.
struct Geometry {
    planes: usize,
    axes: [Axis; 3],
    /// Of a mean: whether padding counts.
    padded: bool,
    mean: bool,
}

impl Geometry {
    /// Windows along the last `rank` axes that lead from x to y.
    fn of(call: &Call<'_, '_>, rank: usize, x: &[usize], y: &[usize], mean: bool) -> Result<Geometry> {
        if x.len() != y.len() || x.len() < rank || x[..x.len() - rank] != y[..x.len() - rank] {
            return Err(Error::new(ErrorKind::Runtime, format!("windows over {x:?} do not give {y:?}")));
        }
        let first = x.len() - rank;
        let axes = axes(call.attributes, &x[first..], &y[first..], None)?;
        let padded = mean && call.attributes.bool("count_include_pad")?;
        Ok(Geometry { planes: x[..first].iter().product(), axes, padded, mean })
    }

    fn plane(&self) -> usize {
        self.axes.iter().map(|axis| axis.length).product()
    }

    fn places(&self) -> usize {
        self.axes.iter().map(|axis| axis.count).product()
    }

    /// The lines of places along the last axis.
    fn lines(&self) -> Lines {
        let [planes, rows, columns] = &self.axes;
        let mut lines = Lines { stride: columns.stride, width: columns.count, window: planes.window * rows.window * columns.window, lines: Vec::new(), runs: Vec::new() };
        for plane in 0..planes.count {
            for row in 0..rows.count {
                let before = lines.runs.len();
                for a in (0..planes.window).filter_map(|a| planes.place(plane, a)) {
                    for b in (0..rows.window).filter_map(|b| rows.place(row, b)) {
                        for c in 0..columns.window {
                            let (first, last) = columns.inside(c);
                            if first < last {
                                let column = first * columns.stride + c * columns.dilation - columns.padding[0];
                                lines.runs.push((first, last, (a * rows.length + b) * columns.length + column));
                            }
                        }
                    }
                }
                lines.lines.push((before, lines.runs.len()));
            }
        }
        lines
    }

    /// How many elements count in each window along each axis, where not all do.
    fn counts(&self) -> Option<[Vec<usize>; 3]> {
        let count = |axis: &Axis| -> Vec<usize> {
            let counted = |at| if self.padded { axis.counted(at).1 } else { axis.counted(at).0 };
            (0..axis.count).map(counted).collect()
        };
        let counts = [0, 1, 2].map(|at| count(&self.axes[at]));
        self.mean.then_some(counts)
    }
}

/// The windows that have an element in x, from the first to behind the last, and where in a plane of x the first
/// of those has it.
type Run = (usize, usize, usize);

/// The lines of places along the last axis, with a run for each element of their windows.
struct Lines {
    stride: usize,
    /// Places of a line.
    width: usize,
    /// Elements of a window.
    window: usize,
    /// For each line its part of the runs.
    lines: Vec<(usize, usize)>,
    runs: Vec<Run>,
}

impl Lines {
    /// Calls with the first place of each line, and its runs.
    #[inline(always)]
    fn each(&self, mut line: impl FnMut(usize, &[Run])) {
        for (number, &(from, to)) in self.lines.iter().enumerate() {
            line(number * self.width, &self.runs[from..to]);
        }
    }
}

/// The largest element of each window of a line.
#[inline(always)]
fn peaks<T: Float>(x: &[T], runs: &[Run], stride: usize, out: &mut [T]) {
    out.fill(T::LOWEST);
    for &(first, last, from) in runs {
        let values = x[from..].iter().step_by(stride);
        for (peak, &value) in out[first..last].iter_mut().zip(values) {
            *peak = if value > *peak || value.is_nan() { value } else { *peak };
        }
    }
}

/// How many elements of each window equal its peak; padding is the lowest.
fn ties<T: Float>(x: &[T], runs: &[Run], stride: usize, window: usize, peaks: &[T], out: &mut [T]) {
    out.fill(T::default());
    let mut inside = vec![0usize; if runs.len() < window || runs.iter().any(|run| run.1 - run.0 < peaks.len()) { peaks.len() } else { 0 }];
    for &(first, last, from) in runs {
        let values = x[from..].iter().step_by(stride);
        for ((count, &peak), &value) in out[first..last].iter_mut().zip(&peaks[first..last]).zip(values) {
            *count = count.add(if value == peak { T::ONE } else { T::default() });
        }
        if let Some(inside) = inside.get_mut(first..last) {
            inside.iter_mut().for_each(|inside| *inside += 1);
        }
    }
    for ((count, &peak), inside) in out.iter_mut().zip(peaks).zip(inside) {
        if peak == T::LOWEST {
            *count = count.add(T::from_i64((window - inside) as i64));
        }
    }
}

/// What is computed of each plane of one or two operands.
type Plane<'a, T> = dyn Fn(&[T], &[T], &mut [T]) + Sync + 'a;

/// Runs over all planes of operands and result, in the dtype that is computed in.
fn planes<T: Float>(call: &mut Call<'_, '_>, geometry: &Geometry, dtype: DType, lengths: [usize; 3], body: &Plane<'_, T>) -> Result<()> {
    let x = call.operand(0)?.cast::<T>(dtype);
    let second = call.optional(1).map(|operand| operand.cast::<T>(dtype)).unwrap_or_default();
    let context = call.context;
    let result = &mut call.results[0];
    let each = (CHUNK / lengths[0].max(1)).max(1);
    let compute = |out: &mut [T]| {
        if lengths[2] == 0 { return; }
        context.chunks(out, each * lengths[2], &|chunk, out| {
            for (at, out) in out.chunks_mut(lengths[2]).enumerate() {
                let number = chunk * each + at;
                let part = |all: &[T], length: usize| -> std::ops::Range<usize> { if all.is_empty() { 0..0 } else { number * length..(number + 1) * length } };
                body(&x[part(&x, lengths[0])], &second[part(&second, lengths[1])], out);
            }
        });
    };
    debug_assert!(geometry.planes * lengths[2] == result.count());
    result.computed(dtype, compute);
    Ok(())
}

/// Runs `$body` with `$T` bound to the type that poolings of the call compute in, and `$dtype` to its dtype.
macro_rules! in_float {
    ($call:expr, $T:ident, $dtype:ident => $body:expr) => {
        match $call.results[0].dtype {
            DType::F64 => { type $T = f64; let $dtype = DType::F64; $body }
            _ => { type $T = f32; let $dtype = DType::F32; $body }
        }
    };
}

fn of_x(call: &Call<'_, '_>, rank: usize, mean: bool) -> Result<Geometry> {
    let x = call.operand(0)?;
    Geometry::of(call, rank, x.shape, call.results[0].shape, mean)
}

fn of_gradient(call: &Call<'_, '_>, rank: usize, mean: bool) -> Result<Geometry> {
    let (x, g) = (call.operand(0)?, call.operand(1)?);
    Geometry::of(call, rank, x.shape, g.shape, mean)
}

fn pooled_max(call: &mut Call<'_, '_>, rank: usize) -> Result<()> {
    let geometry = of_x(call, rank, false)?;
    let lines = geometry.lines();
    let (width, stride) = (lines.width, lines.stride);
    in_float!(call, T, dtype => planes::<T>(call, &geometry, dtype, [geometry.plane(), 0, geometry.places()], &|x, _, out| {
        lines.each(|at, runs| peaks(x, runs, stride, &mut out[at..at + width]));
    }))
}

fn max_cotangent(call: &mut Call<'_, '_>, rank: usize) -> Result<()> {
    let geometry = of_gradient(call, rank, false)?;
    let lines = geometry.lines();
    let (width, stride, window) = (lines.width, lines.stride, lines.window);
    in_float!(call, T, dtype => planes::<T>(call, &geometry, dtype, [geometry.plane(), geometry.places(), geometry.plane()], &|x, g, out| {
        out.fill(0.0);
        with_scratch(2 * width, |scratch: &mut [T]| {
            let (peak, share) = scratch.split_at_mut(width);
            lines.each(|at, runs| {
                peaks(x, runs, stride, peak);
                ties(x, runs, stride, window, peak, share);
                for (share, &g) in share.iter_mut().zip(&g[at..]) { *share = g / *share; }
                for &(first, last, from) in runs {
                    let places = x[from..].iter().zip(&mut out[from..]).step_by(stride);
                    for ((&peak, &share), (&value, out)) in peak[first..last].iter().zip(&share[first..last]).zip(places) {
                        *out += if value == peak { share } else { 0.0 };
                    }
                }
            });
        });
    }))
}

fn tangent_of_max(call: &mut Call<'_, '_>, rank: usize) -> Result<()> {
    let geometry = of_x(call, rank, false)?;
    let lines = geometry.lines();
    let (width, stride, window) = (lines.width, lines.stride, lines.window);
    in_float!(call, T, dtype => planes::<T>(call, &geometry, dtype, [geometry.plane(), geometry.plane(), geometry.places()], &|x, t, out| {
        with_scratch(2 * width, |scratch: &mut [T]| {
            let (peak, count) = scratch.split_at_mut(width);
            lines.each(|at, runs| {
                peaks(x, runs, stride, peak);
                ties(x, runs, stride, window, peak, count);
                let out = &mut out[at..at + width];
                out.fill(0.0);
                for &(first, last, from) in runs {
                    let values = x[from..].iter().zip(&t[from..]).step_by(stride);
                    for ((out, &peak), (&value, &t)) in out[first..last].iter_mut().zip(&peak[first..last]).zip(values) {
                        *out += if value == peak { t } else { 0.0 };
                    }
                }
                for (out, &count) in out.iter_mut().zip(&*count) { *out /= count; }
            });
        });
    }))
}

fn pooled_sum(call: &mut Call<'_, '_>, rank: usize, mean: bool) -> Result<()> {
    let geometry = of_x(call, rank, mean)?;
    let lines = geometry.lines();
    let (width, stride) = (lines.width, lines.stride);
    let counts = geometry.counts();
    in_float!(call, T, dtype => planes::<T>(call, &geometry, dtype, [geometry.plane(), 0, geometry.places()], &|x, _, out| {
        lines.each(|at, runs| {
            let out = &mut out[at..at + width];
            out.fill(0.0);
            for &(first, last, from) in runs {
                for (sum, &value) in out[first..last].iter_mut().zip(x[from..].iter().step_by(stride)) { *sum += value; }
            }
            divide(&geometry, &counts, at, out, |out, count| *out /= count as T);
        });
    }))
}

/// Divides the values of a line by how many elements count.
fn divide<T>(geometry: &Geometry, counts: &Option<[Vec<usize>; 3]>, at: usize, line: &mut [T], divide: impl Fn(&mut T, usize)) {
    let Some([planes, rows, columns]) = counts else { return };
    let (plane, row) = (at / columns.len().max(1) / geometry.axes[1].count, at / columns.len().max(1) % geometry.axes[1].count);
    for (value, column) in line.iter_mut().zip(columns) {
        divide(value, planes[plane] * rows[row] * column);
    }
}

fn sum_cotangent(call: &mut Call<'_, '_>, rank: usize, mean: bool) -> Result<()> {
    let geometry = of_gradient(call, rank, mean)?;
    let lines = geometry.lines();
    let (width, stride) = (lines.width, lines.stride);
    let counts = geometry.counts();
    in_float!(call, T, dtype => planes::<T>(call, &geometry, dtype, [geometry.plane(), geometry.places(), geometry.plane()], &|_, g, out| {
        out.fill(0.0);
        with_scratch(width, |share: &mut [T]| {
            lines.each(|at, runs| {
                share.copy_from_slice(&g[at..at + width]);
                divide(&geometry, &counts, at, share, |out, count| *out /= count as T);
                for &(first, last, from) in runs {
                    for (out, &share) in out[from..].iter_mut().step_by(stride).zip(&share[first..last]) { *out += share; }
                }
            });
        });
    }))
}

macro_rules! ranks {
    ($($(#[$doc:meta])* $name:ident = $run:ident($($argument:expr)?);)*) => {$(
        $(#[$doc])*
        pub fn $name<const RANK: usize>(call: &mut Call<'_, '_>) -> Result<()> {
            $run(call, RANK $(, $argument)?)
        }
    )*};
}
ranks! {
    /// `max_pool1d` and those of more axes
    max = pooled_max();
    /// `max_pool1d_gradient` and those of more axes
    max_gradient = max_cotangent();
    /// `max_pool1d_tangent` and those of more axes
    max_tangent = tangent_of_max();
    /// `sum_pool1d` and those of more axes
    sum = pooled_sum(false);
    /// `sum_pool1d_gradient` and those of more axes
    sum_gradient = sum_cotangent(false);
    /// `avg_pool1d` and those of more axes
    mean = pooled_sum(true);
    /// `avg_pool1d_gradient` and those of more axes
    mean_gradient = sum_cotangent(true);
}
