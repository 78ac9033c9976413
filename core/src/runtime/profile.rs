//! What the mode `profile` knows of a function: time and memory per op, also of those that one kernel computes
//! together, phases of compiling, and when everything ran.

use rustc_hash::FxHashMap;

use super::clock::Slice;
use super::compile::Observed;
use super::Function;
use crate::graph::{ValueId, shapes_of};
use crate::runtime::Compiled;
use crate::tensor::{Dim, Shape};

/// Time and memory of one op, summed over all calls.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ProfileRow {
    /// The op's name; inside loops and branches, behind those.
    pub op: String,
    /// The results' types.
    pub types: String,
    /// The device that computes it.
    pub device: String,
    /// The line of user code.
    pub location: String,
    /// How often it was computed.
    pub calls: u64,
    /// How long that took. Of an op that a kernel computes together with others, its share of the kernel's time by
    /// what such ops usually cost.
    pub seconds: f64,
    /// The bytes of its results, if they have memory of their own.
    pub bytes: u64,
    /// The number of the kernel that computes it together with others.
    pub kernel: Option<usize>,
}

/// What a device plans for a program.
#[derive(Clone, Debug)]
pub struct DevicePlan {
    /// The device.
    pub device: String,
    /// The bytes that it needs beside arguments and results; `None` if it does not plan ahead.
    pub workspace: Option<u64>,
    /// Where each value lies, for people.
    pub layout: Option<String>,
}

/// What a function's calls and its compilation took.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Profile {
    /// The function's name.
    pub function: String,
    /// Seconds of each phase of compiling.
    pub compiling: Vec<(String, f64)>,
    /// How many calls succeeded.
    pub calls: u64,
    /// How long they took.
    pub seconds: f64,
    /// Every op, in the order of computing.
    pub rows: Vec<ProfileRow>,
    /// For each device, the most bytes that were in use at once since it was opened; 0 where it does not count.
    pub peaks: Vec<(String, u64)>,
    /// When calls, programs and ops ran: the first hundred thousand.
    #[serde(skip)]
    pub slices: Vec<Slice>,
}

/// About what an element of an op costs beside those of others that one kernel computes with it.
fn weight(op: &str) -> f64 {
    match op {
        "add" | "sub" | "mul" | "neg" | "abs" | "maximum" | "minimum" | "where" | "cast" | "eq" | "ne" | "lt" | "le" | "gt" | "ge"
        | "square" | "relu" | "clip" | "logical_and" | "logical_or" | "logical_not" => 1.0,
        "div" | "sqrt" | "reciprocal" | "mod" | "floor_div" => 4.0,
        "exp" | "log" | "log2" | "log1p" | "expm1" | "exp2" => 10.0,
        "tanh" | "sigmoid" | "softplus" | "sin" | "cos" | "erf" | "silu" | "gelu" => 14.0,
        "pow" | "lgamma" | "digamma" | "erfinv" => 30.0,
        _ => 6.0,
    }
}

