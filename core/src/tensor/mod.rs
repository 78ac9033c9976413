//! Element types, symbolic types and tensors in host memory.

mod device;
mod dtype;
mod elements;
mod host;
mod types;

pub use device::{DeviceTensor, MemoryKind, contiguous_strides};
pub use dtype::{DType, Element, Kind};
pub use half::{bf16, f16};
pub use host::{Tensor, TensorElement};
pub use types::{
    Dim, MAX_RANK, Shape, Type, broadcast_dims, broadcast_shapes, check_rank, unknown_dims,
};

/// Calls `$body` with `$T` bound to the Rust type of a [`DType`].
///
/// ```
/// use arignote_core::{dispatch_dtype, tensor::DType};
/// assert_eq!(dispatch_dtype!(DType::F16, T => size_of::<T>()), 2);
/// ```
#[macro_export]
macro_rules! dispatch_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        $crate::dispatch_dtype!(@match $dtype, $T => $body;
            Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 $crate::tensor::f16, BF16 $crate::tensor::bf16, F32 f32, F64 f64)
    };
    (@match $dtype:expr, $T:ident => $body:expr; $($variant:ident $type:ty),*) => {
        match $dtype {
            $($crate::tensor::DType::$variant => {
                type $T = $type;
                $body
            })*
        }
    };
}
