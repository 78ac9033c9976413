//! What crosses by value, beside errors and tensors.
//!
//! None of these structs ever changes; what a later version has to add travels in `extra`.

use crate::{DataType, DeviceType, EventBox, KernelBox, ROption, RString, RVec, TensorDescriptor};
use abi_stable::StableAbi;

/// A key and its value.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq)]
pub struct Pair {
    /// The key.
    pub key: RString,
    /// The value, as in a config.
    pub value: RString,
}

/// How much a line of log matters. An open set.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLevel(pub u32);

/// Who a plugin is.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct PluginInfo {
    /// Its name, also the prefix of its ops.
    pub name: RString,
    /// Its version.
    pub version: RString,
    /// Its licence.
    pub license: RString,
    /// One line about it.
    pub description: RString,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// An op that a plugin brings.
#[repr(C)]
#[derive(StableAbi)]
pub struct PluginOp {
    /// Its name, `plugin::op`.
    pub name: RString,
    /// Counts up when its meaning changes.
    pub revision: u32,
    /// Its definition in the language.
    pub definition: RString,
    /// Its documentation.
    pub doc: RString,
    /// Its native kernel.
    pub kernel: ROption<KernelBox>,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// A file of rewrite rules.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RuleText {
    /// The file's name, for messages.
    pub file: RString,
    /// Its text.
    pub text: RString,
}

/// An option of a backend.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct BackendOption {
    /// Its key in `[backend.NAME]`.
    pub name: RString,
    /// Its default, which also gives its kind.
    pub default: Attribute,
    /// Its documentation.
    pub doc: RString,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// Which form an [`Attribute`] has. An open set.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributeKind(pub u32);

impl AttributeKind {
    /// `none`.
    pub const NONE: AttributeKind = AttributeKind(0);
    /// A truth value, in `integer`.
    pub const BOOL: AttributeKind = AttributeKind(1);
    /// A whole number, in `integer`.
    pub const INT: AttributeKind = AttributeKind(2);
    /// A number, its bits in `integer`.
    pub const FLOAT: AttributeKind = AttributeKind(3);
    /// A string, in `text`.
    pub const STR: AttributeKind = AttributeKind(4);
    /// A dtype's name, in `text`.
    pub const DTYPE: AttributeKind = AttributeKind(5);
    /// A list, in `items`.
    pub const LIST: AttributeKind = AttributeKind(6);
    /// An index, whose `items` are of the kinds below, [`INT`](Self::INT) and [`NONE`](Self::NONE) (a new axis).
    pub const INDEX: AttributeKind = AttributeKind(7);
    /// In an index: start, stop and step, in `items`.
    pub const SLICE: AttributeKind = AttributeKind(8);
    /// In an index or a slice: the number of an operand, in `integer`.
    pub const OPERAND: AttributeKind = AttributeKind(9);
    /// In an index: `...`.
    pub const ELLIPSIS: AttributeKind = AttributeKind(10);
}

/// The value of an attribute.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Attribute {
    /// Which of the fields counts.
    pub kind: AttributeKind,
    /// A number.
    pub integer: i64,
    /// A text.
    pub text: RString,
    /// Parts.
    pub items: RVec<Attribute>,
}

/// An attribute and its name.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct NamedAttribute {
    /// Its name.
    pub name: RString,
    /// Its value.
    pub value: Attribute,
}

/// One dim of a [`ValueType`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct DimType {
    /// The length, or -1.
    pub length: i64,
    /// The name of a length that is only known in a call; empty if it has none.
    pub name: RString,
}

/// The type of a value before its shape is known.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct ValueType {
    /// The element type.
    pub dtype: DataType,
    /// Whether the dtype gives way to another's.
    pub weak: bool,
    /// The dims.
    pub dims: RVec<DimType>,
}

