//! Rewrites in whole compilations: before and after, loops, levels that differ in time only, and how long it takes.

mod exposed;
mod golden;
mod levels;
mod loops;
mod reads;
mod speed;
