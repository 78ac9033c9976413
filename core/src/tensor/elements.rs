//! The elements of a host tensor: its own, or lent by whoever computed them.

use std::any::Any;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Memory from which on large pages pay: where pages are small, looking them up is most of the time that it takes to
/// read a large array once.
const LARGE: usize = 4 << 20;

/// Asks for large pages for memory that is not in use yet.
pub(super) fn ask_for_large_pages<T>(memory: &[std::mem::MaybeUninit<T>]) {
    #[cfg(target_os = "linux")]
    if size_of_val(memory) >= LARGE {
        const PAGE: usize = 4096;
        let start = memory.as_ptr().cast::<u8>();
        let before = start.addr().next_multiple_of(PAGE) - start.addr();
        let whole = (size_of_val(memory) - before) / PAGE * PAGE;
        // SAFETY: whole pages inside of memory that is allocated; the advice changes nothing that they hold.
        unsafe { libc::madvise(start.wrapping_add(before).cast_mut().cast(), whole, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, LARGE);
}

/// Elements that clones share.
pub(super) enum Elements<T> {
    Own(Arc<Vec<T>>),
    Lent(Lent<T>),
}

/// Elements in memory that an owner keeps alive. Nobody writes to them meanwhile but whoever is the owner's only holder.
pub(super) struct Lent<T> {
    start: NonNull<T>,
    length: usize,
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the elements are only read, and the owner can be dropped by any thread.
unsafe impl<T: Send + Sync> Send for Lent<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Lent<T> {}

impl<T: Send + Sync + 'static> Elements<T> {
    /// What keeps the elements alive.
    pub(super) fn owner(&self) -> Arc<dyn Any + Send + Sync> {
        match self {
            Elements::Own(vector) => vector.clone(),
            Elements::Lent(lent) => lent.owner.clone(),
        }
    }

    /// Elements of an owner, by [`Elements::owner`] or another; `None` if the address is null or not aligned.
    ///
    /// # Safety
    /// `start` points to `length` initialized elements that live, and are not written to, as long as a clone
    /// of the owner does.
    pub(super) unsafe fn lent(start: *mut T, length: usize, owner: Arc<dyn Any + Send + Sync>) -> Option<Elements<T>> {
        let start = NonNull::new(start).filter(|start| start.is_aligned())?;
        let is_all = |vector: &Vec<T>| std::ptr::eq(vector.as_ptr(), start.as_ptr()) && vector.len() == length;
        if owner.downcast_ref::<Vec<T>>().is_some_and(is_all) {
            return owner.downcast().ok().map(Elements::Own);
        }
        Some(Elements::Lent(Lent { start, length, owner }))
    }
}

impl<T> Elements<T> {
    /// The first element, to write through, if nobody else holds the elements.
    pub(super) fn sole(&mut self) -> Option<*mut T> {
        match self {
            Elements::Own(vector) => Arc::get_mut(vector).map(Vec::as_mut_ptr),
            Elements::Lent(lent) => (Arc::strong_count(&lent.owner) == 1).then_some(lent.start.as_ptr()),
        }
    }

    /// Whether nobody else holds the elements.
    pub(super) fn is_unique(&self) -> bool {
        match self {
            Elements::Own(vector) => Arc::strong_count(vector) == 1,
            Elements::Lent(lent) => Arc::strong_count(&lent.owner) == 1,
        }
    }
}

impl<T: Clone> Elements<T> {
    /// The elements for writing: a copy if they are shared or lent.
    pub(super) fn make_mut(&mut self) -> &mut [T] {
        if let Elements::Lent(_) = self {
            *self = Elements::Own(Arc::new(self.to_vec()));
        }
        match self {
            Elements::Own(vector) => Arc::make_mut(vector).as_mut_slice(),
            Elements::Lent(_) => &mut [],
        }
    }
}

impl<T> Clone for Elements<T> {
    fn clone(&self) -> Elements<T> {
        match self {
            Elements::Own(vector) => Elements::Own(vector.clone()),
            Elements::Lent(Lent { start, length, owner }) => {
                Elements::Lent(Lent { start: *start, length: *length, owner: owner.clone() })
            }
        }
    }
}

impl<T> Deref for Elements<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Elements::Own(vector) => vector,
            // SAFETY: by the promise of `lent`, as the owner is alive.
            Elements::Lent(lent) => unsafe { std::slice::from_raw_parts(lent.start.as_ptr(), lent.length) },
        }
    }
}
