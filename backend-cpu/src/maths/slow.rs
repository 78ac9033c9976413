//! Scalar functions for arguments that a straight line cannot handle.

use arignote_core::special;

/// A function that runs lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slow {
    /// The sine of a large number.
    Sin,
    /// The cosine of a large number.
    Cos,
    /// The tangent of a large number.
    Tan,
    /// `log(exp(x) + exp(y))` where that is nearly 0.
    Logaddexp,
}

impl Slow {
    /// The function at one or two `f64`.
    #[cold]
    pub fn double(self, x: f64, y: f64) -> f64 {
        match self {
            Slow::Sin => libm::sin(x),
            Slow::Cos => libm::cos(x),
            Slow::Tan => libm::tan(x),
            Slow::Logaddexp => special::logaddexp(x, y),
        }
    }

    /// The function at one or two `f32`: that at `f64`, rounded.
    #[cold]
    pub fn single(self, x: f32, y: f32) -> f32 {
        self.double(f64::from(x), f64::from(y)) as f32
    }
}
