//! Tensors on their way through the boundary.
//!
//! A tensor leaves as a descriptor whose owner holds a counted reference. One that comes back to the
//! copy of this library that sent it is recognized by its owner's origin and unwrapped, so that a
//! unique reference is unique again; one from elsewhere is held by its foreign owner. A statically
//! linked plugin shares this copy, so with it nothing is ever foreign.

use std::any::Any;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use arignote_abi as abi;
use arignote_abi::{Dims, Owner, OwnerCall, TensorDescriptor};

use super::convert::{dtype_in, dtype_out, malformed};
use crate::dispatch_dtype;
use crate::error::Result;
use crate::tensor::{DeviceTensor, MemoryKind, Tensor, contiguous_strides};

type AnyOwner = Arc<dyn Any + Send + Sync>;

// Each copy of this library has its own; nobody else has these addresses. They are written to by
// nobody, but being interior mutable they cannot be merged with other statics.
static SHARED: AtomicU8 = AtomicU8::new(0);
static LENT: AtomicU8 = AtomicU8::new(0);

fn shared() -> *const c_void {
    (&raw const SHARED).cast()
}

fn lent() -> *const c_void {
    (&raw const LENT).cast()
}

/// What holds a tensor that another library owns.
struct Foreign(Owner);

unsafe extern "C" fn retain(object: *const c_void) {
    // SAFETY: `object` came from `Arc::into_raw` in `owner_out`, and the caller holds a reference.
    unsafe { Arc::increment_strong_count(object.cast::<AnyOwner>()) }
}

unsafe extern "C" fn release(object: *const c_void) {
    // SAFETY: as in `retain`; this takes the caller's reference. A panic in the owner's destructor
    // must not cross: it ends here, with what it was about to free leaked.
    let owner = unsafe { Arc::from_raw(object.cast::<AnyOwner>()) };
    let dropping = std::panic::AssertUnwindSafe(|| drop(owner));
    let _ = std::panic::catch_unwind(dropping).map_err(std::mem::forget);
}

fn owner_out(owner: AnyOwner) -> Owner {
    // One of another library goes on as it came.
    let owner = match owner.downcast::<Foreign>() {
        Ok(foreign) => return Arc::try_unwrap(foreign).map_or_else(|shared| shared.0.clone(), |own| own.0),
        Err(owner) => owner,
    };
    let object = Arc::into_raw(Arc::new(owner)).cast::<c_void>();
    // SAFETY: the object is a counted `Arc` of something `Send + Sync`, and the functions count it.
    unsafe { Owner::new(object, shared(), OwnerCall(retain), OwnerCall(release)) }
}

fn owner_in(owner: Owner) -> AnyOwner {
    match owner.into_object_of(shared()) {
        Ok(object) => {
            // SAFETY: with this origin the object came from `Arc::into_raw` in `owner_out`, and
            // `into_object_of` gave us its reference.
            let own = unsafe { Arc::from_raw(object.cast::<AnyOwner>()) };
            Arc::try_unwrap(own).unwrap_or_else(|own| AnyOwner::clone(&own))
        }
        Err(foreign) => Arc::new(Foreign(foreign)),
    }
}

pub(super) fn shape_out(shape: &[usize]) -> Dims {
    shape.iter().map(|&length| length as i64).collect()
}

pub(super) fn shape_in(shape: &Dims) -> Result<crate::tensor::Shape> {
    let lengths = shape.as_slice().iter();
    let lengths = lengths.map(|&length| usize::try_from(length).map_err(|_| malformed("a negative length")));
    lengths.collect()
}

pub(super) fn device_tensor_out(tensor: DeviceTensor) -> TensorDescriptor {
    TensorDescriptor {
        data: tensor.data.cast(),
        device_type: abi::DeviceType(tensor.memory.0 as i32),
        device_ordinal: tensor.ordinal as i32,
        dtype: dtype_out(tensor.dtype),
        shape: shape_out(&tensor.shape),
        strides: tensor.strides.iter().map(|&stride| stride as i64).collect(),
        byte_offset: tensor.byte_offset as u64,
        owner: owner_out(tensor.owner),
    }
}

