//! Rewrites in whole compilations: before and after, levels that differ in time only, and how long it takes.

mod golden;
mod levels;
mod speed;
