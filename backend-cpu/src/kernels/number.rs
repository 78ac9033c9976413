//! Arithmetic that is generic over the element types in which kernels compute.

use arignote_core::special;

use crate::buffer::Stored;

/// A type in which elementwise kernels compute: all integers, `f32`, `f64`.
#[allow(missing_docs)]
pub trait Number: Stored + PartialOrd {
    const ONE: Self;
    fn add(self, y: Self) -> Self;
    fn sub(self, y: Self) -> Self;
    fn mul(self, y: Self) -> Self;
    fn div(self, y: Self) -> Self;
    fn floor_div(self, y: Self) -> Self;
    fn modulo(self, y: Self) -> Self;
    /// The remainder with the sign of the number itself; of integers 0 where `y` is 0.
    fn fmod(self, y: Self) -> Self;
    fn pow(self, y: Self) -> Self;
    fn is_nan(self) -> bool;
    fn is_infinite(self) -> bool;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round(self) -> Self;
    fn trunc(self) -> Self;
    fn and(self, y: Self) -> Self;
    fn or(self, y: Self) -> Self;
    fn xor(self, y: Self) -> Self;
    fn not(self) -> Self;
    fn shift_left(self, y: Self) -> Self;
    fn shift_right(self, y: Self) -> Self;
    /// A function computed in `f64` and rounded once.
    #[inline(always)]
    fn wide(self, function: impl Fn(f64) -> f64) -> Self { Self::from_f64(function(self.to_f64())) }
    /// A function of two numbers computed in `f64` and rounded once.
    #[inline(always)]
    fn wide2(self, y: Self, function: impl Fn(f64, f64) -> f64) -> Self {
        Self::from_f64(function(self.to_f64(), y.to_f64()))
    }
    /// A function of three numbers computed in `f64` and rounded once.
    #[inline(always)]
    fn wide3(self, y: Self, z: Self, function: impl Fn(f64, f64, f64) -> f64) -> Self {
        Self::from_f64(function(self.to_f64(), y.to_f64(), z.to_f64()))
    }
    /// The larger; NaN if one is.
    #[inline(always)]
    fn maximum(self, y: Self) -> Self { if self > y || self.is_nan() { self } else { y } }
    /// The smaller; NaN if one is.
    #[inline(always)]
    fn minimum(self, y: Self) -> Self { if self < y || self.is_nan() { self } else { y } }
    fn sqrt(self) -> Self { self.wide(f64::sqrt) }
    fn exp(self) -> Self { self.wide(f64::exp) }
    fn ln(self) -> Self { self.wide(f64::ln) }
}