pub(super) fn device_tensor_in(tensor: TensorDescriptor) -> Result<DeviceTensor> {
    let shape = shape_in(&tensor.shape)?;
    let strides = tensor.strides.as_slice();
    if strides.len() != shape.len() {
        return Err(malformed(format_args!("{} strides for {} axes", strides.len(), shape.len())));
    }
    let in_memory = !shape.contains(&0);
    if tensor.data.is_null() && in_memory && tensor.device_type == abi::DeviceType::CPU {
        return Err(malformed("a tensor without memory"));
    }
    Ok(DeviceTensor {
        data: tensor.data.cast(),
        memory: MemoryKind(tensor.device_type.0 as u32),
        ordinal: tensor.device_ordinal as u32,
        dtype: dtype_in(tensor.dtype)?,
        strides: strides.iter().map(|&stride| stride as isize).collect(),
        shape,
        byte_offset: tensor.byte_offset as usize,
        owner: owner_in(tensor.owner),
    })
}

pub(super) fn tensor_out(tensor: &Tensor) -> TensorDescriptor {
    device_tensor_out(DeviceTensor::from_host(tensor.clone()))
}

/// A host tensor; copied unless it is this library's own.
pub(super) fn tensor_in(tensor: TensorDescriptor) -> Result<Tensor> {
    let tensor = device_tensor_in(tensor)?;
    let host = tensor.to_host()?;
    // Who else holds another library's memory cannot be counted here.
    if tensor.owner.is::<Foreign>() { Tensor::from_bytes(host.dtype(), host.shape(), host.bytes()) } else { Ok(host) }
}

unsafe extern "C" fn keep(_: *const c_void) {}

/// A tensor that is lent for the length of a call, to be written.
///
/// # Safety
///
/// The tensor must stay borrowed until the call that is given the descriptor has returned.
pub(super) unsafe fn lend(tensor: &mut Tensor) -> Result<TensorDescriptor> {
    let data = dispatch_dtype!(tensor.dtype(), T => tensor.as_mut_slice::<T>()?.as_mut_ptr().cast::<c_void>());
    let object: *mut Tensor = tensor;
    Ok(TensorDescriptor {
        data,
        device_type: abi::DeviceType::CPU,
        device_ordinal: 0,
        dtype: dtype_out(tensor.dtype()),
        shape: shape_out(tensor.shape()),
        strides: contiguous_strides(tensor.shape()).iter().map(|&stride| stride as i64).collect(),
        byte_offset: 0,
        // SAFETY: nothing is counted: the caller promises that the borrow outlives every use.
        owner: unsafe { Owner::new(object.cast(), lent(), OwnerCall(keep), OwnerCall(keep)) },
    })
}

/// A tensor borrowed from the caller of a kernel, to be filled and given back.
pub(super) struct Borrowed {
    descriptor: TensorDescriptor,
}

impl Borrowed {
    /// Takes the tensor: the caller's own where it is of this library, else a copy.
    ///
    /// # Safety
    ///
    /// The descriptor must have been lent for a call that has not returned, and to no one else.
    pub(super) unsafe fn take(descriptor: TensorDescriptor) -> Result<(Tensor, Borrowed)> {
        let tensor = match descriptor.owner.object_of(lent()) {
            // SAFETY: with this origin the object is the `&mut Tensor` given to `lend`, which is
            // still borrowed and which nobody else uses, by this function's contract.
            Some(object) => unsafe { std::ptr::replace(object.cast_mut().cast::<Tensor>(), empty()) },
            None => tensor_in(descriptor.clone())?,
        };
        Ok((tensor, Borrowed { descriptor }))
    }

    /// Gives the filled tensor back.
    pub(super) fn give_back(self, tensor: Tensor) -> Result<()> {
        if let Some(object) = self.descriptor.owner.object_of(lent()) {
            // SAFETY: as in `take`, whose contract lasts until the call returns.
            unsafe { *object.cast_mut().cast::<Tensor>() = tensor };
            return Ok(());
        }
        let shape = shape_in(&self.descriptor.shape)?;
        if tensor.shape() != shape.as_slice() || dtype_out(tensor.dtype()) != self.descriptor.dtype {
            return Err(malformed(format_args!("{} where {shape:?} was asked for", tensor.ty())));
        }
        if tensor.byte_len() > 0 {
            // SAFETY: the lender promises contiguous memory of this dtype and shape, just compared,
            // which nobody else uses until the call returns.
            unsafe {
                let target = self.descriptor.data.cast::<u8>().add(self.descriptor.byte_offset as usize);
                std::ptr::copy_nonoverlapping(tensor.as_ptr(), target, tensor.byte_len());
            }
        }
        Ok(())
    }
}

fn empty() -> Tensor {
    Tensor::zeros(crate::tensor::DType::Bool, &[0])
}
