//! Rows of a table that are read where they are: of `take(table, i, axis=0)` and `table[i]`, whose readers are fused
//! regions, only the places are computed, and the regions read the table's rows there.
//!
//! The step of the op looks at the indices, so that one that is out of range is told of where it was before, and what it
//! writes are the numbers of the elements at which rows begin. A region then goes from row to row by that list.

use std::collections::{HashMap, HashSet};

use arignote_core::graph::{NodeId, ValueId};
use arignote_core::ops::IndexItem;

use crate::code::Implementation;
use crate::joins::{Part, Values};
use crate::kernel::reduce::Spec;
use crate::kernel::axes::is_by_rows;
use crate::kernels::elementwise::broadcast_strides;

/// Rows that are read in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The table.
    pub table: ValueId,
    /// How many rows are read.
    pub count: usize,
    /// Elements of a row.
    pub row: usize,
}

impl Gather {
    /// Strides by which no row goes on as the row before it, over a shape that ends in the axes of a row.
    pub fn strides(&self, shape: &[usize]) -> Vec<usize> {
        let mut strides = vec![0; shape.len()];
        let (mut stride, mut inside) = (1, 1);
        for axis in (0..shape.len()).rev() {
            if inside == self.row && shape[axis] != 1 && stride == self.row { stride += 1; }
            strides[axis] = stride;
            stride *= shape[axis];
            if inside < self.row { inside *= shape[axis]; }
        }
        strides
    }
}

/// The values that are only read through lists of places, given the steps in their order, what each reads, and what may
/// lie in a join.
pub fn found(
    values: &Values<'_>, order: &[NodeId], reads: &[Vec<ValueId>], reductions: &HashMap<NodeId, Spec>, parts: &HashMap<ValueId, Part>,
) -> HashMap<ValueId, Gather> {
    let steps: HashMap<NodeId, usize> = order.iter().enumerate().map(|(at, &id)| (id, at)).collect();
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (at, read) in reads.iter().enumerate() {
        for &value in read { readers.entry(value).or_default().push(at); }
    }
    let mut found: HashMap<ValueId, Gather> = HashMap::new();
    for (&id, &at) in &steps {
        let value = id.output(0);
        let Some(gather) = gathered(values, id) else { continue };
        let by = readers.get(&value).map_or(&[][..], Vec::as_slice);
        // Where many steps read the rows, they are better together.
        let fits = (1..=2).contains(&by.len()) && by.iter().all(|&step| {
            let (root, shape) = (order[step], &values.shape_of[&value]);
            match reductions.get(&root) {
                Some(spec) => {
                    let over = values.code.graph.node(root).operands[0];
                    values.shape_of[&over] == *shape && spec.axes.iter().copied().eq(shape.len() - spec.axes.len()..shape.len())
                        && spec.axes.len() < shape.len() && reads_elements(values, &reads[step], over, value)
                }
                None => values.code.is_elementwise(root) && values.shape_of[&root.output(0)] == *shape,
            }
        });
        // The table is read later than before: nobody may have written over it by then.
        let last = by.iter().copied().max().unwrap_or(at);
        let early = readers.get(&gather.table).into_iter().flatten().any(|&other| other > at && other < last && may_overwrite(values, order[other]));
        if fits && !early {
            found.insert(value, gather);
        }
    }
    // Regions that do not go by the rows.
    for read in reads {
        let through: Vec<ValueId> = read.iter().copied().filter(|value| found.contains_key(value)).collect();
        let Some(&first) = through.first() else { continue };
        let shape = values.shape_of[&first].clone();
        let own = |value: &ValueId| match found.get(value) {
            Some(gather) => Some(gather.strides(&shape)),
            None if values.shape_of[value].len() > shape.len() => None,
            None => broadcast_strides(&values.shape_of[value], &shape),
        };
        let strides: Vec<Option<Vec<usize>>> = read.iter().map(own).collect();
        let apart = read.iter().any(|value| parts.get(value).is_some_and(|part| part.strides.is_some()));
        if apart || !is_by_rows(&shape, strides.iter().map(Option::as_deref).chain([None])) {
            for value in &through { found.remove(value); }
        }
    }
    found
}

/// Whether a reduction reads elements of a value, and not its shape alone.
fn reads_elements(values: &Values<'_>, read: &[ValueId], over: ValueId, value: ValueId) -> bool {
    over == value || (values.code.is_elementwise(over.node) && read.contains(&value))
}

fn may_overwrite(values: &Values<'_>, id: NodeId) -> bool {
    let operands = values.code.graph.node(id).operands.len();
    values.code.implementations.get(&id).is_some_and(|implementation| !implementation.overwrites(operands).is_empty())
}

/// What a node gathers, if it takes rows along the first axis, long and many enough, and is no output.
fn gathered(values: &Values<'_>, id: NodeId) -> Option<Gather> {
    /// Elements of a row at least.
    const ROW: usize = 32;
    let view = values.code.graph.node(id);
    let (op, attributes) = view.apply()?;
    let &[table, indices] = view.operands else { return None };
    let rank = values.shape_of[&table].len();
    let along = match op.name() {
        "take" => matches!(attributes.ints("axis"), Ok(Some(_))) && attributes.axis("axis", rank).is_ok_and(|axis| axis == 0),
        "index" => attributes.index("index").is_ok_and(|items| items == [IndexItem::Operand(0)]),
        _ => false,
    };
    let places = &values.shape_of[&indices];
    let integers = values.code.graph.ty(indices).dtype.is_integer() && !places.is_empty();
    let (count, row) = (places.iter().product::<usize>(), values.shape_of[&table].get(1..)?.iter().product::<usize>());
    let own = matches!(values.code.implementations.get(&id), Some(Implementation::Kernel(..)));
    (along && integers && own && count > 1 && row >= ROW && !values.outputs.contains(&id)).then_some(Gather { table, count, row })
}

/// The slots that a region reads, in the order of its arrays: inputs, then the lists of those that are read through one.
#[derive(Default)]
pub struct Sources {
    /// The slots of inputs.
    pub inputs: Vec<usize>,
    /// How inputs lie over the shape.
    pub strides: Vec<Option<Vec<usize>>>,
    /// The slots of lists.
    pub lists: Vec<usize>,
    /// Which inputs they are of.
    pub listed: Vec<crate::kernel::run::Listed>,
}

impl Sources {
    /// All slots.
    pub fn slots(&self) -> Vec<usize> {
        self.inputs.iter().chain(&self.lists).copied().collect()
    }

    /// How all arrays are read by steps over rows: a table, and its list, by no row more than by another.
    pub fn by_rows(&self, shape: &[usize]) -> Vec<Option<Vec<usize>>> {
        let listed: HashSet<usize> = self.listed.iter().map(|listed| listed.input).collect();
        let nowhere = || Some(vec![0; shape.len()]);
        let inputs = self.strides.iter().enumerate().map(|(input, strides)| if listed.contains(&input) { nowhere() } else { strides.clone() });
        inputs.chain(self.lists.iter().map(|_| nowhere())).collect()
    }
}
