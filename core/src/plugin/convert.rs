//! Plain data on its way through the boundary, in both directions.

use arignote_abi as abi;
use arignote_abi::{ROption, RResult, RString, RVec};

use super::memory::{tensor_in, tensor_out};
use super::traits::*;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Location;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::tensor::{DType, Dim, Kind, MemoryKind, Type};

pub(super) fn string(text: &str) -> RString {
    RString::from(text)
}

/// A list, item by item.
pub(super) fn list<A, B>(items: impl IntoIterator<Item = A>, convert: impl FnMut(A) -> B) -> RVec<B> {
    items.into_iter().map(convert).collect()
}

pub(super) fn error_out(error: &Error) -> abi::Error {
    let unknown = Location::unknown();
    let place = error.location().unwrap_or(&unknown);
    abi::Error {
        code: abi::ErrorCode(error.kind() as u32),
        message: string(error.message()),
        node: error.node().map(|node| node as u64).into(),
        file: string(&place.file),
        line: place.line,
        column: place.column,
        notes: list(error.notes(), |note| string(note)),
        backtrace: RString::new(),
    }
}

pub(super) fn error_in(error: abi::Error) -> Error {
    let kind = match error.code {
        abi::ErrorCode::PANICKED | abi::ErrorCode::POISONED => ErrorKind::Plugin,
        abi::ErrorCode(code) => ErrorKind::from_code(code),
    };
    let mut out = Error::new(kind, error.message.as_str());
    if !error.file.is_empty() {
        out = out.at(&Location::new(error.file.as_str().into(), error.line, error.column));
    }
    if let ROption::RSome(node) = error.node {
        out = out.in_node(node as usize);
    }
    for note in error.notes.iter() {
        out = out.note(note.as_str());
    }
    if !error.backtrace.is_empty() {
        // A screen holds no more, and the frames near the panic come first.
        let lines: Vec<_> = error.backtrace.lines().take(14).collect();
        out = out.note(format!("backtrace:\n{}", lines.join("\n")));
    }
    out
}

/// The result of a call across the boundary.
pub(super) fn outcome<T>(outcome: abi::Outcome<T>) -> Result<T> {
    match outcome {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(error) => Err(error_in(error)),
    }
}

pub(super) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Plugin, format!("the other side of the plugin boundary sent {what}"))
}

pub(super) fn dtype_out(dtype: DType) -> abi::DataType {
    let code = match dtype {
        DType::Bool => abi::TypeCode::BOOL,
        DType::BF16 => abi::TypeCode::BFLOAT,
        _ => match dtype.kind() {
            Kind::Bool => abi::TypeCode::BOOL,
            Kind::Unsigned => abi::TypeCode::UINT,
            Kind::Signed => abi::TypeCode::INT,
            Kind::Float => abi::TypeCode::FLOAT,
        },
    };
    abi::DataType::new(code, (dtype.size() * 8) as u8)
}

pub(super) fn dtype_in(dtype: abi::DataType) -> Result<DType> {
    DType::ALL.into_iter().find(|&known| dtype_out(known) == dtype).ok_or_else(|| {
        malformed(format_args!(
            "an element type that this version does not know (DLPack code {}, {} bits, {} lanes)",
            dtype.code.0, dtype.bits, dtype.lanes
        ))
    })
}

pub(super) fn type_out(ty: &Type) -> abi::ValueType {
    let dim = |dim: &Dim| match dim {
        Dim::Known(length) => abi::DimType { length: *length as i64, name: RString::new() },
        Dim::Named(name) => abi::DimType { length: -1, name: string(name) },
        _ => abi::DimType { length: -1, name: RString::new() },
    };
    abi::ValueType { dtype: dtype_out(ty.dtype), weak: ty.weak, dims: list(&ty.dims, dim) }
}

