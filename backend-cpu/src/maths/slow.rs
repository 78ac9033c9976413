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
    /// The function of `f64`.
    pub fn double(self) -> fn(f64) -> f64 {
        match self {
            Slow::Sin => libm::sin,
            Slow::Cos => libm::cos,
            Slow::Tan => libm::tan,
        }
    }

    /// The function of `f32`: that of `f64`, rounded.
    pub fn single(self) -> fn(f32) -> f32 {
        match self {
            Slow::Sin => |x| libm::sin(f64::from(x)) as f32,
            Slow::Cos => |x| libm::cos(f64::from(x)) as f32,
            Slow::Tan => |x| libm::tan(f64::from(x)) as f32,
        }
    }
}
