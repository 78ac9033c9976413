//! Steps of a plan that become one with the step before them.

use crate::plan::Step;

/// Takes steps in order. `join` gives of two neighbours the one that they become, or both as they are.
pub fn joined(steps: Vec<Step>, mut join: impl FnMut(Step, Step) -> (Option<Step>, Step)) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match all.pop() {
            Some(before) => {
                let (before, step) = join(before, step);
                all.extend(before);
                all.push(step);
            }
            None => all.push(step),
        }
    }
    all
}