macro_rules! float {
    ($($T:ident)*) => {$(
        impl Number for $T {
            const ONE: Self = 1.0;
            #[inline(always)] fn add(self, y: Self) -> Self { self + y }
            #[inline(always)] fn sub(self, y: Self) -> Self { self - y }
            #[inline(always)] fn mul(self, y: Self) -> Self { self * y }
            #[inline(always)] fn div(self, y: Self) -> Self { self / y }
            fn floor_div(self, y: Self) -> Self {
                if y == 0.0 { return self / y; }
                // As NumPy's `npy_divmod`: the remainder is exact, so the quotient is whole but for rounding.
                let rest = self % y;
                let down = rest != 0.0 && (y < 0.0) != (rest < 0.0);
                let quotient = (self - rest) / y - (if down { 1.0 } else { 0.0 });
                if quotient == 0.0 { return (0.0 as $T).copysign(self / y); }
                let floor = quotient.floor();
                if quotient - floor > 0.5 { floor + 1.0 } else { floor }
            }
            fn modulo(self, y: Self) -> Self {
                let rest = self % y;
                if rest == 0.0 { (0.0 as $T).copysign(y) }
                else if (rest < 0.0) != (y < 0.0) { rest + y } else { rest }
            }
            #[inline(always)] fn fmod(self, y: Self) -> Self { self % y }
            fn pow(self, y: Self) -> Self { if y == 2.0 { self * self } else { self.powf(y) } }
            #[inline(always)] fn is_nan(self) -> bool { <$T>::is_nan(self) }
            #[inline(always)] fn is_infinite(self) -> bool { <$T>::is_infinite(self) }
            #[inline(always)] fn neg(self) -> Self { -self }
            #[inline(always)] fn abs(self) -> Self { <$T>::abs(self) }
            #[inline(always)] fn sign(self) -> Self {
                if self > 0.0 { 1.0 } else if self < 0.0 { -1.0 } else if self == 0.0 { 0.0 } else { self }
            }
            #[inline(always)] fn floor(self) -> Self { <$T>::floor(self) }
            #[inline(always)] fn ceil(self) -> Self { <$T>::ceil(self) }
            #[inline(always)] fn round(self) -> Self { self.round_ties_even() }
            #[inline(always)] fn trunc(self) -> Self { <$T>::trunc(self) }
            fn and(self, _: Self) -> Self { self }
            fn or(self, _: Self) -> Self { self }
            fn xor(self, _: Self) -> Self { self }
            fn not(self) -> Self { self }
            fn shift_left(self, _: Self) -> Self { self }
            fn shift_right(self, _: Self) -> Self { self }
            #[inline(always)] fn sqrt(self) -> Self { <$T>::sqrt(self) }
            #[inline(always)] fn exp(self) -> Self { <$T>::exp(self) }
            #[inline(always)] fn ln(self) -> Self { <$T>::ln(self) }
        }
    )*};
}
float!(f32 f64);

macro_rules! integer {
    ($signed:literal: $($T:ident)*) => {$(
        #[allow(unused_comparisons)]
        impl Number for $T {
            const ONE: Self = 1;
            #[inline(always)] fn add(self, y: Self) -> Self { self.wrapping_add(y) }
            #[inline(always)] fn sub(self, y: Self) -> Self { self.wrapping_sub(y) }
            #[inline(always)] fn mul(self, y: Self) -> Self { self.wrapping_mul(y) }
            fn div(self, y: Self) -> Self { self.floor_div(y) }
            fn floor_div(self, y: Self) -> Self {
                if y == 0 { return 0; }
                let quotient = self.wrapping_div(y);
                if self.wrapping_rem(y) != 0 && ((self < 0) != (y < 0)) { quotient - 1 } else { quotient }
            }
            fn modulo(self, y: Self) -> Self {
                if y == 0 { return 0; }
                let rest = self.wrapping_rem(y);
                if rest != 0 && ((rest < 0) != (y < 0)) { rest + y } else { rest }
            }
            fn fmod(self, y: Self) -> Self { if y == 0 { 0 } else { self.wrapping_rem(y) } }
            fn pow(self, y: Self) -> Self {
                if y < 0 {
                    let odd = y & 1 == 1;
                    return match self {
                        1 => 1,
                        _ if $signed && self == (0 as $T).wrapping_sub(1) => if odd { self } else { 1 },
                        _ => 0,
                    };
                }
                let (mut result, mut base, mut power): ($T, $T, u64) = (1, self, y as u64);
                while power > 0 {
                    if power & 1 == 1 { result = result.wrapping_mul(base); }
                    base = base.wrapping_mul(base);
                    power >>= 1;
                }
                result
            }
            #[inline(always)] fn is_nan(self) -> bool { false }
            #[inline(always)] fn is_infinite(self) -> bool { false }
            #[inline(always)] fn neg(self) -> Self { self.wrapping_neg() }
            #[inline(always)] fn abs(self) -> Self { if self < 0 { self.wrapping_neg() } else { self } }
            #[inline(always)] fn sign(self) -> Self {
                if self > 0 { 1 } else if self < 0 { (0 as $T).wrapping_sub(1) } else { 0 }
            }
            #[inline(always)] fn floor(self) -> Self { self }
            #[inline(always)] fn ceil(self) -> Self { self }
            #[inline(always)] fn round(self) -> Self { self }
            #[inline(always)] fn trunc(self) -> Self { self }
            #[inline(always)] fn and(self, y: Self) -> Self { self & y }
            #[inline(always)] fn or(self, y: Self) -> Self { self | y }
            #[inline(always)] fn xor(self, y: Self) -> Self { self ^ y }
            #[inline(always)] fn not(self) -> Self { !self }
            #[inline(always)] fn shift_left(self, y: Self) -> Self {
                if y < 0 || y as u64 >= <$T>::BITS as u64 { 0 } else { self << y }
            }
            #[inline(always)] fn shift_right(self, y: Self) -> Self {
                if y < 0 || y as u64 >= <$T>::BITS as u64 {
                    if self < 0 { (0 as $T).wrapping_sub(1) } else { 0 }
                } else { self >> y }
            }
        }
    )*};
}
integer!(true: i8 i16 i32 i64);
integer!(false: u8 u16 u32 u64);

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident($($x:ident),*): $($variant:ident $text:literal => $body:expr;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $name { $($variant),* }
        impl $name {
            /// The operation of an op's name.
            pub fn named(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
            /// The op's name.
            pub fn name(self) -> &'static str { match self { $($name::$variant => $text),* } }
        }
        impl $name {
            operations!(@ float f64: ($($x),*) $($variant => $body;)*);
            operations!(@ signed i64: ($($x),*) $($variant => $body;)*);
            operations!(@ unsigned u64: ($($x),*) $($variant => $body;)*);
        }
    };
    (@ $function:ident $F:ident: ($x:ident) $($variant:ident => $body:expr;)*) => {
        /// What it is of one element.
        pub fn $function(self) -> fn($F) -> $F {
            match self { $(Self::$variant => { fn of<T: Number>($x: T) -> T { $body } of::<$F> })* }
        }
    };
    (@ $function:ident $F:ident: ($x:ident, $y:ident) $($variant:ident => $body:expr;)*) => {
        /// What it is of two elements.
        pub fn $function(self) -> fn($F, $F) -> $F {
            match self { $(Self::$variant => { fn of<T: Number>($x: T, $y: T) -> T { $body } of::<$F> })* }
        }
    };
}