pub(super) fn type_in(ty: &abi::ValueType) -> Result<Type> {
    let dim = |dim: &abi::DimType| match usize::try_from(dim.length) {
        Ok(length) => Dim::Known(length),
        Err(_) if dim.name.is_empty() => Dim::Unknown,
        Err(_) => Dim::Named(dim.name.as_str().into()),
    };
    Ok(Type::new(dtype_in(ty.dtype)?, ty.dims.iter().map(dim)).with_weak(ty.weak))
}

fn plain(kind: abi::AttributeKind, integer: i64) -> abi::Attribute {
    abi::Attribute { kind, integer, text: RString::new(), items: RVec::new() }
}

fn worded(kind: abi::AttributeKind, text: &str) -> abi::Attribute {
    abi::Attribute { text: string(text), ..plain(kind, 0) }
}

fn composed(kind: abi::AttributeKind, items: RVec<abi::Attribute>) -> abi::Attribute {
    abi::Attribute { items, ..plain(kind, 0) }
}

pub(super) fn attribute_out(value: &Attribute) -> abi::Attribute {
    use abi::AttributeKind as K;
    match value {
        Attribute::None => plain(K::NONE, 0),
        Attribute::Bool(value) => plain(K::BOOL, i64::from(*value)),
        Attribute::Int(value) => plain(K::INT, *value),
        Attribute::Float(value) => plain(K::FLOAT, value.to_bits() as i64),
        Attribute::Str(value) => worded(K::STR, value),
        Attribute::DType(value) => worded(K::DTYPE, value.name()),
        Attribute::List(values) => composed(K::LIST, list(values, attribute_out)),
        Attribute::Index(items) => composed(K::INDEX, list(items, index_out)),
        // For a device's answer only; in a program a body stands in the text.
        Attribute::Body(body) => worded(K::STR, &format!("{body:?}")),
    }
}

fn index_out(item: &IndexItem) -> abi::Attribute {
    use abi::AttributeKind as K;
    let bound = |bound: &IndexBound| match bound {
        IndexBound::Open => plain(K::NONE, 0),
        IndexBound::At(value) => plain(K::INT, *value),
        IndexBound::Operand(operand) => plain(K::OPERAND, *operand as i64),
    };
    match item {
        IndexItem::Slice { start, stop, step } => {
            composed(K::SLICE, [bound(start), bound(stop), plain(K::INT, *step)].into_iter().collect())
        }
        IndexItem::At(value) => plain(K::INT, *value),
        IndexItem::Operand(operand) => plain(K::OPERAND, *operand as i64),
        IndexItem::Ellipsis => plain(K::ELLIPSIS, 0),
        IndexItem::NewAxis => plain(K::NONE, 0),
    }
}

pub(super) fn attribute_in(value: &abi::Attribute) -> Result<Attribute> {
    use abi::AttributeKind as K;
    Ok(match value.kind {
        K::NONE => Attribute::None,
        K::BOOL => Attribute::Bool(value.integer != 0),
        K::INT => Attribute::Int(value.integer),
        K::FLOAT => Attribute::Float(f64::from_bits(value.integer as u64)),
        K::STR => Attribute::Str(value.text.to_string()),
        K::DTYPE => Attribute::DType(value.text.parse()?),
        K::LIST => Attribute::List(value.items.iter().map(attribute_in).collect::<Result<_>>()?),
        K::INDEX => Attribute::Index(value.items.iter().map(index_in).collect::<Result<_>>()?),
        K(other) => return Err(malformed(format_args!("an attribute of unknown kind {other}"))),
    })
}

