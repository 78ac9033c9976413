//! The axes of a region: those along which all arrays go on evenly are one, and what lies otherwise is gathered.

use smallvec::SmallVec;

/// Rows of at least so many elements are run as rows.
pub(super) const ROW: usize = 32;

/// Lengths or strides of axes.
pub(super) type Lengths = SmallVec<[usize; 6]>;

/// The axes that are left of a shape, and the strides of all arrays along them.
pub(super) type Axes = (Lengths, Vec<Lengths>);

/// Takes adjacent axes along which every array goes on evenly together.
pub(super) fn merged(shape: &[usize], all: &[&[usize]]) -> Axes {
    let mut axes: Lengths = SmallVec::new();
    let mut left: Vec<Lengths> = vec![SmallVec::new(); all.len()];
    for (axis, &length) in shape.iter().enumerate() {
        if length == 1 { continue; }
        let together = !axes.is_empty() && left.iter().zip(all).all(|(left, all)| left.last() == Some(&(all[axis] * length)));
        if together {
            if let Some(last) = axes.last_mut() { *last *= length; }
            for (left, all) in left.iter_mut().zip(all) { if let Some(last) = left.last_mut() { *last = all[axis]; } }
        } else {
            axes.push(length);
            for (left, all) in left.iter_mut().zip(all) { left.push(all[axis]); }
        }
    }
    (axes, left)
}

pub(super) fn by_rows(axes: &[usize], left: &[Lengths]) -> bool {
    let even = left.iter().all(|strides| strides.last().is_none_or(|&stride| stride <= 1));
    even && (axes.len() <= 1 || axes.last().is_some_and(|&length| length >= ROW))
}

/// Whether a region over `shape` runs over rows, of whose arrays these are the strides (`None` where one lies as the
/// shape does): then outputs need not lie together.
pub fn is_by_rows<'a>(shape: &[usize], all: impl Iterator<Item = Option<&'a [usize]>>) -> bool {
    let natural = natural_strides(shape);
    let all: Vec<&[usize]> = all.map(|strides| strides.unwrap_or(&natural)).collect();
    let (axes, left) = merged(shape, &all);
    by_rows(&axes, &left)
}

pub(super) fn natural_strides(shape: &[usize]) -> Lengths {
    let mut strides: Lengths = SmallVec::from_elem(0, shape.len());
    let mut stride = 1;
    for (own, &length) in strides.iter_mut().zip(shape).rev() {
        *own = stride;
        stride *= length;
    }
    strides
}

/// Copies the elements from `start` on, in the order of `shape`.
///
/// # Safety
/// `from` covers what the strides reach over `shape`, and `start + out.len()` is inside the shape.
pub(super) unsafe fn gather<T: Copy>(from: *const T, strides: &[usize], shape: &[usize], start: usize, out: &mut [T]) {
    let Some(last) = shape.len().checked_sub(1) else { return };
    let mut index: Lengths = SmallVec::from_elem(0, shape.len());
    let mut rest = start;
    for axis in (0..shape.len()).rev() {
        index[axis] = rest % shape[axis];
        rest /= shape[axis];
    }
    let mut done = 0;
    while done < out.len() {
        let offset: usize = index.iter().zip(strides).map(|(i, s)| i * s).sum();
        // Whole rows at a time where there are several: rows may be very short.
        if let (Some(before), 0) = (last.checked_sub(1), index[last]) {
            let (length, stride, further) = (shape[last], strides[last], strides[before]);
            let rows = (shape[before] - index[before]).min((out.len() - done) / length);
            let out = &mut out[done..done + rows * length];
            // One and the same row is read once.
            let different = if further == 0 { rows.min(1) } else { rows };
            for (row, out) in out.chunks_exact_mut(length).take(different).enumerate() {
                for (i, out) in out.iter_mut().enumerate() {
                    // SAFETY: inside the shape, by the caller's promise.
                    *out = unsafe { *from.add(offset + row * further + i * stride) };
                }
            }
            let mut there = different * length;
            while there < out.len() {
                let count = there.min(out.len() - there);
                out.copy_within(..count, there);
                there += count;
            }
            if rows > 0 {
                done += rows * length;
                index[before] += rows;
                for axis in (1..last).rev() {
                    if index[axis] < shape[axis] { break; }
                    index[axis] = 0;
                    index[axis - 1] += 1;
                }
                continue;
            }
        }
        let run = (shape[last] - index[last]).min(out.len() - done);
        let stride = strides[last];
        let part = &mut out[done..done + run];
        if stride == 1 {
            // SAFETY: inside the shape, by the caller's promise.
            part.copy_from_slice(unsafe { std::slice::from_raw_parts(from.add(offset), run) });
        } else {
            // SAFETY: as above.
            part.iter_mut().enumerate().for_each(|(i, out)| *out = unsafe { *from.add(offset + i * stride) });
        }
        done += run;
        index[last] += run;
        for axis in (0..shape.len()).rev() {
            if index[axis] < shape[axis] || axis == 0 { break; }
            index[axis] = 0;
            index[axis - 1] += 1;
        }
    }
}
