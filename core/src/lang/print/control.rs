//! Loops, branches and other ops with bodies, as blocks.

use std::fmt::Write;

use super::{Printer, type_text};
use crate::error::Result;
use crate::graph::{Body, Var};
use crate::ops::Attributes;
use crate::ops::control::{CustomLayout, ScanLayout, branches};

impl Printer {
    /// An op with bodies, up to its last `}`.
    pub(super) fn control(&mut self, op: &str, attributes: &Attributes, operands: &[Var]) -> Result<String> {
        match op {
            "if" => {
                let [then, otherwise] = branches(attributes)?;
                let (condition, captured) = operands.split_at(1);
                let condition = self.operand(&condition[0]);
                let then = self.block(then, captured)?;
                return Ok(format!("if {condition} {then} else {}", self.block(otherwise, captured)?));
            }
            "custom_vjp" => return self.custom(attributes, operands),
            "scan" => {}
            _ => return Ok(format!("{op} {}", self.block(attributes.body("body")?, operands)?)),
        }
        let layout = ScanLayout::of(attributes)?;
        let (counted, rest) = operands.split_at(usize::from(layout.counted));
        let (sequences, rest) = rest.split_at(layout.sequences);
        let (inits, captured) = rest.split_at(layout.states);
        let body = layout.body.clone();
        let (rows, inputs) = body.inputs().split_at(layout.sequences);
        let (states, inputs) = inputs.split_at(layout.states);
        let mut head = Vec::new();
        let text = self.body(|printer| {
            for (row, sequence) in rows.iter().zip(sequences) {
                let sequence = printer.operand(sequence);
                head.push(format!("{} in {sequence}", printer.input(row)));
            }
            for steps in counted {
                head.push(format!("steps = {}", printer.operand(steps)));
            }
            if layout.states > 0 && layout.yields() > 0 {
                head.push("final = true".to_owned());
            }
            if layout.reverse {
                head.push("reverse = true".to_owned());
            }
            if layout.keep.iter().any(|&rows| rows > 0) {
                head.push(format!("keep = {:?}", layout.keep));
            }
            if let Some(steps) = layout.truncate {
                head.push(format!("truncate = {steps}"));
            }
            let indent = printer.indent();
            let mut names = Vec::new();
            for (state, init) in states.iter().zip(inits) {
                let init = printer.operand(init);
                let name = printer.input(state);
                let _ = writeln!(printer.text, "{indent}state {name}: {} = {init}", type_text(state.ty()?));
                names.push(name);
            }
            printer.captured(inputs, captured);
            printer.values(body.outputs())?;
            let mut outputs = body.outputs().iter().map(|output| printer.operand(output)).collect::<Vec<_>>().into_iter();
            for name in names {
                let _ = writeln!(printer.text, "{indent}{name} <- {}", outputs.next().unwrap_or_default());
            }
            let yields: Vec<String> = outputs.by_ref().take(layout.yields()).collect();
            if !yields.is_empty() {
                let _ = writeln!(printer.text, "{indent}yield {}", yields.join(", "));
            }
            for until in outputs {
                let _ = writeln!(printer.text, "{indent}until {until}");
            }
            Ok(())
        })?;
        Ok(format!("scan ({}) {text}", head.join(", ")))
    }

    fn custom(&mut self, attributes: &Attributes, operands: &[Var]) -> Result<String> {
        let layout = CustomLayout::of(attributes)?;
        let (inputs, captured) = operands[..layout.forward()].split_at(layout.inputs);
        let values: Vec<String> = inputs.iter().map(|input| self.operand(input)).collect();
        let (params, read) = layout.body.inputs().split_at(layout.inputs);
        let mut names = Vec::new();
        let forward = self.body(|printer| {
            names.extend(params.iter().map(|param| printer.input(param)));
            printer.captured(read, captured);
            printer.results(&layout.body)
        })?;
        let head: Vec<String> = names.iter().zip(values).map(|(name, value)| format!("{name} = {value}")).collect();
        let (params, rest) = layout.vjp.inputs().split_at(layout.inputs);
        let (given, read) = rest.split_at(2 * layout.body.outputs().len());
        let mut more = Vec::new();
        let backward = self.body(|printer| {
            for (param, name) in params.iter().zip(names) {
                printer.call(param, name);
            }
            more.extend(given.iter().map(|given| printer.input(given)));
            printer.captured(read, layout.captured_by_vjp(operands));
            printer.results(&layout.vjp)
        })?;
        Ok(format!("custom_vjp ({}) {forward} vjp({}) {backward}", head.join(", "), more.join(", ")))
    }

    /// A body all of whose inputs are values outside.
    fn block(&mut self, body: &Body, captured: &[Var]) -> Result<String> {
        self.body(|printer| {
            printer.captured(body.inputs(), captured);
            printer.results(body)
        })
    }

    /// The statements of a body, and its results on the last line.
    fn results(&mut self, body: &Body) -> Result<()> {
        self.values(body.outputs())?;
        let results: Vec<String> = body.outputs().iter().map(|output| self.operand(output)).collect();
        let indent = self.indent();
        let _ = writeln!(self.text, "{indent}{}", results.join(", "));
        Ok(())
    }

    /// The names of what a body reads: those that the values have outside.
    fn captured(&mut self, inputs: &[Var], values: &[Var]) {
        for (input, value) in inputs.iter().zip(values) {
            let name = self.operand(value);
            self.call(input, name);
        }
    }

    /// `{ ... }` around what `write` writes; the names that it binds end with it.
    fn body(&mut self, write: impl FnOnce(&mut Printer) -> Result<()>) -> Result<String> {
        let (text, mark) = (std::mem::take(&mut self.text), self.inner.len());
        self.depth += 1;
        let written = write(self);
        self.depth -= 1;
        for key in self.inner.split_off(mark) {
            self.names.remove(&key);
        }
        let inside = std::mem::replace(&mut self.text, text);
        written.map(|()| format!("{{\n{inside}{}}}", self.indent()))
    }
}
