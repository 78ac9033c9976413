//! Memory: aligned blocks that return to a pool when they are dropped, and typed views of them.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arignote_core::tensor::{DType, Element, MemoryKind, Tensor, bf16, f16};
use arignote_core::{Error, ErrorKind, Result};

/// Every block and every value in an arena starts at a multiple of this.
pub const ALIGNMENT: usize = 64;

/// Unused bytes that a pool keeps for later at most.
const KEPT: usize = 1 << 30;

/// The size of a large page. A block of several starts at one, and asks for them: the first touch of memory
/// in small pages costs more than most kernels.
const LARGE_PAGE: usize = 2 << 20;

/// Words of a scratch buffer that a thread keeps for later at most.
const KEPT_SCRATCH: usize = 1 << 23;

/// Blocks that wait to be used again, by size.
#[derive(Default)]
pub struct Pool {
    free: Mutex<(usize, BTreeMap<usize, Vec<Raw>>)>,
    allocations: AtomicU64,
    live: AtomicU64,
    peak: AtomicU64,
}

struct Raw {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a `Raw` is the only handle of its allocation.
unsafe impl Send for Raw {}
// SAFETY: as above; shared access only reads the address.
unsafe impl Sync for Raw {}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: `start` came from `fresh` with this layout and is released once.
        unsafe { release(self.start, self.layout) }
    }
}

impl Pool {
    /// A block of at least `bytes` bytes, initialized to some bytes: zeros, or what was left there.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn block(self: &Arc<Pool>, bytes: usize) -> Result<Block> {
        let refuse = || Error::new(ErrorKind::Device, format!("no memory for {bytes} bytes"));
        let alignment = if bytes >= 2 * LARGE_PAGE { LARGE_PAGE } else { ALIGNMENT };
        let size = bytes.max(1).checked_next_multiple_of(ALIGNMENT).ok_or_else(refuse)?;
        let kept = {
            let mut free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let raw = free.1.get_mut(&size).and_then(Vec::pop);
            if raw.is_some() {
                free.0 -= size;
            }
            raw
        };
        let raw = match kept {
            Some(raw) => raw,
            None => {
                let layout = Layout::from_size_align(size, alignment).map_err(|_| refuse())?;
                let start = fresh(layout).ok_or_else(refuse)?;
                self.allocations.fetch_add(1, Ordering::Relaxed);
                Raw { start, layout }
            }
        };
        let live = self.live.fetch_add(size as u64, Ordering::Relaxed) + size as u64;
        self.peak.fetch_max(live, Ordering::Relaxed);
        Ok(Block { raw: Some(raw), pool: self.clone() })
    }

    /// Allocations made, bytes in use, and their maximum.
    pub fn counters(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.allocations), read(&self.live), read(&self.peak))
    }
}

/// Memory that one owner writes; it goes back to its pool at the end.
pub struct Block {
    raw: Option<Raw>,
    pool: Arc<Pool>,
}

impl Block {
    /// The first byte.
    pub fn start(&self) -> *mut u8 {
        self.raw.as_ref().map_or(std::ptr::null_mut(), |raw| raw.start.as_ptr())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            let size = raw.layout.size();
            self.pool.live.fetch_sub(size as u64, Ordering::Relaxed);
            let mut free = self.pool.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // What is full of other sizes than those in use now starts afresh.
            let old = (free.0 + size > KEPT).then(|| std::mem::take(&mut *free));
            if size <= KEPT {
                free.0 += size;
                free.1.entry(size).or_default().push(raw);
            }
            drop(free);
            drop(old);
        }
    }
}

