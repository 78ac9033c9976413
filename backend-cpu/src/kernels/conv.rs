//! Convolutions and their gradients: for each image and group, products of the kernel with a matrix of windows
//! that is made part by part in cache. How the work is cut depends on the shapes alone, and sums are added in a
//! fixed order, so that the number of threads does not change any bit.

use arignote_core::ops::Attributes;
use arignote_core::tensor::DType;
use arignote_core::{Error, ErrorKind, Result};

use super::matmul::{Layout, Matrix, Sizes, Start};
use super::number::Number;
use super::sliding::{Axis, axes};
use super::{Call, Context};
use crate::buffer::{Stored, View, with_scratch};

/// Elements of a matrix of windows that is made at once.
const PART: usize = 1 << 16;
/// Tasks that are enough to keep threads busy.
const TASKS: usize = 16;
/// Bytes of the partial sums of a gradient in weights at most, if they are more than a few.
const PARTIAL: usize = 1 << 24;

/// The lengths of a convolution.
struct Geometry {
    images: usize,
    groups: usize,
    /// Of a group: channels of x, and of the result.
    channels: usize,
    results: usize,
    axes: [Axis; 3],
    flip: bool,
}

impl Geometry {
    fn of(attributes: &Attributes, x: &[usize], w: &[usize], g: &[usize]) -> Result<Geometry> {
        let groups = usize::try_from(attributes.int("groups")?).unwrap_or(0).max(1);
        let fits = x.len() == w.len() && w.len() == g.len() && x.len() > 2 && x[0] == g[0] && x[1] == w[1] * groups && w[0] == g[1] && w[0].is_multiple_of(groups);
        if !fits {
            let message = format!("a kernel of shape {w:?} does not take {x:?} to {g:?} in {groups} groups");
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let axes = axes(attributes, &x[2..], &g[2..], Some(&w[2..]))?;
        Ok(Geometry { images: x[0], groups, channels: w[1], results: w[0] / groups, axes, flip: attributes.bool("flip")? })
    }

    /// Elements of an image's channel.
    fn image(&self) -> usize {
        self.axes.iter().map(|axis| axis.length).product()
    }

    /// Places of the result.
    fn places(&self) -> usize {
        self.axes.iter().map(|axis| axis.count).product()
    }

    /// Elements of a window.
    fn window(&self) -> usize {
        self.axes.iter().map(|axis| axis.window).product()
    }

    /// Multiplications of the convolution, and of each of its gradients.
    fn multiplications(&self) -> usize {
        let products = [self.groups, self.channels, self.results, self.window(), self.places()];
        products.iter().fold(self.images, |all, &each| all.saturating_mul(each))
    }

    /// Lines of places, along the last axis.
    fn lines(&self) -> usize {
        self.axes[0].count * self.axes[1].count
    }

    /// Whether the matrix of windows is the image itself.
    fn is_plain(&self) -> bool {
        self.axes.iter().all(|axis| axis.window == 1 && axis.stride == 1 && axis.padding == [0, 0] && axis.count == axis.length)
    }

    /// Lines whose windows over so many channels are one part.
    fn lines_of_part(&self, channels: usize) -> usize {
        (PART / (channels * self.window() * self.axes[2].count).max(1)).clamp(1, self.lines().max(1))
    }

    /// Elements of the windows over so many channels that are made at once.
    fn part(&self, channels: usize) -> usize {
        if self.is_plain() { 0 } else { channels * self.window() * self.lines_of_part(channels) * self.axes[2].count }
    }

    /// Of the images whose gradients in the weights, of so many bytes, are summed one after the other: how many, and how many
    /// such sums there are.
    fn sums(&self, bytes: usize) -> (usize, usize) {
        let sums = (PARTIAL / bytes.max(1)).clamp(4, TASKS).min(self.images);
        let images = self.images.div_ceil(sums);
        (images, self.images.div_ceil(images))
    }

    /// How many parts the channels of a group fall into, so that there are enough tasks.
    fn channel_parts(&self, tasks: usize) -> usize {
        if tasks >= TASKS { 1 } else { TASKS.div_ceil(tasks.max(1)).min(self.channels).max(1) }
    }
}

/// Calls with each element of a window, by its places along the axes: its row among those of a channel, then for
/// each line of a range the row of x (if it is inside), and the places along the last axis that are inside.
fn each_run(geometry: &Geometry, lines: (usize, usize), mut run: impl FnMut(usize, usize, Option<usize>, (usize, usize), usize)) {
    let [planes, rows, columns] = &geometry.axes;
    let mut element = 0;
    for a in 0..planes.window {
        for b in 0..rows.window {
            for c in 0..columns.window {
                let inside = columns.inside(c);
                for line in lines.0..lines.1 {
                    let (plane, row) = (planes.place(line / rows.count, a), rows.place(line % rows.count, b));
                    let from = plane.zip(row).map(|(plane, row)| (plane * rows.length + row) * columns.length);
                    run(element, line - lines.0, from, inside, c);
                }
                element += 1;
            }
        }
    }
}

/// The windows of some channels at the places of some lines: a row for each channel and element of a window.
fn gather<T: Number>(geometry: &Geometry, x: &[T], channels: usize, lines: (usize, usize), matrix: &mut [T]) {
    let columns = &geometry.axes[2];
    let (image, window, width) = (geometry.image(), geometry.window(), columns.count);
    let length = (lines.1 - lines.0) * width;
    each_run(geometry, lines, |element, line, from, (first, last), c| {
        for channel in 0..channels {
            let row = &mut matrix[(channel * window + element) * length + line * width..][..width];
            let Some(from) = from.filter(|_| first < last) else {
                row.fill(T::default());
                continue;
            };
            row[..first].fill(T::default());
            row[last..].fill(T::default());
            let start = channel * image + from + first * columns.stride + c * columns.dilation - columns.padding[0];
            if columns.stride == 1 {
                for (out, &value) in row[first..last].iter_mut().zip(&x[start..]) { *out = value; }
            } else {
                for (out, &value) in row[first..last].iter_mut().zip(x[start..].iter().step_by(columns.stride)) { *out = value; }
            }
        }
    });
}

/// Adds the elements of such a matrix to where they come from.
fn scatter<T: Number>(geometry: &Geometry, matrix: &[T], channels: usize, lines: (usize, usize), x: &mut [T]) {
    let columns = &geometry.axes[2];
    let (image, window, width) = (geometry.image(), geometry.window(), columns.count);
    let length = (lines.1 - lines.0) * width;
    each_run(geometry, lines, |element, line, from, (first, last), c| {
        let Some(from) = from.filter(|_| first < last) else { return };
        for channel in 0..channels {
            let row = &matrix[(channel * window + element) * length + line * width..][first..last];
            let start = channel * image + from + first * columns.stride + c * columns.dilation - columns.padding[0];
            if columns.stride == 1 {
                for (out, &value) in x[start..].iter_mut().zip(row) { *out = out.add(value); }
            } else {
                for (out, &value) in x[start..].iter_mut().step_by(columns.stride).zip(row) { *out = out.add(value); }
            }
        }
    });
}

/// Calls `body` with the kernel, the elements of each window in the other order where the attribute `flip` says so.
fn with_flipped<T: Stored>(geometry: &Geometry, w: &[T], body: impl FnOnce(&[T])) {
    let window = geometry.window();
    if !geometry.flip || window == 0 {
        return body(w);
    }
    with_scratch(w.len(), |flipped: &mut [T]| {
        for (flipped, window) in flipped.chunks_mut(window).zip(w.chunks(window)) {
            for (flipped, &element) in flipped.iter_mut().zip(window.iter().rev()) { *flipped = element; }
        }
        body(flipped);
    });
}

fn rows_of(length: usize) -> Layout {
    Layout { row: length as isize, column: 1 }
}

fn convolve<T: Matrix>(context: &Context<'_>, geometry: &Geometry, x: &[T], w: &[T], out: &mut [T]) {
    let (places, image, window) = (geometry.places(), geometry.image(), geometry.window());
    let (depth, width) = (geometry.channels * window, geometry.axes[2].count);
    let whole = geometry.is_plain();
    let step = if whole { geometry.lines() } else { geometry.lines_of_part(geometry.channels) };
    let parts = geometry.lines().div_ceil(step.max(1));
    if depth == 0 {
        return out.fill(T::default());
    }
    let start = Start(out.as_mut_ptr());
    context.multiply(geometry.multiplications(), geometry.images * geometry.groups * parts, &|task| {
        let start = &start;
        let (image_and_group, part) = (task / parts, task % parts);
        let (number, group) = (image_and_group / geometry.groups, image_and_group % geometry.groups);
        let lines = (part * step, ((part + 1) * step).min(geometry.lines()));
        let count = (lines.1 - lines.0) * width;
        let x = &x[(number * geometry.groups + group) * geometry.channels * image..][..geometry.channels * image];
        let w = &w[group * geometry.results * depth..][..geometry.results * depth];
        let sizes = Sizes { m: geometry.results, k: depth, n: count };
        let product = |windows: &[T]| {
            // SAFETY: the kernel, the windows and this task's own places of the result have these lengths.
            unsafe {
                let target = start.0.add((number * geometry.groups + group) * geometry.results * places + lines.0 * width);
                T::product((w.as_ptr(), rows_of(depth)), (windows.as_ptr(), rows_of(count)), (target, rows_of(places)), sizes, false);
            }
        };
        if whole {
            return product(x);
        }
        with_scratch(depth * count, |windows: &mut [T]| {
            gather(geometry, x, geometry.channels, lines, windows);
            product(windows);
        });
    });
}

fn differentiate_input<T: Matrix>(context: &Context<'_>, geometry: &Geometry, w: &[T], g: &[T], out: &mut [T]) {
    let (places, image, window) = (geometry.places(), geometry.image(), geometry.window());
    let (depth, width) = (geometry.channels * window, geometry.axes[2].count);
    out.fill(T::default());
    if places == 0 || geometry.results == 0 {
        return;
    }
    let whole = geometry.is_plain();
    let parts = geometry.channel_parts(geometry.images * geometry.groups);
    let each = geometry.channels.div_ceil(parts).max(1);
    let parts = geometry.channels.div_ceil(each);
    let start = Start(out.as_mut_ptr());
    context.multiply(geometry.multiplications(), geometry.images * geometry.groups * parts, &|task| {
        let start = &start;
        let (image_and_group, part) = (task / parts, task % parts);
        let group = image_and_group % geometry.groups;
        let first = part * each;
        let channels = each.min(geometry.channels - first);
        let at = (image_and_group * geometry.channels + first) * image;
        // SAFETY: these channels of this image are inside the result, and no other task's.
        let out = unsafe { std::slice::from_raw_parts_mut(start.0.add(at), channels * image) };
        let w = &w[group * geometry.results * depth + first * window..];
        let g = &g[image_and_group * geometry.results * places..][..geometry.results * places];
        let product = |target: &mut [T], lines: (usize, usize)| {
            let count = (lines.1 - lines.0) * width;
            let sizes = Sizes { m: channels * window, k: geometry.results, n: count };
            let left = Layout { row: 1, column: depth as isize };
            // SAFETY: the kernel's columns for these channels, the cotangent at these places, and the target
            // have these lengths.
            unsafe {
                let right = g.as_ptr().add(lines.0 * width);
                T::product((w.as_ptr(), left), (right, rows_of(places)), (target.as_mut_ptr(), rows_of(count)), sizes, false);
            }
        };
        if whole {
            return product(out, (0, geometry.lines()));
        }
        let step = geometry.lines_of_part(channels);
        for from in (0..geometry.lines()).step_by(step) {
            let lines = (from, (from + step).min(geometry.lines()));
            with_scratch(channels * window * (lines.1 - lines.0) * width, |windows: &mut [T]| {
                product(windows, lines);
                scatter(geometry, windows, channels, lines, out);
            });
        }
    });
}

fn differentiate_weights<T: Matrix>(context: &Context<'_>, geometry: &Geometry, x: &[T], g: &[T], out: &mut [T]) {
    if geometry.places() == 0 || geometry.images == 0 {
        return out.fill(T::default());
    }
    let size = out.len();
    let (images, sums) = geometry.sums(size_of_val(out));
    if sums == 1 {
        sum_images(context, geometry, x, g, images, out);
    } else {
        with_scratch(sums * size, |partial: &mut [T]| {
            sum_images(context, geometry, x, g, images, partial);
            context.chunks(out, 4096, &|chunk, out| {
                let from = chunk * 4096;
                out.copy_from_slice(&partial[from..from + out.len()]);
                for sum in partial[size..].chunks(size) {
                    for (out, &value) in out.iter_mut().zip(&sum[from..]) { *out = out.add(value); }
                }
            });
        });
    }
    let window = geometry.window();
    if geometry.flip && window > 0 {
        out.chunks_mut(window).for_each(<[T]>::reverse);
    }
}

/// For each so many images the sum of their gradients in the weights, one after the other in `out`.
fn sum_images<T: Matrix>(context: &Context<'_>, geometry: &Geometry, x: &[T], g: &[T], images: usize, out: &mut [T]) {
    let (places, image, window) = (geometry.places(), geometry.image(), geometry.window());
    let (depth, width) = (geometry.channels * window, geometry.axes[2].count);
    let sums = geometry.images.div_ceil(images);
    let parts = geometry.channel_parts(sums * geometry.groups);
    let each = geometry.channels.div_ceil(parts).max(1);
    let parts = geometry.channels.div_ceil(each);
    let (size, start) = (out.len() / sums, Start(out.as_mut_ptr()));
    context.multiply(geometry.multiplications(), sums * geometry.groups * parts, &|task| {
        let start = &start;
        let (sum_and_group, part) = (task / parts, task % parts);
        let (sum, group) = (sum_and_group / geometry.groups, sum_and_group % geometry.groups);
        let first = part * each;
        let channels = each.min(geometry.channels - first);
        let mut add = false;
        for number in sum * images..((sum + 1) * images).min(geometry.images) {
            let image_and_group = number * geometry.groups + group;
            let x = &x[(image_and_group * geometry.channels + first) * image..][..channels * image];
            let g = &g[image_and_group * geometry.results * places..][..geometry.results * places];
            let mut product = |windows: &[T], lines: (usize, usize)| {
                let count = (lines.1 - lines.0) * width;
                let sizes = Sizes { m: geometry.results, k: count, n: channels * window };
                // SAFETY: the cotangent at these places, their windows, and this task's columns of its sum have
                // these lengths.
                unsafe {
                    let left = g.as_ptr().add(lines.0 * width);
                    let target = start.0.add(sum * size + group * geometry.results * depth + first * window);
                    T::product((left, rows_of(places)), (windows.as_ptr(), rows_of(count).turned()), (target, rows_of(depth)), sizes, add);
                }
                add = true;
            };
            if geometry.is_plain() {
                product(x, (0, geometry.lines()));
                continue;
            }
            let step = geometry.lines_of_part(channels);
            for from in (0..geometry.lines()).step_by(step) {
                let lines = (from, (from + step).min(geometry.lines()));
                with_scratch(channels * window * (lines.1 - lines.0) * width, |windows: &mut [T]| {
                    gather(geometry, x, channels, lines, windows);
                    product(windows, lines);
                });
            }
        }
    });
}

type Compute<T> = fn(&Context<'_>, &Geometry, &[T], &[T], &mut [T]);

/// Two operands and the result in the dtype that is computed in, `f32` at least.
fn run(call: &mut Call<'_, '_>, operands: [View<'_>; 2], geometry: &Geometry, weights: Option<usize>, narrow: Compute<f32>, wide: Compute<f64>) -> Result<()> {
    fn with<T: Matrix>(call: &mut Call<'_, '_>, operands: [View<'_>; 2], geometry: &Geometry, weights: Option<usize>, dtype: DType, compute: Compute<T>) {
        let (context, result) = (call.context, &mut call.results[0]);
        operands[0].with::<T, _>(dtype, |first| operands[1].with::<T, _>(dtype, |second| {
            result.computed::<T>(dtype, |out| match weights {
                None => compute(context, geometry, first, second, out),
                Some(0) => with_flipped(geometry, first, |w| compute(context, geometry, w, second, out)),
                Some(_) => with_flipped(geometry, second, |w| compute(context, geometry, first, w, out)),
            });
        }));
    }
    match call.results[0].dtype {
        DType::F64 => with(call, operands, geometry, weights, DType::F64, wide),
        _ => with(call, operands, geometry, weights, DType::F32, narrow),
    }
    Ok(())
}

/// Bytes of scratch memory that a convolution (of the shapes of x and w to that of g), or its gradient of this name, takes
/// beside conversions of its operands, on so many threads; what `faer` packs is not among them.
pub fn scratch(name: &str, attributes: &Attributes, dtype: DType, [x, w, g]: [&[usize]; 3], threads: usize) -> usize {
    let Ok(geometry) = Geometry::of(attributes, x, w, g) else { return 0 };
    let (size, weights) = (if dtype == DType::F64 { 8 } else { 4 }, w.iter().product::<usize>());
    let part = |tasks: usize| {
        let channels = geometry.channels.div_ceil(geometry.channel_parts(tasks * geometry.groups)).max(1);
        threads * geometry.part(channels)
    };
    let elements = match name {
        _ if name.ends_with("_weight_gradient") && geometry.images > 0 => {
            let (_, sums) = geometry.sums(weights * size);
            part(sums) + if sums > 1 { sums * weights } else { 0 }
        }
        _ if name.ends_with("_weight_gradient") => 0,
        _ => {
            let windows = if name.ends_with("_input_gradient") { part(geometry.images) } else { threads * geometry.part(geometry.channels) };
            windows + if geometry.flip { weights } else { 0 }
        }
    };
    elements * size
}

/// `conv1d`, `conv2d`, `conv3d`
pub fn forward(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, w) = (call.operand(0)?, call.operand(1)?);
    let geometry = Geometry::of(call.attributes, x.shape, w.shape, call.results[0].shape)?;
    run(call, [x, w], &geometry, Some(1), convolve, convolve)
}

/// `conv1d_input_gradient` and those of more axes
pub fn input_gradient(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, w, g) = (call.operand(0)?, call.operand(1)?, call.operand(2)?);
    let geometry = Geometry::of(call.attributes, x.shape, w.shape, g.shape)?;
    run(call, [w, g], &geometry, Some(0), differentiate_input, differentiate_input)
}

/// `conv1d_weight_gradient` and those of more axes
pub fn weight_gradient(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, w, g) = (call.operand(0)?, call.operand(1)?, call.operand(2)?);
    let geometry = Geometry::of(call.attributes, x.shape, w.shape, g.shape)?;
    run(call, [x, g], &geometry, None, differentiate_weights, differentiate_weights)
}
