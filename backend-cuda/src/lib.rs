//! backend-cuda.
