//! Scalar functions for arguments that a straight line cannot handle.

/// A function that runs lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slow {
    /// The sine of a large number.
    Sin,
    /// The cosine of a large number.
    Cos,
    /// The tangent of a large number.
    Tan,
}

impl Slow {
    /// The function at an `f64`.
    pub fn double(self, x: f64) -> f64 {
        match self {
            Slow::Sin => libm::sin(x),
            Slow::Cos => libm::cos(x),
            Slow::Tan => libm::tan(x),
        }
    }

    /// The function at an `f32`: that at an `f64`, rounded.
    pub fn single(self, x: f32) -> f32 {
        self.double(f64::from(x)) as f32
    }
}
