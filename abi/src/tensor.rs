//! Tensors, as DLPack describes them.

use crate::RVec;
use abi_stable::StableAbi;
use std::ffi::c_void;

/// DLPack's `DLDeviceType`. An open set.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceType(pub i32);

impl DeviceType {
    /// Host memory.
    pub const CPU: DeviceType = DeviceType(1);
    /// NVIDIA device memory.
    pub const CUDA: DeviceType = DeviceType(2);
    /// Memory of some other device, opaque to everyone but its backend.
    pub const EXTENSION: DeviceType = DeviceType(12);
}

/// DLPack's `DLDataTypeCode`. An open set.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeCode(pub u8);

impl TypeCode {
    /// Signed integer.
    pub const INT: TypeCode = TypeCode(0);
    /// Unsigned integer.
    pub const UINT: TypeCode = TypeCode(1);
    /// IEEE floating point.
    pub const FLOAT: TypeCode = TypeCode(2);
    /// Brain floating point.
    pub const BFLOAT: TypeCode = TypeCode(4);
    /// Pairs of IEEE floating point numbers; `bits` counts both.
    pub const COMPLEX: TypeCode = TypeCode(5);
    /// Truth values, one byte each.
    pub const BOOL: TypeCode = TypeCode(6);
}

/// DLPack's `DLDataType`.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataType {
    /// The kind of number.
    pub code: TypeCode,
    /// Bits of one lane.
    pub bits: u8,
    /// Always 1 here.
    pub lanes: u16,
}

impl DataType {
    /// A type of one lane.
    pub const fn new(code: TypeCode, bits: u8) -> DataType {
        DataType {
            code,
            bits,
            lanes: 1,
        }
    }

    /// Bytes that one element takes.
    pub const fn size(self) -> usize {
        (self.bits as usize * self.lanes as usize).div_ceil(8)
    }
}

/// A list of dims or strides; up to eight are stored in place, without an allocation.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct Dims {
    rank: u32,
    inline: [i64; 8],
    spilled: RVec<i64>,
}

impl Dims {
    /// Copies a list.
    pub fn new(dims: &[i64]) -> Dims {
        dims.iter().copied().collect()
    }

    /// The list.
    pub fn as_slice(&self) -> &[i64] {
        // A peer that wrote a rank beyond the inline room without spilling gets what is there.
        if self.rank as usize <= self.inline.len() {
            &self.inline[..self.rank as usize]
        } else {
            self.spilled.as_slice()
        }
    }
}

impl FromIterator<i64> for Dims {
    fn from_iter<I: IntoIterator<Item = i64>>(dims: I) -> Dims {
        let mut out = Dims {
            rank: 0,
            inline: [0; 8],
            spilled: RVec::new(),
        };
        for dim in dims {
            let at = out.rank as usize;
            match out.inline.get_mut(at) {
                Some(slot) => *slot = dim,
                None => {
                    if out.spilled.is_empty() {
                        out.spilled.extend(out.inline);
                    }
                    out.spilled.push(dim);
                }
            }
            out.rank += 1;
        }
        out
    }
}

impl std::fmt::Debug for Dims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// A function that takes an owner's object.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy)]
pub struct OwnerCall(pub unsafe extern "C" fn(*const c_void));

/// A counted reference to whatever keeps a tensor's memory alive.
///
/// Cloning retains, dropping releases, on any thread.
#[repr(C)]
#[derive(StableAbi)]
pub struct Owner {
    object: *const c_void,
    origin: *const c_void,
    retain: OwnerCall,
    release: OwnerCall,
}

// SAFETY: `Owner::new` demands an object whose two functions may be called from any thread.
unsafe impl Send for Owner {}
// SAFETY: as above; a shared reference gives access to nothing but `retain`.
unsafe impl Sync for Owner {}

impl Owner {
    /// Takes over one reference to `object`.
    ///
    /// `origin` is an address that only the maker of this object uses, by which it recognizes
    /// its own objects when they come back.
    ///
    /// # Safety
    ///
    /// `retain(object)` must add one reference and `release(object)` drop one; the object must
    /// live while references to it do, and both must be callable from any thread.
    pub unsafe fn new(
        object: *const c_void,
        origin: *const c_void,
        retain: OwnerCall,
        release: OwnerCall,
    ) -> Owner {
        Owner {
            object,
            origin,
            retain,
            release,
        }
    }

    /// The object, if `origin` says that it is the caller's own.
    pub fn object_of(&self, origin: *const c_void) -> Option<*const c_void> {
        (self.origin == origin).then_some(self.object)
    }

    /// Gives up the reference without releasing it, if `origin` says that it is the caller's own.
    pub fn into_object_of(self, origin: *const c_void) -> Result<*const c_void, Owner> {
        if self.origin != origin {
            return Err(self);
        }
        let object = self.object;
        std::mem::forget(self);
        Ok(object)
    }
}

impl Clone for Owner {
    fn clone(&self) -> Owner {
        // SAFETY: the contract of `Owner::new`; `self` holds a reference, so the object lives.
        unsafe { (self.retain.0)(self.object) };
        Owner { ..*self }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: the contract of `Owner::new`; this gives back the reference that `self` held.
        unsafe { (self.release.0)(self.object) };
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Owner({:p})", self.object)
    }
}

/// A tensor: where its elements lie, and what keeps them there.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct TensorDescriptor {
    /// Start of the memory; may be null for an empty tensor, and is opaque on
    /// [`DeviceType::EXTENSION`].
    pub data: *mut c_void,
    /// The kind of device that the memory belongs to.
    pub device_type: DeviceType,
    /// Which of the devices of that kind.
    pub device_ordinal: i32,
    /// The element type.
    pub dtype: DataType,
    /// Sizes of the dims.
    pub shape: Dims,
    /// Strides in elements, as many as there are dims; may be zero or negative.
    pub strides: Dims,
    /// Bytes from `data` to the first element.
    pub byte_offset: u64,
    /// What keeps the memory alive.
    pub owner: Owner,
}

// SAFETY: the pointer is only an address; what it points to is governed by `owner`, which may be
// used from any thread.
unsafe impl Send for TensorDescriptor {}
// SAFETY: as above.
unsafe impl Sync for TensorDescriptor {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_spill_beyond_eight() {
        for rank in [0, 1, 8, 9, 20] {
            let list: Vec<i64> = (0..rank).collect();
            assert_eq!(Dims::new(&list).as_slice(), list);
            assert_eq!(Dims::new(&list).clone().as_slice(), list);
        }
    }
}