fn index_in(item: &abi::Attribute) -> Result<IndexItem> {
    use abi::AttributeKind as K;
    let operand = |item: &abi::Attribute| {
        usize::try_from(item.integer).map_err(|_| malformed("a negative operand number"))
    };
    let bound = |item: &abi::Attribute| match item.kind {
        K::NONE => Ok(IndexBound::Open),
        K::INT => Ok(IndexBound::At(item.integer)),
        K::OPERAND => operand(item).map(IndexBound::Operand),
        K(other) => Err(malformed(format_args!("a slice bound of unknown kind {other}"))),
    };
    Ok(match item.kind {
        K::NONE => IndexItem::NewAxis,
        K::INT => IndexItem::At(item.integer),
        K::OPERAND => IndexItem::Operand(operand(item)?),
        K::ELLIPSIS => IndexItem::Ellipsis,
        K::SLICE => match item.items.as_slice() {
            [start, stop, step] => {
                IndexItem::Slice { start: bound(start)?, stop: bound(stop)?, step: step.integer }
            }
            other => return Err(malformed(format_args!("a slice of {} parts", other.len()))),
        },
        K(other) => return Err(malformed(format_args!("an index item of unknown kind {other}"))),
    })
}

pub(super) fn attributes_out(attributes: &Attributes) -> RVec<abi::NamedAttribute> {
    list(attributes.iter(), |(name, value)| abi::NamedAttribute {
        name: string(name),
        value: attribute_out(value),
    })
}

pub(super) fn attributes_in(attributes: &[abi::NamedAttribute]) -> Result<Attributes> {
    let mut out = Attributes::new();
    for attribute in attributes {
        out.set(&attribute.name, attribute_in(&attribute.value)?);
    }
    Ok(out)
}

fn pairs_out(pairs: &[(usize, usize)]) -> RVec<abi::Overwrite> {
    list(pairs, |&(operand, result)| abi::Overwrite { operand: operand as u32, result: result as u32 })
}

fn pairs_in(pairs: &[abi::Overwrite]) -> Vec<(usize, usize)> {
    pairs.iter().map(|pair| (pair.operand as usize, pair.result as usize)).collect()
}

pub(super) fn query_out(node: &NodeQuery<'_>) -> abi::NodeDescription {
    abi::NodeDescription {
        op: string(node.op),
        revision: node.revision,
        attributes: attributes_out(node.attributes),
        operands: list(node.operands, type_out),
        results: list(node.results, type_out),
        extra: RVec::new(),
    }
}

/// A program.
pub(super) fn program_out(program: &Program) -> abi::Program {
    abi::Program {
        format: string(&program.format),
        text: string(&program.text),
        constants: list(&program.constants, tensor_out),
        notes: list(&program.notes, note_out),
        ops: list(&program.ops, definition_out),
        extra: RVec::new(),
    }
}

pub(super) fn program_in(program: &abi::Program) -> Result<Program> {
    Ok(Program {
        format: program.format.to_string(),
        text: program.text.to_string(),
        constants: program.constants.iter().cloned().map(tensor_in).collect::<Result<_>>()?,
        notes: program.notes.iter().map(note_in).collect(),
        ops: program.ops.iter().map(definition_in).collect(),
    })
}

pub(super) fn definition_out(op: &OpDefinition) -> abi::OpDefinition {
    abi::OpDefinition { name: string(&op.name), revision: op.revision, definition: string(&op.definition) }
}

pub(super) fn definition_in(op: &abi::OpDefinition) -> OpDefinition {
    OpDefinition { name: op.name.to_string(), revision: op.revision, definition: op.definition.to_string() }
}

pub(super) fn support_out(support: &Support) -> abi::Support {
    match support {
        Support::Yes(pairs) => {
            abi::Support { supported: true, reason: RString::new(), overwrites: pairs_out(pairs) }
        }
        Support::No(reason) => {
            abi::Support { supported: false, reason: string(reason), overwrites: RVec::new() }
        }
    }
}

pub(super) fn support_in(support: &abi::Support) -> Support {
    match support.supported {
        true => Support::Yes(pairs_in(&support.overwrites)),
        false => Support::No(support.reason.to_string()),
    }
}