impl Compiled {
    /// The seconds of the phases of compiling, in the order in which they began.
    pub fn compile_phases(&self) -> &[(&'static str, f64)] {
        &self.phases
    }

    /// Calls and time of each op so far, if the session's mode is `profile`.
    pub fn profile_rows(&self) -> Vec<ProfileRow> {
        if let Some(Observed { walk: Some(_), clock: Some(clock) }) = &self.observed {
            let times = clock.times();
            return times.nodes.iter().map(|node| {
                let op = node.inside.iter().copied().chain([node.op.as_str()]).collect::<Vec<_>>().join(" / ");
                let location = if node.location.is_known() { node.location.to_string() } else { String::new() };
                ProfileRow {
                    op, types: node.types.clone(), device: node.device.clone(), location, calls: node.calls, seconds: node.seconds,
                    bytes: node.bytes, kernel: None,
                }
            }).collect();
        }
        let mut rows = Vec::new();
        let mut kernels = 0;
        for (step, record) in self.steps.iter().zip(self.records.iter()) {
            let row = |statement: usize| {
                let location = step.locations.get(statement).filter(|place| place.is_known()).map_or(String::new(), ToString::to_string);
                let results = record.nodes.get(statement).map_or(&[][..], |&id| self.graph().node(id).results);
                ProfileRow {
                    op: step.ops.get(statement).cloned().unwrap_or_default(),
                    types: results.iter().map(|result| result.ty.to_string()).collect::<Vec<_>>().join(", "),
                    device: self.devices[step.device].0.clone(), location, calls: 0, seconds: 0.0, bytes: 0, kernel: None,
                }
            };
            let entries = step.executable.profile();
            let mut own: Vec<ProfileRow> = (0..step.ops.len()).map(row).collect();
            for entry in &entries {
                let Some(row) = own.get_mut(entry.statement) else { continue };
                row.bytes = entry.bytes;
                if entry.fused.len() < 2 {
                    (row.calls, row.seconds) = (row.calls.max(entry.calls), row.seconds + entry.seconds);
                    continue;
                }
                let whole: f64 = entry.fused.iter().filter_map(|&at| step.ops.get(at)).map(|op| weight(op)).sum();
                for &member in &entry.fused {
                    let Some(row) = own.get_mut(member) else { continue };
                    row.calls = entry.calls;
                    row.seconds += entry.seconds * weight(&row.op) / whole;
                    row.kernel = Some(kernels + 1);
                }
                kernels += 1;
            }
            rows.extend(own);
        }
        rows
    }

    /// The concrete shapes of all values, where named dims have these lengths and all other unknown dims `other`;
    /// what is missing depends on values.
    pub fn shapes(&self, dims: &[(String, usize)], other: usize) -> crate::Result<FxHashMap<ValueId, Shape>> {
        let (inputs, _) = self.graph().to_vars()?;
        let mut whole = self.graph().clone();
        let ids: Vec<ValueId> = whole
            .topological_order()
            .into_iter()
            .flat_map(|id| (0..self.graph().node(id).results.len()).map(move |output| id.output(output)))
            .collect();
        whole.set_outputs(ids.clone());
        let (new_inputs, values) = whole.to_vars()?;
        debug_assert_eq!(inputs.len(), new_inputs.len());
        let length = |dim: &Dim| match dim {
            Dim::Known(length) => *length,
            Dim::Named(name) => dims.iter().find(|(known, _)| **known == **name).map_or(other, |(_, length)| *length),
            Dim::Unknown => other,
        };
        let leaves: Vec<_> = crate::graph::inputs_of(&values);
        let given: Vec<(crate::graph::Var, Vec<usize>)> = new_inputs
            .iter()
            .chain(leaves.iter().filter(|leaf| !new_inputs.iter().any(|input| input.is(leaf))))
            .map(|leaf| Ok((leaf.clone(), leaf.ty()?.dims.iter().map(length).collect())))
            .collect::<crate::Result<_>>()?;
        let given: Vec<(crate::graph::Var, &[usize])> = given.iter().map(|(leaf, shape)| (leaf.clone(), shape.as_slice())).collect();
        let shapes = shapes_of(&values, &given)?;
        let mut known: FxHashMap<ValueId, Shape> = ids.into_iter().zip(shapes).filter_map(|(id, shape)| Some((id, shape?))).collect();
        for (&input, (_, shape)) in self.graph().inputs().iter().zip(&given) {
            known.insert(input.output(0), Shape::from_slice(shape));
        }
        Ok(known)
    }

    /// What devices plan for each program and these shapes of values, as far as they are known.
    pub fn plan(&self, shapes: &FxHashMap<ValueId, Shape>) -> Vec<DevicePlan> {
        self.steps.iter().zip(self.records.iter()).map(|(step, record)| {
            let given: Option<Vec<Shape>> = record.given.iter().map(|value| shapes.get(value).cloned()).collect();
            DevicePlan {
                device: self.devices[step.device].0.clone(),
                workspace: given.as_ref().and_then(|given| step.executable.workspace(given)),
                layout: given.and_then(|given| step.executable.layout(&given)),
            }
        }).collect()
    }

    /// The nodes that one kernel computes together, as far as devices have planned.
    pub fn kernels(&self) -> Vec<Vec<crate::graph::NodeId>> {
        let mut kernels = Vec::new();
        for (step, record) in self.steps.iter().zip(self.records.iter()) {
            for entry in step.executable.profile().iter().filter(|entry| entry.fused.len() > 1) {
                kernels.push(entry.fused.iter().filter_map(|&at| record.nodes.get(at).copied()).collect());
            }
        }
        kernels
    }
}

impl Function {
    /// What calls took so far, if the session's mode is `profile`.
    pub fn profile(&self) -> Profile {
        let compiled = self.compiled();
        let clock = compiled.observed.as_ref().and_then(|observed| observed.clock.as_ref());
        let (calls, seconds, slices) = clock.map_or((0, 0.0, Vec::new()), |clock| {
            let times = clock.times();
            (times.calls, times.seconds, times.slices.clone())
        });
        Profile {
            function: self.graph().name.clone(),
            compiling: compiled.compile_phases().iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect(),
            calls, seconds, rows: compiled.profile_rows(),
            peaks: compiled.devices.iter().map(|(name, device)| (name.clone(), device.stats().peak_bytes)).collect(),
            slices,
        }
    }
}
