//! From a function's expressions to something that can be called: sessions, compilation, placement
//! with transfers, state and calls.

mod bisect;
mod builder;
mod cache;
mod call;
mod clock;
pub mod compare;
mod compile;
mod effects;
mod extract;
mod firm;
mod function;
mod host;
mod io;
mod loans;
mod phases;
mod placement;
mod profile;
mod session;
mod threads;
mod typed;
mod walk;

pub use bisect::{Bisection, Culprit, bisect, draw_inputs};
pub use builder::FunctionBuilder;
pub use clock::Slice;
pub use compile::{CompileRequest, Compiled, NodeReport};
pub use profile::{DevicePlan, Profile, ProfileRow};
pub use function::Function;
pub use host::HostServices;
pub use io::{load_state, read_npy, save_state, write_npy, write_whole};
pub use session::{DeviceRow, PluginRow, Session, SessionBuilder};
pub use typed::{Array, Arrays, TypedFunction};
pub use walk::{Inside, NodeEvent, Part, Watch};
