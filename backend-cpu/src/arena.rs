//! Where storages lie in the arena: by when they live, so that one takes the place of another.

use std::collections::{BTreeMap, BTreeSet};

use crate::buffer::ALIGNMENT;
use crate::plan::{Place, Storage};

/// Values in the arena up to which they are packed largest first, which is tighter but quadratic.
const PACKED: usize = 2048;

/// Gives every storage that is not elsewhere an offset in the arena; gives the arena's size.
pub fn place(storages: &mut [Storage]) -> usize {
    let open: Vec<usize> = (0..storages.len()).filter(|&at| storages[at].place.is_none()).collect();
    if open.len() <= PACKED { by_size(storages, open) } else { by_time(storages, open) }
}

/// Free parts of the arena, of which no two touch.
#[derive(Default)]
struct Gaps {
    /// Bytes by offset.
    by_offset: BTreeMap<usize, usize>,
    /// (bytes, offset)
    by_size: BTreeSet<(usize, usize)>,
}

impl Gaps {
    /// The start of the smallest gap of at least so many bytes; the rest of it stays free.
    fn take(&mut self, bytes: usize) -> Option<usize> {
        let (size, offset) = *self.by_size.range((bytes, 0)..).next()?;
        self.remove(offset, size);
        if size > bytes {
            self.insert(offset + bytes, size - bytes);
        }
        Some(offset)
    }

    /// Frees a part, which grows together with the gaps beside it.
    fn give(&mut self, mut offset: usize, mut bytes: usize) {
        if let Some((&before, &size)) = self.by_offset.range(..offset).next_back()
            && before + size == offset
        {
            self.remove(before, size);
            (offset, bytes) = (before, size + bytes);
        }
        if let Some(&size) = self.by_offset.get(&(offset + bytes)) {
            self.remove(offset + bytes, size);
            bytes += size;
        }
        self.insert(offset, bytes);
    }

    fn insert(&mut self, offset: usize, bytes: usize) {
        self.by_offset.insert(offset, bytes);
        self.by_size.insert((bytes, offset));
    }

    fn remove(&mut self, offset: usize, bytes: usize) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(bytes, offset));
    }
}

/// In the order in which they are made, each in the smallest gap that is free then.
fn by_time(storages: &mut [Storage], mut open: Vec<usize>) -> usize {
    open.sort_by_key(|&at| storages[at].first);
    let mut ends: BTreeSet<(usize, usize, usize)> = BTreeSet::new();
    let mut gaps = Gaps::default();
    let mut peak = 0;
    for at in open {
        while let Some(&(last, offset, bytes)) = ends.first()
            && last < storages[at].first
        {
            ends.pop_first();
            gaps.give(offset, bytes);
        }
        let bytes = storages[at].bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let offset = gaps.take(bytes).unwrap_or_else(|| {
            peak += bytes;
            peak - bytes
        });
        ends.insert((storages[at].last, offset, bytes));
        storages[at].place = Some(Place::Arena(offset));
    }
    peak
}

/// Largest first, each in the lowest gap among those alive with it.
fn by_size(storages: &mut [Storage], mut open: Vec<usize>) -> usize {
    open.sort_by_key(|&at| (std::cmp::Reverse(storages[at].bytes), storages[at].first));
    let mut placed: Vec<(usize, usize, usize, usize)> = Vec::new();
    let mut peak = 0;
    for at in open {
        let (first, last) = (storages[at].first, storages[at].last);
        let bytes = storages[at].bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let mut taken: Vec<(usize, usize)> =
            placed.iter().filter(|p| p.2 <= last && first <= p.3).map(|p| (p.0, p.1)).collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + bytes <= start { break; }
            offset = offset.max(end);
        }
        placed.push((offset, offset + bytes, first, last));
        peak = peak.max(offset + bytes);
        storages[at].place = Some(Place::Arena(offset));
    }
    peak
}
