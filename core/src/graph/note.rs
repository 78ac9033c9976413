//! What is decided about a node once the order is known in which nodes run.

/// What the compiler decided about one statement of a program: a node at its place in the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementNote {
    /// Results to be written over operands: pairs (operand, result).
    pub overwrites: Vec<(u32, u32)>,
    /// Operands (by position) that no later statement reads.
    pub last_uses: Vec<u32>,
}
