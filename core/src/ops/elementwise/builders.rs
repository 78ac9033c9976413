//! Methods and operators of [`Var`] for the family. Expression code does not fail: an ill-typed value
//! carries its error until the function is compiled.

use std::ops;

use crate::graph::Var;
use crate::ops::Attributes;
use crate::tensor::DType;

macro_rules! methods {
    (unary: $($unary:ident)*; binary: $($binary:ident)*) => {
        impl Var {
            $(
                #[doc = concat!("The op `", stringify!($unary), "`, element by element; see `arignote ops`.")]
                #[track_caller]
                pub fn $unary(&self) -> Var {
                    Var::apply(stringify!($unary), std::slice::from_ref(self), Attributes::new())
                }
            )*
            $(
                #[doc = concat!("The op `", stringify!($binary), "`, element by element, broadcasting; see `arignote ops`.")]
                #[track_caller]
                pub fn $binary(&self, other: &Var) -> Var {
                    Var::apply(stringify!($binary), &[self.clone(), other.clone()], Attributes::new())
                }
            )*
        }
    };
}
methods!(
    unary: abs sign square relu floor ceil rint round trunc reciprocal sqrt exp exp2 expm1 log log2 log10 log1p log1pmx sin cos
        tan arcsin arccos arctan sinh cosh tanh sech_squared arcsinh arccosh arctanh erf erfc erfcx ierfcx erfinv
        erfcinv ndtr ndtri log_ndtr ndtri_exp iround xlogx factorial ultra_fast_sigmoid i0 i1 i0e i1e j0 j1 logit cbrt selu softsign hard_sigmoid trigamma deg2rad rad2deg isposinf isneginf gamma lgamma digamma sigmoid
        log_sigmoid softplus log1mexp silu gelu isnan isinf isfinite logical_not stop_gradient;
    binary: floor_div pow maximum minimum arctan2 logaddexp logsubexp hypot xlogy xlog1py copysign fmod heaviside gammainc gammaincc gammal gammau chi2sf beta betaln owens_t gammaincinv gammainccinv poch kv kve log_kv log_kv_dx iv ive log_iv log_iv_dx jv polygamma eq ne lt le gt ge logical_and logical_or
        logical_xor
);

impl Var {
    /// The value converted to another dtype.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Var {
        Var::apply("cast", std::slice::from_ref(self), Attributes::new().with("dtype", dtype))
    }

    /// The derivative of this order of `gammainc(a, x)` in `a`.
    #[track_caller]
    pub fn gammainc_da(&self, a: &Var, x: &Var) -> Var {
        Var::apply("gammainc_da", &[self.clone(), a.clone(), x.clone()], Attributes::new())
    }

    /// The op `betainc` at `x`, this value being `a`.
    #[track_caller]
    pub fn betainc(&self, b: &Var, x: &Var) -> Var {
        Var::apply("betainc", &[self.clone(), b.clone(), x.clone()], Attributes::new())
    }

    /// `x` where it is positive, else `alpha * (exp(x) - 1)`.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Var {
        Var::apply("elu", std::slice::from_ref(self), Attributes::new().with("alpha", alpha))
    }

    /// The value kept between two bounds.
    #[track_caller]
    pub fn clip(&self, lo: &Var, hi: &Var) -> Var {
        Var::apply("clip", &[self.clone(), lo.clone(), hi.clone()], Attributes::new())
    }
}

/// `x` where the condition holds, else `y`.
#[track_caller]
pub fn where_(condition: &Var, x: &Var, y: &Var) -> Var {
    Var::apply("where", &[condition.clone(), x.clone(), y.clone()], Attributes::new())
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:literal),*) => {$(
        impl ops::$trait<&Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: &Var) -> Var {
                Var::apply($op, &[self.clone(), other.clone()], Attributes::new())
            }
        }
        impl ops::$trait<Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: Var) -> Var { ops::$trait::$method(self, &other) }
        }
        impl ops::$trait<&Var> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: &Var) -> Var { ops::$trait::$method(&self, other) }
        }
        impl ops::$trait<Var> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: Var) -> Var { ops::$trait::$method(&self, &other) }
        }
        operators!(@number $trait $method f64);
        operators!(@number $trait $method i64);
    )*};
    (@number $trait:ident $method:ident $number:ty) => {
        impl ops::$trait<$number> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: $number) -> Var { ops::$trait::$method(self, &Var::weak(other)) }
        }
        impl ops::$trait<$number> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: $number) -> Var { ops::$trait::$method(&self, &Var::weak(other)) }
        }
        impl ops::$trait<&Var> for $number {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: &Var) -> Var { ops::$trait::$method(&Var::weak(self), other) }
        }
        impl ops::$trait<Var> for $number {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: Var) -> Var { ops::$trait::$method(&Var::weak(self), &other) }
        }
    };
}
operators!(
    Add add "add", Sub sub "sub", Mul mul "mul", Div div "div", Rem rem "mod", BitAnd bitand "bitwise_and",
    BitOr bitor "bitwise_or", BitXor bitxor "bitwise_xor", Shl shl "shift_left", Shr shr "shift_right"
);

macro_rules! prefix {
    ($($trait:ident $method:ident $op:literal),*) => {$(
        impl ops::$trait for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self) -> Var {
                Var::apply($op, std::slice::from_ref(self), Attributes::new())
            }
        }
        impl ops::$trait for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self) -> Var { ops::$trait::$method(&self) }
        }
    )*};
}
prefix!(Neg neg "neg", Not not "bitwise_not");
