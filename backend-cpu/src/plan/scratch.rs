//! The scratch memory of steps, which threads keep between runs: partial sums, windows of convolutions, rows of tiles,
//! operands in a wider dtype. It is known before a run.

use super::{Plan, Step, Work};
use crate::code::Code;
use crate::kernels::{self, Sketch};

impl Plan {
    /// Bytes of scratch memory that a run on so many threads takes at most. What `faer` packs is not among them.
    pub fn scratch(&self, code: &Code, threads: usize) -> usize {
        self.steps.iter().map(|step| self.of_step(code, step, threads)).max().unwrap_or(0)
    }

    fn of_step(&self, code: &Code, step: &Step, threads: usize) -> usize {
        match &step.work {
            Work::Region(region, _) => region.scratch(threads),
            Work::Reduce(reducing, _) => reducing.scratch(threads),
            Work::Tiles(tiles) => tiles.scratch(threads),
            Work::Node(operands) => self.of_node(code, step, operands, threads),
            Work::Product(product) => self.of_node(code, &product.step, product.operands().0, threads) + product.region.scratch(threads),
            Work::Scatter(scatter) => self.of_node(code, step, scatter.operands(), threads) + scatter.region.scratch(threads),
            Work::Control(planned, ..) => {
                let bodies = planned.bodies.iter().zip(&planned.control.inner);
                bodies.filter_map(|(plan, inner)| Some(plan.as_ref()?.scratch(&inner.code, threads))).max().unwrap_or(0)
            }
            Work::Places(_) | Work::Join(..) => 0,
        }
    }

    fn of_node(&self, code: &Code, step: &Step, operands: &[Option<usize>], threads: usize) -> usize {
        let (Ok((_, attributes)), node) = (code.kernel(step.node), code.graph.node(step.node)) else { return 0 };
        // What a result overwrites lies as the result.
        let slots: Vec<usize> = operands.iter().map(|slot| slot.unwrap_or(step.results[0])).collect();
        let sketch = Sketch {
            attributes, threads,
            operands: slots.iter().map(|&slot| (self.slots[slot].dtype, self.slots[slot].shape.as_slice(), self.slots[slot].strides.as_deref())).collect(),
            result: (self.slots[step.results[0]].dtype, &self.slots[step.results[0]].shape),
            is_packed: step.packed.is_some(),
            is_computed: matches!(step.work, Work::Scatter(_)),
        };
        kernels::scratch(node.op_name(), &sketch)
    }
}
