//! Arignote compiles symbolic tensor expressions: write NumPy-like maths over typed variables, let it
//! differentiate and stabilize the graph, and call the result on the device that a config file names.
//!
//! ```
//! use arignote::prelude::*;
//!
//! let session = arignote::session()?;
//! let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
//! let y = (1.0 + x.exp()).log().sum(None);
//! let dy = grad(&y, &[&x]);
//! let f = FunctionBuilder::new("softplus").input(&x).output(&y).output(&dy[0]).build(&session)?;
//! let results = f.call(&[Tensor::vector(vec![0.0, 1000.0])])?;
//! assert_eq!(results[0].item(), Some(1000.0 + 2f64.ln()));
//! assert_eq!(results[1].to_f64_vec(), [0.5, 1.0]);
//! # Ok::<(), arignote::Error>(())
//! ```

pub use arignote_core::*;

use arignote_core::config::Config;
use arignote_core::runtime::{Session, SessionBuilder};

/// What most programs use.
pub mod prelude {
    pub use arignote_core::autodiff::check_gradients;
    pub use arignote_core::graph::{State, Var};
    pub use arignote_core::ops::*;
    pub use arignote_core::runtime::{Function, FunctionBuilder, Session};
    pub use arignote_core::tensor::{DType, Dim, Tensor, Type};
    pub use arignote_core::{Error, Result};
}

/// A session as `ARIGNOTE_FLAGS`, `ARIGNOTE_CONFIG` and `arignote.toml` say, with the linked backends.
///
/// # Errors
/// If the config is wrong, a plugin that it names cannot be loaded, or the device is not there.
pub fn session() -> Result<Session> {
    session_with(Config::load()?)
}

/// A session with a config in hand, with the linked backends.
///
/// # Errors
/// As [`session`].
pub fn session_with(config: Config) -> Result<Session> {
    builder(config).build()
}

/// A session to be, with the linked backends.
pub fn builder(config: Config) -> SessionBuilder {
    SessionBuilder::new(config)
        .link(arignote_backend_reference::arignote_plugin())
        .link(arignote_backend_cpu::arignote_plugin())
}
