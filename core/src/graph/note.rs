//! What is decided about a node once the order is known in which nodes run.

/// What the compiler decided about one statement of a program: a node at its place in the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementNote {
    /// Results that may be written over operands, as pairs (operand, result): nothing reads the
    /// operand's memory later. A device writes over no other operand, and need not over these; how it
    /// uses the memory of values that are dead already is its own affair.
    pub overwrites: Vec<(u32, u32)>,
    /// Operands (by position) that no later statement reads.
    pub last_uses: Vec<u32>,
}
