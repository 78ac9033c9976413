//! A tensor in host memory: contiguous, row-major, shared until written.

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

use half::{bf16, f16};

use super::elements::{Elements, ask_for_large_pages};
use super::{DType, DeviceTensor, Element, Shape, Type};
use crate::dispatch_dtype;
use crate::error::{Error, ErrorKind, Result};

/// A tensor in host memory, contiguous and row-major. Clones share their elements; writing to a
/// shared one copies first.
pub struct Tensor {
    data: Data,
    shape: Shape,
}

impl Clone for Tensor {
    fn clone(&self) -> Tensor {
        // `SmallVec` clones element by element, which a small call would feel.
        Tensor { data: self.data.clone(), shape: Shape::from_slice(&self.shape) }
    }
}

#[derive(Clone)]
enum Data {
    Bool(Elements<bool>),
    I8(Elements<i8>),
    I16(Elements<i16>),
    I32(Elements<i32>),
    I64(Elements<i64>),
    U8(Elements<u8>),
    U16(Elements<u16>),
    U32(Elements<u32>),
    U64(Elements<u64>),
    F16(Elements<f16>),
    BF16(Elements<bf16>),
    F32(Elements<f32>),
    F64(Elements<f64>),
}

macro_rules! for_data {
    ($data:expr, $vector:ident => $body:expr) => {
        match $data {
            Data::Bool($vector) => $body,
            Data::I8($vector) => $body,
            Data::I16($vector) => $body,
            Data::I32($vector) => $body,
            Data::I64($vector) => $body,
            Data::U8($vector) => $body,
            Data::U16($vector) => $body,
            Data::U32($vector) => $body,
            Data::U64($vector) => $body,
            Data::F16($vector) => $body,
            Data::BF16($vector) => $body,
            Data::F32($vector) => $body,
            Data::F64($vector) => $body,
        }
    };
}

macro_rules! with_vector {
    ($($T:ty, $variant:ident);*) => {$(
        impl Stored for $T {
            fn wrap(elements: Elements<$T>) -> Data { Data::$variant(elements) }
            fn unwrap(data: &Data) -> Option<&Elements<$T>> {
                if let Data::$variant(vector) = data { Some(vector) } else { None }
            }
            fn unwrap_mut(data: &mut Data) -> Option<&mut Elements<$T>> {
                if let Data::$variant(vector) = data { Some(vector) } else { None }
            }
        }
    )*};
}

trait Stored: Sized {
    fn wrap(elements: Elements<Self>) -> Data;
    fn unwrap(data: &Data) -> Option<&Elements<Self>>;
    fn unwrap_mut(data: &mut Data) -> Option<&mut Elements<Self>>;
}
with_vector!(bool, Bool; i8, I8; i16, I16; i32, I32; i64, I64; u8, U8; u16, U16; u32, U32; u64, U64;
    f16, F16; bf16, BF16; f32, F32; f64, F64);

/// An [`Element`] that a [`Tensor`] can hold: all of them. The bound hides the storage.
#[allow(private_bounds)]
pub trait TensorElement: Element + Stored {}
impl<T: Element + Stored> TensorElement for T {}

fn own<T>(elements: Vec<T>) -> Elements<T> {
    Elements::Own(Arc::new(elements))
}

impl Tensor {
    /// The tensor of a device in host memory without a copy; `None` where its elements are not contiguous
    /// and aligned.
    pub(super) fn lent(tensor: &DeviceTensor) -> Option<Tensor> {
        if !tensor.is_contiguous() || tensor.data.is_null() {
            return None;
        }
        if tensor.dtype == DType::Bool {
            // Another library may have left any byte there.
            // SAFETY: as below; every byte is a value of `u8`.
            let bytes = unsafe { std::slice::from_raw_parts(tensor.data.wrapping_add(tensor.byte_offset), tensor.len()) };
            if bytes.iter().any(|&byte| byte > 1) {
                return None;
            }
        }
        // SAFETY: the tensor's maker promises elements of its dtype that live as long as the owner and are not written to while
        // it is shared.
        unsafe { Tensor::kept_by(tensor.owner.clone(), tensor.dtype, &tensor.shape, tensor.data.wrapping_add(tensor.byte_offset)) }
    }

    /// A tensor whose elements, in row-major order from `start` on, an owner keeps alive; `None` if that is null or not aligned.
    ///
    /// # Safety
    /// The elements are initialized, live as long as a clone of the owner does, and are not written to meanwhile but by
    /// whoever is its only holder, who may.
    pub unsafe fn kept_by(owner: Arc<dyn std::any::Any + Send + Sync>, dtype: DType, shape: &[usize], start: *mut u8) -> Option<Tensor> {
        let data = dispatch_dtype!(dtype, T => {
            // SAFETY: the caller's promise.
            <T as Stored>::wrap(unsafe { Elements::lent(start.cast::<T>(), shape.iter().product(), owner) }?)
        });
        Some(Tensor { data, shape: Shape::from_slice(shape) })
    }

