//! Windows that slide along up to three axes, from the attributes of convolutions and poolings.

use arignote_core::ops::{Attribute, Attributes};
use arignote_core::{Error, ErrorKind, Result};

/// Windows along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Elements of x.
    pub length: usize,
    /// Windows.
    pub count: usize,
    /// Elements of a window.
    pub window: usize,
    /// From one window to the next.
    pub stride: usize,
    /// From one element of a window to the next.
    pub dilation: usize,
    /// Padding before and after x, without what windows have beyond it.
    pub padding: [usize; 2],
}

impl Axis {
    /// An axis of length 1, in place of one that is not there.
    pub const NONE: Axis = Axis { length: 1, count: 1, window: 1, stride: 1, dilation: 1, padding: [0, 0] };

    /// The place in x of an element of a window; `None` in the padding.
    pub fn place(&self, at: usize, element: usize) -> Option<usize> {
        (at * self.stride + element * self.dilation).checked_sub(self.padding[0]).filter(|&place| place < self.length)
    }

    /// The windows, from the first to behind the last, of which this element is in x.
    pub fn inside(&self, element: usize) -> (usize, usize) {
        let shift = element * self.dilation;
        let first = self.padding[0].saturating_sub(shift).div_ceil(self.stride).min(self.count);
        let last = (self.length + self.padding[0]).saturating_sub(shift).div_ceil(self.stride).min(self.count);
        (first, last.max(first))
    }

    /// How many elements of a window are in x, and how many in x or its padding.
    pub fn counted(&self, at: usize) -> (usize, usize) {
        let all = self.padding[0] + self.length + self.padding[1];
        let inside = (0..self.window).filter(|&element| self.place(at, element).is_some()).count();
        let padded = (0..self.window).filter(|&element| at * self.stride + element * self.dilation < all).count();
        (inside, padded)
    }
}

/// A number for each axis.
fn per_axis(attributes: &Attributes, name: &str, count: usize) -> Result<Vec<usize>> {
    let given = attributes.ints(name)?.unwrap_or_default();
    let given: Vec<usize> = given.iter().map(|&number| number.max(0) as usize).collect();
    match given.len() {
        1 => Ok(vec![given[0]; count]),
        found if found == count => Ok(given),
        _ => Err(Error::new(ErrorKind::Internal, format!("`{name}` has the wrong length"))),
    }
}

/// The axes of windows over places of these lengths, which give so many windows; always three.
///
/// # Errors
/// If the attributes are not those of a convolution or pooling.
pub fn axes(attributes: &Attributes, lengths: &[usize], counts: &[usize], windows: Option<&[usize]>) -> Result<[Axis; 3]> {
    let rank = lengths.len();
    let wrong = |what: &str| Error::new(ErrorKind::Internal, format!("{what} does not fit {rank} axes of windows"));
    let windows = match windows {
        Some(windows) => windows.to_vec(),
        None => per_axis(attributes, "window", rank)?,
    };
    let strides = match attributes.get("stride") {
        Some(Attribute::None) | None => windows.clone(),
        _ => per_axis(attributes, "stride", rank)?,
    };
    let dilations = per_axis(attributes, "dilation", rank)?;
    if rank > 3 || counts.len() != rank || windows.len() != rank || strides.contains(&0) {
        return Err(wrong("an attribute"));
    }
    let mut axes = [Axis::NONE; 3];
    for number in 0..rank {
        let (length, window, stride, dilation) = (lengths[number], windows[number], strides[number], dilations[number]);
        let span = window.saturating_sub(1) * dilation + 1;
        let width = |item: &Attribute| match item {
            Attribute::Int(width) => usize::try_from(*width).map_err(|_| wrong("`padding`")),
            _ => Err(wrong("`padding`")),
        };
        let padding = match attributes.get("padding") {
            Some(Attribute::Str(name)) => match name.as_str() {
                "valid" => [0, 0],
                "half" => [span / 2; 2],
                "full" => [span - 1; 2],
                "same" => {
                    let all = (length.saturating_sub(1) / stride * stride + span).saturating_sub(length);
                    [all / 2, all - all / 2]
                }
                _ => return Err(wrong("`padding`")),
            },
            Some(Attribute::List(items)) => match items.get(number) {
                Some(Attribute::List(pair)) if pair.len() == 2 => [width(&pair[0])?, width(&pair[1])?],
                Some(item) => [width(item)?; 2],
                None => return Err(wrong("`padding`")),
            },
            Some(item) => [width(item)?; 2],
            None => return Err(wrong("`padding`")),
        };
        axes[3 - rank + number] = Axis { length, count: counts[number], window, stride, dilation, padding };
    }
    Ok(axes)
}