operations! {
    /// Operations on one number that give one of the same type.
    Unary(x):
    Neg "neg" => x.neg(); Abs "abs" => x.abs(); Sign "sign" => x.sign(); Square "square" => x.mul(x);
    Relu "relu" => if x < T::default() { T::default() } else { x };
    Floor "floor" => x.floor(); Ceil "ceil" => x.ceil(); Rint "rint" => x.round(); Trunc "trunc" => x.trunc();
    BitwiseNot "bitwise_not" => x.not();
    Exp "exp" => x.exp(); Exp2 "exp2" => x.wide(f64::exp2); Expm1 "expm1" => x.wide(f64::exp_m1);
    Log "log" => x.ln(); Log2 "log2" => x.wide(f64::log2); Log10 "log10" => x.wide(f64::log10);
    Log1p "log1p" => x.wide(f64::ln_1p); Sqrt "sqrt" => x.sqrt(); Reciprocal "reciprocal" => T::ONE.div(x);
    Sin "sin" => x.wide(f64::sin); Cos "cos" => x.wide(f64::cos); Tan "tan" => x.wide(f64::tan);
    Arcsin "arcsin" => x.wide(f64::asin); Arccos "arccos" => x.wide(f64::acos); Arctan "arctan" => x.wide(f64::atan);
    Sinh "sinh" => x.wide(f64::sinh); Cosh "cosh" => x.wide(f64::cosh); Tanh "tanh" => x.wide(f64::tanh);
    SechSquared "sech_squared" => x.wide(special::sech_squared); Log1pmx "log1pmx" => x.wide(special::log1pmx);
    Ierfcx "ierfcx" => x.wide(special::ierfcx); LogNdtr "log_ndtr" => x.wide(special::log_ndtr);
    Arcsinh "arcsinh" => x.wide(libm::asinh); Arccosh "arccosh" => x.wide(special::arccosh); Arctanh "arctanh" => x.wide(libm::atanh);
    Erf "erf" => x.wide(special::erf); Erfc "erfc" => x.wide(special::erfc); Erfinv "erfinv" => x.wide(special::erfinv);
    Erfcx "erfcx" => x.wide(special::erfcx); Erfcinv "erfcinv" => x.wide(special::erfcinv);
    Ndtr "ndtr" => x.wide(special::ndtr); Ndtri "ndtri" => x.wide(special::ndtri); Logit "logit" => x.wide(special::logit);
    I0 "i0" => x.wide(special::i0); I1 "i1" => x.wide(special::i1); I0e "i0e" => x.wide(special::i0e);
    I1e "i1e" => x.wide(special::i1e); J0 "j0" => x.wide(special::j0); J1 "j1" => x.wide(special::j1);
    Cbrt "cbrt" => x.wide(libm::cbrt); Selu "selu" => x.wide(special::selu);
    Softsign "softsign" => x.wide(special::softsign); HardSigmoid "hard_sigmoid" => x.wide(special::hard_sigmoid);
    Gamma "gamma" => x.wide(special::gamma); Lgamma "lgamma" => x.wide(special::lgamma); Digamma "digamma" => x.wide(special::digamma);
    Sigmoid "sigmoid" => x.wide(special::sigmoid); Softplus "softplus" => x.wide(special::softplus);
    Gelu "gelu" => x.wide(special::gelu); GeluTanh "gelu, tanh" => x.wide(special::gelu_tanh);
    Silu "silu" => x.wide(special::silu);
    Log1mexp "log1mexp" => x.wide(special::log1mexp); LogSigmoid "log_sigmoid" => x.wide(special::log_sigmoid);
}