    /// An array as a tensor without a copy, with an owner that knows how long it is borrowed; `None` if it is not
    /// in row-major order.
    ///
    /// # Safety
    /// The array's elements live, and are not written to, as long as a clone of the owner does.
    pub(crate) unsafe fn on_loan<T: TensorElement, D: ndarray::Dimension>(
        array: &ndarray::ArrayRef<T, D>, owner: Arc<dyn std::any::Any + Send + Sync>,
    ) -> Option<Tensor> {
        let elements = array.as_slice()?;
        // SAFETY: by the caller's promise.
        let elements = unsafe { Elements::lent(elements.as_ptr().cast_mut(), elements.len(), owner) }?;
        Some(Tensor { data: T::wrap(elements), shape: array.shape().into() })
    }

    /// The same elements in memory of their own.
    pub(crate) fn copied(&self) -> Tensor {
        let data = dispatch_dtype!(self.dtype(), T => <T as Stored>::wrap(own(<T as Stored>::unwrap(&self.data).map(|elements| elements.to_vec()).unwrap_or_default())));
        Tensor { data, shape: self.shape.clone() }
    }

    /// What keeps the elements alive, for descriptors.
    pub(super) fn owner(&self) -> Arc<dyn std::any::Any + Send + Sync> {
        for_data!(&self.data, vector => vector.owner())
    }

    /// The tensor in host memory for a call that may write over it; as it is if others hold its elements too.
    pub(crate) fn into_sole(mut self) -> std::result::Result<DeviceTensor, Tensor> {
        match for_data!(&mut self.data, elements => elements.sole().map(<*mut _>::cast::<u8>)) {
            Some(data) => Ok(DeviceTensor { data, ..DeviceTensor::from_host(self) }),
            None => Err(self),
        }
    }

    /// A tensor from its elements in row-major order.
    ///
    /// ```
    /// use arignote_core::tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    /// assert_eq!(x.to_string(), "[[1, 2, 3], [4, 5, 6]]");
    /// ```
    ///
    /// # Errors
    /// If the number of elements is not the product of the shape.
    pub fn from_vec<T: TensorElement>(elements: Vec<T>, shape: &[usize]) -> Result<Tensor> {
        if elements.len() != shape.iter().product::<usize>() {
            let message = format!("{} elements do not fill the shape {shape:?}", elements.len());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        Ok(Tensor { data: T::wrap(own(elements)), shape: shape.into() })
    }

    /// A tensor without axes.
    pub fn scalar<T: TensorElement>(value: T) -> Tensor {
        Tensor { data: T::wrap(own(vec![value])), shape: Shape::new() }
    }

    /// A tensor of one axis.
    pub fn vector<T: TensorElement>(elements: Vec<T>) -> Tensor {
        let shape = Shape::from_slice(&[elements.len()]);
        Tensor { data: T::wrap(own(elements)), shape }
    }

    /// A tensor filled with the dtype's zero.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
        dispatch_dtype!(dtype, T => {
            let elements: Vec<T> = vec![T::default(); shape.iter().product()];
            // Large memory of zeros is as the system gives it: its pages are made when they are first touched.
            let (start, count) = (elements.as_ptr().cast::<MaybeUninit<T>>(), elements.len());
            // SAFETY: the elements, seen as what may not be initialized.
            ask_for_large_pages(unsafe { std::slice::from_raw_parts(start, count) });
            Tensor { data: <T as Stored>::wrap(own(elements)), shape: shape.into() }
        })
    }

    /// A copy of an ndarray.
    pub fn from_ndarray<T: TensorElement, D: ndarray::Dimension>(array: &ndarray::ArrayRef<T, D>) -> Tensor {
        let mut elements: Vec<T> = Vec::with_capacity(array.len());
        ask_for_large_pages(elements.spare_capacity_mut());
        elements.extend(array.iter().copied());
        Tensor { data: T::wrap(own(elements)), shape: array.shape().into() }
    }

