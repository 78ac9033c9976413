//! A tensor where a device keeps it: a descriptor with the fields of DLPack and a counted owner.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::{DType, Shape, Tensor};
use crate::dispatch_dtype;
use crate::error::{Error, ErrorKind, Result};

/// What kind of memory a device computes in. The numbers are DLPack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryKind(pub u32);

impl MemoryKind {
    /// Memory that the host's processor reads and writes directly.
    pub const HOST: MemoryKind = MemoryKind(1);
    /// NVIDIA device memory.
    pub const CUDA: MemoryKind = MemoryKind(2);
}

/// A tensor in some device's memory. Clones share the memory, which is released with the last owner.
#[derive(Clone)]
pub struct DeviceTensor {
    /// Address of the allocation, in the address space of `memory`.
    pub data: *mut u8,
    /// What kind of memory that is.
    pub memory: MemoryKind,
    /// Which device of that kind.
    pub ordinal: u32,
    /// The element type.
    pub dtype: DType,
    /// The length of each axis.
    pub shape: Shape,
    /// Elements from one entry of each axis to the next.
    pub strides: smallvec::SmallVec<[isize; 4]>,
    /// Bytes from `data` to the first element.
    pub byte_offset: usize,
    /// Keeps the allocation alive. A run that is given the tensor as a donated argument, by whoever holds the owner alone,
    /// may write over it.
    pub owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the descriptor is plain data and its owner is `Send` and `Sync`; who reads or writes through
// `data` upholds the contract of the call that handed the tensor over (shared: read only).
unsafe impl Send for DeviceTensor {}
// SAFETY: as above.
unsafe impl Sync for DeviceTensor {}

impl DeviceTensor {
    /// A host tensor as a device tensor in host memory, without a copy.
    pub fn from_host(tensor: Tensor) -> DeviceTensor {
        DeviceTensor {
            data: tensor.as_ptr().cast_mut(),
            memory: MemoryKind::HOST,
            ordinal: 0,
            dtype: tensor.dtype(),
            shape: Shape::from_slice(tensor.shape()),
            strides: contiguous_strides(tensor.shape()),
            byte_offset: 0,
            owner: tensor.owner(),
        }
    }

    /// The tensor in host memory: without a copy where it is contiguous, so that the memory stays in use
    /// until the last clone of the result is dropped or written to.
    ///
    /// # Errors
    /// If it is not in host memory.
    pub fn to_host(&self) -> Result<Tensor> {
        if self.memory != MemoryKind::HOST {
            let message = "the tensor is in device memory; its device must download it";
            return Err(Error::new(ErrorKind::Device, message));
        }
        if let Some(tensor) = Tensor::lent(self) {
            return Ok(tensor);
        }
        let count: usize = self.shape.iter().product();
        dispatch_dtype!(self.dtype, T => {
            let mut elements: Vec<T> = Vec::with_capacity(count);
            if count > 0 {
                // SAFETY: the tensor's maker promises that `data` points to live host memory of its
                // dtype that covers every element that shape, strides and offset reach.
                let base = unsafe { self.data.add(self.byte_offset).cast::<T>() };
                let mut index = Shape::from_elem(0, self.shape.len());
                for _ in 0..count {
                    let at: isize = index.iter().zip(&self.strides).map(|(&i, &s)| i as isize * s).sum();
                    // SAFETY: as above; `index` is inside the shape.
                    elements.push(unsafe { base.offset(at).read_unaligned() });
                    for axis in (0..index.len()).rev() {
                        index[axis] += 1;
                        if index[axis] < self.shape[axis] {
                            break;
                        }
                        index[axis] = 0;
                    }
                }
            }
            Tensor::from_vec(elements, &self.shape)
        })
    }

    /// Whether the elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        let as_expected = |(&length, &stride): (&usize, &isize)| {
            let fits = length == 1 || stride == expected;
            expected *= length as isize;
            fits
        };
        self.shape.contains(&0) || self.shape.iter().zip(&self.strides).rev().all(as_expected)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for DeviceTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?} in memory {:?}", self.dtype, self.shape, self.memory)
    }
}

/// Row-major strides, in elements.
pub fn contiguous_strides(shape: &[usize]) -> smallvec::SmallVec<[isize; 4]> {
    let mut strides = smallvec::SmallVec::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}