operations! {
    /// Operations on two numbers of one type that give one of the same.
    Binary(x, y):
    Add "add" => x.add(y); Sub "sub" => x.sub(y); Mul "mul" => x.mul(y); Div "div" => x.div(y);
    FloorDiv "floor_div" => x.floor_div(y); Mod "mod" => x.modulo(y); Pow "pow" => x.pow(y);
    Maximum "maximum" => x.maximum(y); Minimum "minimum" => x.minimum(y);
    Arctan2 "arctan2" => x.wide2(y, f64::atan2); Logaddexp "logaddexp" => x.wide2(y, special::logaddexp);
    Logsubexp "logsubexp" => x.wide2(y, special::logsubexp);
    Hypot "hypot" => x.wide2(y, f64::hypot);
    Xlogy "xlogy" => x.wide2(y, special::xlogy);
    Xlog1py "xlog1py" => x.wide2(y, special::xlog1py); Copysign "copysign" => x.wide2(y, f64::copysign);
    Fmod "fmod" => x.fmod(y); Gammainc "gammainc" => x.wide2(y, special::gammainc);
    Gammaincc "gammaincc" => x.wide2(y, special::gammaincc); Chi2sf "chi2sf" => x.wide2(y, special::chi2sf);
    Beta "beta" => x.wide2(y, special::beta); Betaln "betaln" => x.wide2(y, special::betaln);
    Iv "iv" => x.wide2(y, special::iv); Ive "ive" => x.wide2(y, special::ive); Jv "jv" => x.wide2(y, special::jv);
    Polygamma "polygamma" => x.wide2(y, special::polygamma);
    BitwiseAnd "bitwise_and" => x.and(y); BitwiseOr "bitwise_or" => x.or(y); BitwiseXor "bitwise_xor" => x.xor(y);
    ShiftLeft "shift_left" => x.shift_left(y); ShiftRight "shift_right" => x.shift_right(y);
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison { Eq, Ne, Lt, Le, Gt, Ge }

impl Comparison {
    /// The comparison of an op's name.
    pub fn named(name: &str) -> Option<Comparison> {
        use Comparison::*;
        Some(match name { "eq" => Eq, "ne" => Ne, "lt" => Lt, "le" => Le, "gt" => Gt, "ge" => Ge, _ => return None })
    }
}
