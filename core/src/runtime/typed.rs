//! [`TypedFunction`]: a function whose argument and result types the Rust compiler knows, for hot loops.
//!
//! Dtypes and ranks are checked once, when the function is typed; a call checks only lengths. Arrays are lent to
//! the call where they are, results are views of what the function computed.

use std::marker::PhantomData;

use ndarray::{ArrayRef, ArrayView, Dimension};

use super::Function;
use super::loans::Loans;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{Tensor, TensorElement, Type};

/// A function with arguments `A` and results `R`: each an [`Array`] or a tuple of up to eight of them.
/// [`Function::typed`] makes it.
///
/// ```
/// # use arignote_core::{graph::Var, runtime::{Array, FunctionBuilder, TypedFunction}, tensor::{DType, Type}};
/// # fn call(session: &arignote_core::runtime::Session) -> arignote_core::Result<()> {
/// use ndarray::{Ix1, Ix2, array};
/// let w = Var::input("w", Type::new(DType::F64, ["n".into(), "k".into()]));
/// let x = Var::input("x", Type::new(DType::F64, ["k".into()]));
/// let f = FunctionBuilder::new("f").input(&w).input(&x).output(&w.matmul(&x)).build(session)?;
/// let f: TypedFunction<(Array<f64, Ix2>, Array<f64, Ix1>), Array<f64, Ix1>> = f.typed()?;
/// let y = f.call((&array![[1.0, 2.0], [3.0, 4.0]], &array![1.0, 1.0]))?;
/// assert_eq!(y.view(), array![3.0, 7.0]);
/// # Ok(())
/// # }
/// ```
pub struct TypedFunction<A, R> {
    function: Function,
    lends: bool,
    types: PhantomData<fn(A) -> R>,
}

impl<A: Arrays, R: Arrays> TypedFunction<A, R> {
    /// Calls the function. Arguments that lie in row-major order are read where they are, others are copied.
    ///
    /// # Errors
    /// If lengths of axes do not fit, or an op fails. All states then have the values they had before.
    pub fn call(&self, arguments: A::Borrowed<'_>) -> Result<R> {
        let mut loans = Loans::new(self.lends);
        A::lend(arguments, &mut loans);
        let mut results = self.function.call_with(&loans)?.into_iter();
        R::take(&mut results)
    }

    /// The function without its types.
    pub fn function(&self) -> &Function {
        &self.function
    }
}

impl Function {
    /// The function with argument and result types that the Rust compiler checks.
    ///
    /// # Errors
    /// If the number of inputs or outputs, a dtype or a number of axes differs.
    pub fn typed<A: Arrays, R: Arrays>(&self) -> Result<TypedFunction<A, R>> {
        let graph = self.graph();
        let inputs = graph.inputs.iter().map(|input| input.ty().cloned()).collect::<Result<Vec<Type>>>()?;
        let outputs = graph.outputs.iter().map(|(_, output)| output.ty().cloned()).collect::<Result<Vec<Type>>>()?;
        let of = |what: &str, error: Error| error.note(format!("these are the {what} of `{}`", graph.name));
        A::check(&inputs).map_err(|error| of("inputs", error))?;
        R::check(&outputs).map_err(|error| of("outputs", error))?;
        // Whoever is shown values may keep them, so that it is given copies.
        Ok(TypedFunction { lends: !self.compiled().shows_values(), function: self.clone(), types: PhantomData })
    }
}

/// A dense array with elements `T` and as many axes as `D` says: an argument or a result of a [`TypedFunction`].
/// A value without axes is an `Array<T, Ix0>`.
#[derive(Clone)]
pub struct Array<T, D> {
    tensor: Tensor,
    dims: D,
    elements: PhantomData<T>,
}

impl<T: TensorElement, D: Dimension> Array<T, D> {
    fn new(tensor: Tensor) -> Result<Array<T, D>> {
        Self::admits(&tensor.ty())?;
        let mut dims = D::zeros(tensor.rank());
        dims.slice_mut().copy_from_slice(tensor.shape());
        Ok(Array { tensor, dims, elements: PhantomData })
    }