    /// The elements of an ndarray, without a copy where they lie in row-major order and are all of its memory.
    ///
    /// ```
    /// use arignote_core::tensor::Tensor;
    /// let x = Tensor::from_array(ndarray::array![[1.0f32, 2.0], [3.0, 4.0]]);
    /// let y = x.view::<f32>().unwrap();
    /// assert_eq!((y[[1, 0]], y.as_ptr().cast()), (3.0, x.as_ptr()));
    /// ```
    pub fn from_array<T: TensorElement, D: ndarray::Dimension>(array: ndarray::Array<T, D>) -> Tensor {
        if !array.is_standard_layout() {
            return Tensor::from_ndarray(&array);
        }
        let (shape, count): (Shape, usize) = (array.shape().into(), array.len());
        let (mut elements, start) = array.into_raw_vec_and_offset();
        // A slice of a larger array keeps its part alone.
        elements.truncate(start.unwrap_or(0) + count);
        elements.drain(..start.unwrap_or(0));
        Tensor { data: T::wrap(own(elements)), shape }
    }

    /// The elements as an ndarray, without a copy.
    ///
    /// # Errors
    /// If the tensor has another dtype.
    pub fn view<T: TensorElement>(&self) -> Result<ndarray::ArrayViewD<'_, T>> {
        ndarray::ArrayViewD::from_shape(ndarray::IxDyn(&self.shape), self.as_slice::<T>()?)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
    }

    /// A copy as an ndarray.
    ///
    /// # Errors
    /// If the tensor has another dtype.
    pub fn to_ndarray<T: TensorElement>(&self) -> Result<ndarray::ArrayD<T>> {
        let elements = self.as_slice::<T>()?.to_vec();
        ndarray::ArrayD::from_shape_vec(ndarray::IxDyn(&self.shape), elements)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        fn of<T: Element>(_: &Elements<T>) -> DType {
            T::DTYPE
        }
        for_data!(&self.data, vector => of(vector))
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        for_data!(&self.data, vector => vector.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The symbolic type with this dtype and shape.
    pub fn ty(&self) -> Type {
        Type::of_shape(self.dtype(), &self.shape)
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// If the tensor has another dtype.
    pub fn as_slice<T: TensorElement>(&self) -> Result<&[T]> {
        match T::unwrap(&self.data) {
            Some(elements) => Ok(elements),
            None => Err(self.wrong_dtype(T::DTYPE)),
        }
    }

    /// The elements for writing; copies them first if another tensor shares them.
    ///
    /// # Errors
    /// If the tensor has another dtype.
    pub fn as_mut_slice<T: TensorElement>(&mut self) -> Result<&mut [T]> {
        let error = self.wrong_dtype(T::DTYPE);
        T::unwrap_mut(&mut self.data).map(Elements::make_mut).ok_or(error)
    }

    /// Whether no other tensor shares the elements, so that writing copies nothing.
    pub fn is_unique(&self) -> bool {
        for_data!(&self.data, vector => vector.is_unique())
    }

    /// The address of the first element, for descriptors that cross the plugin boundary.
    pub fn as_ptr(&self) -> *const u8 {
        for_data!(&self.data, vector => vector.as_ptr().cast())
    }

    /// Size of the elements in bytes.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype().size()
    }

    /// The elements as bytes in the machine's order.
    pub fn bytes(&self) -> &[u8] {
        fn bytes<T: Element>(elements: &[T]) -> &[u8] {
            // SAFETY: every element type is plain data without padding, so its bytes may be read.
            unsafe { std::slice::from_raw_parts(elements.as_ptr().cast::<u8>(), size_of_val(elements)) }
        }
        for_data!(&self.data, elements => bytes(elements))
    }

    /// A copy of the elements as bytes in the machine's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes().to_vec()
    }

    /// A tensor from bytes in the machine's order. A `bool` is false for 0 and true for all else.
    ///
    /// # Errors
    /// If the number of bytes does not fit the dtype and shape.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
        let needed = shape.iter().try_fold(dtype.size(), |size, &length| size.checked_mul(length));
        if needed != Some(bytes.len()) {
            let message = format!("{} bytes do not fill {dtype}{shape:?}", bytes.len());
            return Err(Error::new(ErrorKind::Io, message));
        }
        if dtype == DType::Bool {
            return Tensor::from_vec(bytes.iter().map(|&byte| byte != 0).collect(), shape);
        }
        let mut tensor = Tensor::zeros(dtype, shape);
        fn fill<T: Element>(elements: &mut Elements<T>, bytes: &[u8]) {
            let target = elements.make_mut();
            // SAFETY: `target` owns exactly `bytes.len()` bytes (checked above, as `zeros` has the
            // same dtype and shape), and every bit pattern is a value of a numeric element type.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.as_mut_ptr().cast(), bytes.len()) }
        }
        for_data!(&mut tensor.data, vector => fill(vector, bytes));
        Ok(tensor)
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// If the number of elements differs.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Tensor> {
        if shape.iter().product::<usize>() != self.len() {
            let message = format!("cannot reshape {:?} ({} elements) into {shape:?}", self.shape, self.len());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        Ok(Tensor { data: self.data.clone(), shape: shape.into() })
    }

    /// The elements converted to another dtype as NumPy's `astype` does: integers wrap, floats to
    /// integers truncate (and saturate), anything to `bool` asks whether it is non-zero.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype() {
            return self.clone();
        }
        fn convert<S: Element, T: Element>(value: S) -> T {
            let wide = S::DTYPE == DType::U64 && T::DTYPE.is_float();
            if wide || S::DTYPE.is_float() {
                T::from_f64(value.to_f64())
            } else {
                T::from_i64(value.to_i64())
            }
        }
        fn collect<S: Element, T: TensorElement>(source: &[S], shape: &Shape) -> Tensor {
            let elements: Vec<T> = source.iter().map(|&value| convert(value)).collect();
            Tensor { data: T::wrap(own(elements)), shape: shape.clone() }
        }
        for_data!(&self.data, vector => dispatch_dtype!(dtype, T => collect::<_, T>(vector, &self.shape)))
    }

    /// The elements as `f64`, in row-major order.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        for_data!(&self.data, vector => vector.iter().map(|&value| value.to_f64()).collect())
    }

    /// The elements as `i64`, in row-major order; floats are truncated.
    pub fn to_i64_vec(&self) -> Vec<i64> {
        for_data!(&self.data, vector => vector.iter().map(|&value| value.to_i64()).collect())
    }

    /// The one element of a tensor that has one, as `f64`.
    pub fn item(&self) -> Option<f64> {
        if self.len() == 1 { self.to_f64_vec().first().copied() } else { None }
    }

    /// Whether dtype, shape and every bit are equal: a NaN equals itself, 0 and -0 differ.
    pub fn identical(&self, other: &Tensor) -> bool {
        self.dtype() == other.dtype() && self.shape == other.shape && self.bytes() == other.bytes()
    }

    fn wrong_dtype(&self, wanted: DType) -> Error {
        Error::new(ErrorKind::Type, format!("the tensor holds {}, not {wanted}", self.dtype()))
    }
}