/// New memory of zeros.
fn fresh(layout: Layout) -> Option<NonNull<u8>> {
    #[cfg(target_os = "linux")]
    if layout.align() == LARGE_PAGE {
        return mapped(layout.size());
    }
    // SAFETY: the layout's size is not 0.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

/// Returns what [`fresh`] gave.
///
/// # Safety
/// `start` came from `fresh` with this layout and is used no more.
unsafe fn release(start: NonNull<u8>, layout: Layout) {
    #[cfg(target_os = "linux")]
    if layout.align() == LARGE_PAGE {
        // SAFETY: `mapped` left exactly this range, and the caller uses it no more.
        unsafe { libc::munmap(start.as_ptr().cast(), layout.size().next_multiple_of(LARGE_PAGE)) };
        return;
    }
    // SAFETY: by the caller's promise.
    unsafe { dealloc(start.as_ptr(), layout) }
}

/// So many bytes of zeros that start at a large page and ask for large pages. The system zeroes each page when
/// it is touched, so in the kernel that first writes it.
#[cfg(target_os = "linux")]
fn mapped(size: usize) -> Option<NonNull<u8>> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let size = size.checked_next_multiple_of(LARGE_PAGE)?;
    let all = size.checked_add(LARGE_PAGE)?;
    // SAFETY: a new mapping, which overlaps no memory in use.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), all, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return None;
    }
    let first = address.cast::<u8>();
    let before = first.addr().next_multiple_of(LARGE_PAGE) - first.addr();
    let start = first.wrapping_add(before);
    let end = before + size;
    if before > 0 {
        // SAFETY: the part before the block, of the mapping just made; smaller pages divide large ones.
        unsafe { libc::munmap(address, before) };
    }
    if end < all {
        // SAFETY: the part behind the block, of the mapping just made.
        unsafe { libc::munmap(first.wrapping_add(end).cast(), all - end) };
    }
    // SAFETY: the range is the mapping's; the advice changes nothing that it holds.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_HUGEPAGE) };
    NonNull::new(start)
}

/// An element as it is stored: every bit pattern is a value. A `bool` is stored as a `u8`.
///
/// # Safety
/// The type must be plain data without padding or invalid bit patterns.
pub unsafe trait Stored: Element {}
macro_rules! stored { ($($T:ty)*) => { $(
    // SAFETY: a number without padding, of which every bit pattern is valid.
    unsafe impl Stored for $T {}
)* } }
stored!(u8 u16 u32 u64 i8 i16 i32 i64 f16 bf16 f32 f64);

/// Calls `$body` with `$T` bound to the stored type of a dtype, which is `u8` for `bool`.
#[macro_export]
#[doc(hidden)]
macro_rules! stored_type {
    ($dtype:expr, $T:ident => $body:expr) => {
        $crate::stored_type!(@ $dtype, $T => $body; Bool u8, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16,
            U32 u32, U64 u64, F16 ::arignote_core::tensor::f16, BF16 ::arignote_core::tensor::bf16, F32 f32, F64 f64)
    };
    (@ $dtype:expr, $T:ident => $body:expr; $($variant:ident $type:ty),*) => {
        match $dtype { $(::arignote_core::tensor::DType::$variant => { type $T = $type; $body })* }
    };
}

/// Contiguous elements to read.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub shape: &'a [usize],
    /// The elements.
    pub bytes: &'a [u8],
}

/// Contiguous elements to write.
pub struct ViewMut<'a> {
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub shape: &'a [usize],
    /// The elements.
    pub bytes: &'a mut [u8],
}

/// Bytes as elements of another type.
pub fn typed<T: Stored>(bytes: &[u8]) -> &[T] {
    // SAFETY: every bit pattern is a value of `T`.
    let (head, body, tail) = unsafe { bytes.align_to::<T>() };
    assert!(head.is_empty() && tail.is_empty(), "misaligned elements");
    body
}

/// Bytes as elements of another type, to write.
pub fn typed_mut<T: Stored>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: every bit pattern is a value of `T`, and every value of `T` is initialized bytes.
    let (head, body, tail) = unsafe { bytes.align_to_mut::<T>() };
    assert!(head.is_empty() && tail.is_empty(), "misaligned elements");
    body
}

/// Elements as bytes.
pub fn as_bytes<T: Stored>(elements: &[T]) -> &[u8] {
    // SAFETY: `T` has no padding.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

/// Elements as bytes, to write.
pub fn as_bytes_mut<T: Stored>(elements: &mut [T]) -> &mut [u8] {
    // SAFETY: `T` has no padding, and any bytes are a value of it.
    unsafe { std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements)) }
}

