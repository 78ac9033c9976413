//! What is known of a program's values before a run with these shapes: the shape of each, small values such as
//! lengths, and the plans of loops and branches.

use std::collections::HashMap;
use std::sync::Arc;

use arignote_core::Result;
use arignote_core::graph::{NodeId, ValueId};
use arignote_core::tensor::{DType, Shape, Tensor};

use crate::buffer::{Pool, View};
use crate::code::{Code, Implementation};
use crate::control::Planned;
use crate::kernels::Context;

/// What is known.
#[derive(Default)]
pub(super) struct Known {
    /// The shapes of all values.
    pub shape_of: HashMap<ValueId, Shape>,
    /// Values that need not be computed.
    pub values: HashMap<ValueId, Tensor>,
    /// Plans of the programs inside nodes.
    pub controls: HashMap<NodeId, Arc<Planned>>,
}

impl Known {
    /// What is known for arguments of these shapes, some of which have these values; `None` if shapes depend on others.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn new(code: &Code, context: &Context<'_>, pool: &Arc<Pool>, shapes: &[Shape], values: &[(usize, Tensor)]) -> Result<Option<Known>> {
        let mut all = Known::default();
        for (number, value) in values {
            all.values.insert(code.graph.inputs()[*number].output(0), value.clone());
        }
        for (input, shape) in code.graph.inputs().iter().zip(shapes) {
            all.shape_of.insert(input.output(0), shape.clone());
        }
        for id in code.graph.ids() {
            if let Some(constant) = code.graph.node(id).constant() {
                all.shape_of.insert(id.output(0), constant.value.shape().into());
                all.values.insert(id.output(0), constant.value.clone());
            }
        }
        for &id in &code.nodes {
            if !all.node(code, context, pool, id)? { return Ok(None) }
        }
        Ok(Some(all))
    }

    /// Finds out what there is to know of a node's results; `false` if their shapes depend on values.
    fn node(&mut self, code: &Code, context: &Context<'_>, pool: &Arc<Pool>, id: NodeId) -> Result<bool> {
        /// Elements up to which whole numbers are computed: they are lengths, or computed from them. Of others it is one, as what
        /// a mean divides by.
        const FEW: usize = 64;
        let view = code.graph.node(id);
        let own: Vec<&[usize]> = view.operands.iter().map(|value| self.shape_of[value].as_slice()).collect();
        let value = |operand: usize| self.values.get(&view.operands[operand]).cloned();
        let Some(results) = code.shapes(&view, &own, &value).map_err(|error| code.locate(id, error))? else {
            return Ok(false);
        };
        let small = results.iter().zip(view.results).all(|(shape, result)| {
            shape.iter().product::<usize>() <= if result.ty.dtype.is_float() { 1 } else { FEW }
        });
        if view.op_name() == "shape" {
            let lengths = own[0].iter().map(|&length| length as i64).collect();
            self.values.insert(id.output(0), Tensor::vector(lengths));
        } else if let Some(Implementation::Control(control)) = code.implementations.get(&id) {
            let dtypes: Vec<DType> = view.operands.iter().map(|&value| code.graph.ty(value).dtype).collect();
            let planned = control.plan(context, pool, &dtypes, &own, &value).map_err(|error| code.locate(id, error))?;
            self.controls.insert(id, planned);
        } else if small && view.operands.iter().all(|value| self.values.contains_key(value)) && code.can_fold(id) {
            let operands: Vec<View<'_>> = view.operands.iter().map(|value| View::of(&self.values[value])).collect();
            // What fails here fails again, and is reported, when the step runs.
            if let Ok(values) = code.evaluate(context, pool, id, &operands) {
                for (output, value) in values.iter().enumerate() {
                    self.values.insert(id.output(output), value.view().tensor()?);
                }
            }
        }
        for (output, shape) in results.into_iter().enumerate() {
            self.shape_of.insert(id.output(output), shape);
        }
        Ok(true)
    }

    /// Elements of a value.
    pub fn count(&self, value: ValueId) -> usize {
        self.shape_of[&value].iter().product()
    }

    /// Whether all results of a node are known.
    pub fn is_known(&self, code: &Code, id: NodeId) -> bool {
        (0..code.graph.node(id).results.len()).all(|output| self.values.contains_key(&id.output(output)))
    }
}