impl PartialEq for Tensor {
    /// Dtype, shape and bits, as [`Tensor::identical`].
    fn eq(&self, other: &Tensor) -> bool {
        self.identical(other)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?} {self}", self.dtype(), self.shape.as_slice())
    }
}

impl fmt::Display for Tensor {
    /// Nested lists; an axis of more than 8 entries shows its first and last three.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |index: usize| -> String {
            for_data!(&self.data, vector => {
                let value = vector[index];
                match self.dtype() {
                    DType::Bool => (value.to_i64() != 0).to_string(),
                    DType::F32 => (value.to_f64() as f32).to_string(),
                    dtype if dtype.is_float() => value.to_f64().to_string(),
                    _ => format!("{value:?}"),
                }
            })
        };
        fn write(
            f: &mut fmt::Formatter<'_>, shape: &[usize], offset: usize, text: &dyn Fn(usize) -> String,
        ) -> fmt::Result {
            let Some((&length, rest)) = shape.split_first() else { return f.write_str(&text(offset)) };
            let stride: usize = rest.iter().product();
            f.write_str("[")?;
            for i in 0..length {
                if length > 8 && i == 3 {
                    f.write_str(", ...")?;
                }
                if length > 8 && (3..length - 3).contains(&i) {
                    continue;
                }
                if i > 0 {
                    f.write_str(", ")?;
                }
                write(f, rest, offset + i * stride, text)?;
            }
            f.write_str("]")
        }
        write(f, &self.shape, 0, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_follow_numpy() {
        let x = Tensor::vector(vec![-1.9f64, 300.0, f64::NAN]);
        assert_eq!(x.cast(DType::I32).to_i64_vec(), [-1, 300, 0]);
        assert_eq!(Tensor::vector(vec![300i64, -1]).cast(DType::U8).to_i64_vec(), [44, 255]);
        assert_eq!(Tensor::vector(vec![u64::MAX]).cast(DType::F64).to_f64_vec(), [u64::MAX as f64]);
        assert_eq!(x.cast(DType::Bool).to_i64_vec(), [1, 1, 1]);
    }

    #[test]
    fn bytes_round_trip() {
        for dtype in DType::ALL {
            let x = Tensor::vector(vec![0i64, 1, 1, 0]).cast(dtype);
            assert!(Tensor::from_bytes(dtype, &[4], &x.to_bytes()).unwrap().identical(&x));
        }
    }

    #[test]
    fn writing_to_a_shared_tensor_copies() {
        let mut x = Tensor::vector(vec![1i32, 2]);
        let y = x.clone();
        x.as_mut_slice::<i32>().unwrap()[0] = 9;
        assert_eq!((x.to_i64_vec(), y.to_i64_vec()), (vec![9, 2], vec![1, 2]));
    }
}