pub(super) fn info_out(info: &PluginInfo) -> abi::PluginInfo {
    abi::PluginInfo {
        name: string(&info.name),
        version: string(&info.version),
        license: string(&info.license),
        description: string(&info.description),
        extra: RVec::new(),
    }
}

pub(super) fn info_in(info: &abi::PluginInfo) -> PluginInfo {
    PluginInfo {
        name: info.name.to_string(),
        version: info.version.to_string(),
        license: info.license.to_string(),
        description: info.description.to_string(),
    }
}

pub(super) fn device_info_out(info: &DeviceInfo) -> abi::DeviceInfo {
    abi::DeviceInfo {
        name: string(&info.name),
        description: string(&info.description),
        memory: abi::DeviceType(info.memory.0 as i32),
        memory_bytes: info.memory_bytes,
        extra: RVec::new(),
    }
}

pub(super) fn device_info_in(info: &abi::DeviceInfo) -> DeviceInfo {
    DeviceInfo {
        name: info.name.to_string(),
        description: info.description.to_string(),
        memory: MemoryKind(info.memory.0 as u32),
        memory_bytes: info.memory_bytes,
    }
}

pub(super) fn stats_out(stats: DeviceStats) -> abi::DeviceStats {
    abi::DeviceStats {
        allocations: stats.allocations,
        live_bytes: stats.live_bytes,
        peak_bytes: stats.peak_bytes,
        extra: RVec::new(),
    }
}

pub(super) fn stats_in(stats: &abi::DeviceStats) -> DeviceStats {
    DeviceStats {
        allocations: stats.allocations,
        live_bytes: stats.live_bytes,
        peak_bytes: stats.peak_bytes,
    }
}

pub(super) fn note_out(note: &StatementNote) -> abi::StatementNote {
    abi::StatementNote {
        overwrites: list(&note.overwrites, |&(operand, result)| abi::Overwrite { operand, result }),
        last_uses: note.last_uses.iter().copied().collect(),
    }
}

pub(super) fn note_in(note: &abi::StatementNote) -> StatementNote {
    StatementNote {
        overwrites: note.overwrites.iter().map(|pair| (pair.operand, pair.result)).collect(),
        last_uses: note.last_uses.to_vec(),
    }
}

pub(super) fn options_out(options: &CompileOptions) -> abi::CompileOptions {
    abi::CompileOptions {
        profile: options.profile,
        donatable: options.donatable.iter().copied().collect(),
        extra: RVec::new(),
    }
}

pub(super) fn options_in(options: &abi::CompileOptions) -> CompileOptions {
    CompileOptions { profile: options.profile, donatable: options.donatable.to_vec() }
}

pub(super) fn profile_out(entry: &ProfileEntry) -> abi::ProfileEntry {
    abi::ProfileEntry {
        statement: entry.statement as u64,
        calls: entry.calls,
        seconds: entry.seconds,
        bytes: entry.bytes,
        extra: if entry.fused.is_empty() { RVec::new() } else { RVec::from(vec![abi::Pair { key: string(FUSED), value: string(&numbers(&entry.fused)) }]) },
    }
}

/// The key of the statements that one kernel computes together, as numbers between spaces.
const FUSED: &str = "fused";

fn numbers(statements: &[usize]) -> String {
    statements.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

pub(super) fn profile_in(entry: &abi::ProfileEntry) -> ProfileEntry {
    let fused = entry.extra.iter().find(|pair| pair.key == FUSED);
    let fused = fused.map_or(Vec::new(), |pair| pair.value.split(' ').filter_map(|number| number.parse().ok()).collect());
    ProfileEntry {
        statement: entry.statement as usize,
        calls: entry.calls,
        seconds: entry.seconds,
        bytes: entry.bytes,
        fused,
    }
}

pub(super) fn level_in(level: abi::LogLevel) -> LogLevel {
    match level.0 {
        0 | 1 => LogLevel::Error,
        2 => LogLevel::Warn,
        3 => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}