/// A node that someone asks a device about.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct NodeDescription {
    /// The op's name.
    pub op: RString,
    /// The op's revision.
    pub revision: u32,
    /// Its attributes.
    pub attributes: RVec<NamedAttribute>,
    /// The types of its operands.
    pub operands: RVec<ValueType>,
    /// The types of its results.
    pub results: RVec<ValueType>,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// Leave to write a result into an operand's memory.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwrite {
    /// Number of the operand.
    pub operand: u32,
    /// Number of the result.
    pub result: u32,
}

/// Whether a node can run on a device.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Support {
    /// Yes or no.
    pub supported: bool,
    /// Why not.
    pub reason: RString,
    /// What it may overwrite.
    pub overwrites: RVec<Overwrite>,
}

/// What a device is.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct DeviceInfo {
    /// Its name: `cpu`, `cuda0`.
    pub name: RString,
    /// One line for people.
    pub description: RString,
    /// The kind of its memory.
    pub memory: DeviceType,
    /// How much memory it has; 0 where that is not known.
    pub memory_bytes: u64,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// Counters of a device.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct DeviceStats {
    /// Allocations made.
    pub allocations: u64,
    /// Bytes in use.
    pub live_bytes: u64,
    /// The most bytes that were in use at once.
    pub peak_bytes: u64,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// What may be done about one statement of a program.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct StatementNote {
    /// Results that may be written over operands.
    pub overwrites: RVec<Overwrite>,
    /// Operands that no later statement reads.
    pub last_uses: RVec<u32>,
}

/// The meaning of an op that a plugin brought, for a library that does not have that plugin.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct OpDefinition {
    /// Its name, `plugin::op`.
    pub name: RString,
    /// Its revision.
    pub revision: u32,
    /// Its definition in the language.
    pub definition: RString,
}

/// A program to compile.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Program {
    /// The form of the text: `arig/1`.
    pub format: RString,
    /// The program in the language.
    pub text: RString,
    /// The constants that the text names by number, in host memory.
    pub constants: RVec<TensorDescriptor>,
    /// What each statement may do, in order.
    pub notes: RVec<StatementNote>,
    /// The plugins' ops that the text names.
    pub ops: RVec<OpDefinition>,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// What a rewrite of whole programs is.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct PassInfo {
    /// Its name.
    pub name: RString,
    /// The name of the phase that it runs in.
    pub phase: RString,
    /// Further tags.
    pub tags: RVec<RString>,
    /// One line about it.
    pub doc: RString,
    /// Functions of the language to which it applies.
    pub examples: RVec<RString>,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// One application of a rewrite of whole programs, for people.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct PassFiring {
    /// The line, from 1, of the given program's text that it happened at; 0 where that is not known.
    pub line: u64,
    /// What stood there.
    pub before: RString,
    /// What stands there now.
    pub after: RString,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// What became of a program.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Rewritten {
    /// The program: the same arguments, and as many results of the same types.
    pub program: Program,
    /// For each line of its text, the line, from 1, of the given program's text that it comes from; 0 where that
    /// is not known.
    pub places: RVec<u64>,
    /// What was done.
    pub firings: RVec<PassFiring>,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// How to compile.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct CompileOptions {
    /// Keep time per statement.
    pub profile: bool,
    /// Which arguments the caller may donate.
    pub donatable: RVec<bool>,
    /// More, by name.
    pub extra: RVec<Pair>,
}

/// An argument of a run.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Argument {
    /// The tensor, on the executable's device.
    pub tensor: TensorDescriptor,
    /// Whether its memory may be overwritten.
    pub donated: bool,
}

/// What a run gives.
#[repr(C)]
#[derive(StableAbi)]
pub struct RunResult {
    /// The results.
    pub results: RVec<TensorDescriptor>,
    /// When they are ready.
    pub done: EventBox,
}

/// What one statement cost, summed over all runs.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct ProfileEntry {
    /// Number of the statement.
    pub statement: u64,
    /// How often it ran.
    pub calls: u64,
    /// How long it took.
    pub seconds: f64,
    /// The bytes that it allocated.
    pub bytes: u64,
    /// More, by name.
    pub extra: RVec<Pair>,
}
