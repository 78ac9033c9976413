//! How a kernel's loop is laid out: what does not change from element to element, how many lanes a vector has, and
//! how many vectors a turn of the loop takes. Where the order of the elements matters (sums), every target keeps to it.

use super::ir::{Instruction, Kernel, Kind, Unary};

/// Vector registers that values can be in.
pub const REGISTERS: usize = 14;

/// The layout of a kernel's loop.
#[derive(Clone, Debug)]
pub struct Form {
    /// Lanes of a vector: 4 where any lane has 64 bits, else 8.
    pub lanes: usize,
    /// Vectors in a turn of the loop: 1, 2 or 4.
    pub unroll: usize,
    /// Which instructions give the same for all elements.
    pub fixed: Vec<bool>,
    /// The instruction that computes what each is: another where it only gives the same bits another name.
    pub source: Vec<u32>,
}

impl Form {
    /// The layout of a kernel of which some inputs are one element for all.
    pub fn of(kernel: &Kernel, uniform: &[bool]) -> Form {
        let count = kernel.instructions.len();
        let mut fixed = vec![false; count];
        let mut source: Vec<u32> = (0..count as u32).collect();
        for (at, (instruction, _)) in kernel.instructions.iter().enumerate() {
            fixed[at] = match *instruction {
                Instruction::Input(input) => uniform[input as usize],
                _ => instruction.operands().all(|operand| fixed[operand as usize]),
            };
            if let Instruction::Unary(Unary::Bits(_), a) = *instruction { source[at] = source[a as usize]; }
        }
        let wide = kernel.instructions.iter().any(|(_, kind)| kind.is_wide());
        let pressure = Form::pressure(kernel, &fixed, &source).max(1) + kernel.reductions.len();
        let cheap = kernel.instructions.len() <= 200;
        let unroll = if cheap && pressure <= 3 { 4 } else if cheap && pressure <= 7 && kernel.reductions.len() < 4 { 2 } else { 1 };
        Form { lanes: if wide { 4 } else { 8 }, unroll, fixed, source }
    }

    /// How many values of one element are needed at once at most.
    fn pressure(kernel: &Kernel, fixed: &[bool], source: &[u32]) -> usize {
        let mut last = vec![0; kernel.instructions.len()];
        for (at, (instruction, _)) in kernel.instructions.iter().enumerate() {
            for operand in instruction.operands() { last[source[operand as usize] as usize] = at; }
        }
        for number in kernel.outputs.iter().map(|output| output.0).chain(kernel.reductions.iter().map(|reduction| reduction.0)) {
            let number = source[number as usize] as usize;
            last[number] = last[number].max(number);
        }
        let mut ends = vec![0usize; kernel.instructions.len()];
        let (mut live, mut most) = (0usize, 0);
        for at in 0..kernel.instructions.len() {
            if !fixed[at] && source[at] == at as u32 {
                live += 1;
                most = most.max(live);
                ends[last[at].max(at)] += 1;
            }
            live -= ends[at];
        }
        most
    }

    /// In which of `lanes * unroll` accumulators an element of a call is.
    pub fn accumulator(&self, element: usize, count: usize) -> usize {
        let turn = self.lanes * self.unroll;
        if element < count / turn * turn { element % turn } else { element % self.lanes }
    }

    /// Whether lanes of a kind fill a whole register.
    pub fn long(&self, kind: Kind) -> bool {
        kind.is_wide() || self.lanes == 8
    }
}