/// Calls `body` with `count` elements of some contents, in memory that the thread keeps for later calls.
pub fn with_scratch<T: Stored, R>(count: usize, body: impl FnOnce(&mut [T]) -> R) -> R {
    thread_local! {
        /// Buffers that nobody on this thread uses; calls may nest, so there can be several.
        static FREE: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
    }
    let words = (count * size_of::<T>()).div_ceil(size_of::<u64>());
    // The smallest that is large enough, or else the largest, which grows.
    let mut buffer = FREE.with_borrow_mut(|free| {
        let at = (0..free.len()).min_by_key(|&at| (free[at].len() < words, free[at].len().abs_diff(words)))?;
        Some(free.swap_remove(at))
    }).unwrap_or_default();
    if buffer.len() < words {
        buffer.resize(words, 0);
    }
    // SAFETY: the buffer has that many initialized bytes, aligned for any element, and is borrowed here.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<u8>(), count * size_of::<T>()) };
    let result = body(typed_mut(bytes));
    if words <= KEPT_SCRATCH {
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
    result
}

/// One number converted as NumPy's `astype` does.
#[inline(always)]
pub fn convert<S: Element, T: Element>(value: S) -> T {
    if S::DTYPE.is_float() || (S::DTYPE == DType::U64 && T::DTYPE.is_float()) {
        T::from_f64(value.to_f64())
    } else {
        T::from_i64(value.to_i64())
    }
}

impl<'a> View<'a> {
    /// A view of a host tensor.
    pub fn of(tensor: &'a Tensor) -> View<'a> {
        // SAFETY: the tensor's elements are that many initialized bytes, borrowed for as long.
        let bytes = unsafe { std::slice::from_raw_parts(tensor.as_ptr(), tensor.byte_len()) };
        View { dtype: tensor.dtype(), shape: tensor.shape(), bytes }
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// The elements converted to the stored type of `dtype` (which must be `T`).
    pub fn cast<T: Stored>(&self, dtype: DType) -> Cow<'a, [T]> {
        if dtype == self.dtype {
            return Cow::Borrowed(typed(self.bytes));
        }
        let mut elements = vec![T::default(); self.count()];
        self.write(dtype, &mut elements);
        Cow::Owned(elements)
    }

    /// Calls `body` with the elements converted to the stored type of `dtype` (which must be `T`), in scratch memory if
    /// they have another.
    pub fn with<T: Stored, R>(&self, dtype: DType, body: impl FnOnce(&[T]) -> R) -> R {
        if dtype == self.dtype {
            return body(typed(self.bytes));
        }
        with_scratch(self.count(), |elements: &mut [T]| {
            self.write(dtype, elements);
            body(elements)
        })
    }

    /// Writes the elements converted to the stored type of `dtype` (which must be `T`).
    fn write<T: Stored>(&self, dtype: DType, out: &mut [T]) {
        stored_type!(self.dtype, S => {
            let convert = if dtype == DType::Bool { |v: S| T::from_i64(i64::from(v.to_f64() != 0.0)) } else { convert::<S, T> };
            for (out, &value) in out.iter_mut().zip(typed::<S>(self.bytes)) { *out = convert(value); }
        });
    }

    /// The elements as `i64`.
    pub fn ints(&self) -> Cow<'a, [i64]> {
        self.cast(DType::I64)
    }

    /// A copy as a host tensor.
    ///
    /// # Errors
    /// If the view is not as long as its shape says.
    pub fn tensor(&self) -> Result<Tensor> {
        Tensor::from_bytes(self.dtype, self.shape, self.bytes)
    }
}

impl ViewMut<'_> {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Fills the elements by casting from a type of higher precision.
    pub fn store<S: Stored>(&mut self, from: DType, source: &[S]) {
        let view = View { dtype: from, shape: self.shape, bytes: as_bytes(source) };
        let dtype = self.dtype;
        stored_type!(dtype, T => view.write::<T>(dtype, typed_mut(self.bytes)));
    }

    /// Fills the elements by what computes them in the stored type of `dtype` (which must be `T`), in scratch memory if
    /// they have another.
    pub fn computed<T: Stored>(&mut self, dtype: DType, compute: impl FnOnce(&mut [T])) {
        if dtype == self.dtype {
            return compute(typed_mut(self.bytes));
        }
        with_scratch(self.count(), |out: &mut [T]| {
            compute(out);
            self.store(dtype, out);
        });
    }
}

/// The memory kind of everything here.
pub const MEMORY: MemoryKind = MemoryKind::HOST;

#[cfg(test)]
mod tests {
    use super::*;

    /// None of the memory is touched, so that it takes none.
    #[test]
    fn a_pool_gives_back_what_is_huge() {
        let pool = Arc::<Pool>::default();
        let allocations = || pool.counters().0;
        drop(pool.block(KEPT / 2).unwrap());
        drop(pool.block(KEPT / 2).unwrap());
        assert_eq!((allocations(), pool.counters().1), (1, 0), "half of what is kept is used again");
        // More than is kept at all: it goes back at once, and with it what was kept.
        drop(pool.block(KEPT + 1).unwrap());
        assert_eq!(pool.free.lock().unwrap().0, 0);
        // Together more than is kept: what came first goes back.
        drop((pool.block(KEPT / 2).unwrap(), pool.block(KEPT / 2 + 1).unwrap()));
        assert_eq!((allocations(), pool.free.lock().unwrap().0), (4, (KEPT / 2 + 1).next_multiple_of(ALIGNMENT)));
    }
}