    fn admits(ty: &Type) -> Result<()> {
        if ty.dtype == T::DTYPE && D::NDIM.is_none_or(|rank| rank == ty.rank()) {
            return Ok(());
        }
        let rank = D::NDIM.map_or("any number of".to_owned(), |rank| rank.to_string());
        let message = format!("expected {} and {rank} axes, found {ty}", T::DTYPE);
        Err(Error::new(ErrorKind::Type, message))
    }

    /// The elements, where they are.
    pub fn view(&self) -> ArrayView<'_, T, D> {
        let elements = self.tensor.as_slice::<T>().unwrap_or_default();
        // SAFETY: `new` saw that the dtype is `T`'s, so that these are the tensor's elements, contiguous, in
        // row-major order and as many as `dims` says; they are borrowed from the tensor.
        unsafe { ArrayView::from_shape_ptr(self.dims.clone(), elements.as_ptr()) }
    }

    /// The array as a tensor, without a copy.
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }
}

/// An [`Array`] or a tuple of some.
pub trait Arrays: Sized {
    /// What a call takes for them.
    type Borrowed<'a>;

    /// Whether these are the types.
    ///
    /// # Errors
    /// If their number, a dtype, or a number of axes differs.
    fn check(types: &[Type]) -> Result<()>;

    /// Lends the arrays, in order.
    #[doc(hidden)]
    fn lend<'a>(arrays: Self::Borrowed<'a>, loans: &mut Loans<'a>);

    /// The results of a call.
    #[doc(hidden)]
    fn take(results: &mut dyn Iterator<Item = Tensor>) -> Result<Self>;
}

fn taken<T: TensorElement, D: Dimension>(results: &mut dyn Iterator<Item = Tensor>) -> Result<Array<T, D>> {
    let Some(tensor) = results.next() else {
        return Err(Error::new(ErrorKind::Internal, "a call gave too few results"));
    };
    Array::new(tensor)
}

impl<T: TensorElement, D: Dimension + 'static> Arrays for Array<T, D> {
    type Borrowed<'a> = &'a ArrayRef<T, D>;

    fn check(types: &[Type]) -> Result<()> {
        <(Self,)>::check(types)
    }

    fn lend<'a>(array: &'a ArrayRef<T, D>, loans: &mut Loans<'a>) {
        loans.lend(array);
    }

    fn take(results: &mut dyn Iterator<Item = Tensor>) -> Result<Self> {
        taken(results)
    }
}

macro_rules! tuples {
    ($(($($T:ident $D:ident $array:ident),*))*) => {$(
        impl<$($T: TensorElement, $D: Dimension + 'static),*> Arrays for ($(Array<$T, $D>,)*) {
            type Borrowed<'a> = ($(&'a ArrayRef<$T, $D>,)*);

            fn check(types: &[Type]) -> Result<()> {
                let [$($array),*] = types else {
                    const COUNT: usize = <[&str]>::len(&[$(stringify!($T)),*]);
                    let message = format!("expected {COUNT}, found {}", types.len());
                    return Err(Error::new(ErrorKind::Type, message));
                };
                $(Array::<$T, $D>::admits($array)?;)*
                Ok(())
            }

            fn lend<'a>(($($array,)*): Self::Borrowed<'a>, loans: &mut Loans<'a>) {
                $(loans.lend($array);)*
                let _ = loans;
            }

            fn take(results: &mut dyn Iterator<Item = Tensor>) -> Result<Self> {
                let _ = &results;
                Ok(($(taken::<$T, $D>(results)?,)*))
            }
        }
    )*};
}

tuples! {
    () (A AD a) (A AD a, B BD b) (A AD a, B BD b, C CD c) (A AD a, B BD b, C CD c, E ED e)
    (A AD a, B BD b, C CD c, E ED e, F FD f) (A AD a, B BD b, C CD c, E ED e, F FD f, G GD g)
    (A AD a, B BD b, C CD c, E ED e, F FD f, G GD g, H HD h)
    (A AD a, B BD b, C CD c, E ED e, F FD f, G GD g, H HD h, I ID i)
}
