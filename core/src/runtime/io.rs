//! Tensors in files: `.npy` for single ones, safetensors for states. Files are written under another
//! name first and then renamed, so that a reader never sees half of one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::State;
use crate::runtime::Session;
use crate::tensor::{DType, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

fn io_error(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {what}", path.display()))
}

/// Writes a file, its parts one after the other, under another name and renames it, so that it is there whole or as it was.
///
/// # Errors
/// If it cannot be written; the file is as it was.
pub fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&partial)?;
        for part in parts { file.write_all(part)?; }
        drop(file);
        std::fs::rename(&partial, path)
    };
    let written = write();
    written.map_err(|error| {
        // The partial file may not exist; the error that matters is the first.
        let _ = std::fs::remove_file(&partial);
        io_error(path, format!("cannot write: {error}"))
    })
}

/// NumPy's name of a dtype, little-endian.
fn npy_name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::BF16 => return None,
    })
}

/// Writes a tensor as NumPy's `.npy`, version 1.0
/// (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
///
/// # Errors
/// If the file cannot be written, or the dtype is `bf16`, which NumPy does not have.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<()> {
    let Some(name) = npy_name(tensor.dtype()) else {
        return Err(io_error(path, "NumPy has no bf16; cast the tensor to f32 first"));
    };
    let dims: Vec<String> = tensor.shape().iter().map(|length| format!("{length},")).collect();
    let mut header =
        format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({}), }}", dims.join(" ").trim_end());
    while !(MAGIC.len() + 4 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    write_whole(path, &[&bytes, tensor.bytes()])
}

/// Reads a tensor from NumPy's `.npy`, little-endian, in either order of axes.
///
/// # Errors
/// If the file cannot be read, is not such a file, is cut short, or holds another dtype.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    let bytes = std::fs::read(path).map_err(|error| io_error(path, format!("cannot read: {error}")))?;
    parse_npy(&bytes).map_err(|what| io_error(path, what).note("write it again with NumPy's `numpy.save`, or copy it again"))
}

fn parse_npy(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("this is not an .npy file: it does not begin with \\x93NUMPY")?;
    let truncated = "the file is cut short in its header";
    let major = *rest.first().ok_or(truncated)?;
    let (length, start) = match major {
        1 => (usize::from(u16::from_le_bytes(rest.get(2..4).and_then(|b| b.try_into().ok()).ok_or(truncated)?)), 4),
        2 | 3 => (u32::from_le_bytes(rest.get(2..6).and_then(|b| b.try_into().ok()).ok_or(truncated)?) as usize, 6),
        other => return Err(format!("version {other} of the .npy format is not known (1, 2 and 3 are)")),
    };
    let header = rest.get(start..start + length).ok_or(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text")?;
    let field = |key: &str| {
        let (_, after) = header.split_once(&format!("'{key}':"))?;
        Some(after.trim_start())
    };
    let descr = field("descr").and_then(|text| text.split('\'').nth(1)).ok_or("the header has no 'descr'")?;
    let kind = descr.strip_prefix(['<', '|', '=']).unwrap_or_default();
    let dtype = DType::ALL
        .into_iter()
        .find(|&dtype| npy_name(dtype).is_some_and(|name| &name[1..] == kind))
        .ok_or_else(|| format!("dtype '{descr}' is not supported (little-endian bool, integers and floats are)"))?;
    let fortran = field("fortran_order").ok_or("the header has no 'fortran_order'")?.starts_with("True");
    let shape: Vec<usize> = field("shape")
        .and_then(|text| text.strip_prefix('(')?.split_once(')'))
        .ok_or("the header has no 'shape'")?
        .0
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(|_| format!("`{text}` is not a length")))
        .collect::<Result<_, _>>()?;
    let data = &rest[start + length..];
    let needed = shape.iter().try_fold(dtype.size(), |size, &length| size.checked_mul(length));
    match needed {
        Some(needed) if needed == data.len() => {}
        Some(needed) if needed > data.len() => {
            return Err(format!("the file is cut short: {dtype}{shape:?} needs {needed} bytes, {} are there", data.len()));
        }
        _ => return Err(format!("{} bytes do not fit {dtype}{shape:?}", data.len())),
    }
    if !fortran || shape.len() < 2 {
        return Tensor::from_bytes(dtype, &shape, data).map_err(|error| error.to_string());
    }
    // Column-major: element (i, j, ...) lies where row-major order has (..., j, i).
    let (size, count) = (dtype.size(), shape.iter().product::<usize>());
    let mut ordered = Vec::with_capacity(data.len());
    for flat in 0..count {
        let (mut rest, mut at, mut stride) = (flat, 0, 1);
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        for (axis, length) in shape.iter().enumerate() {
            at += index[axis] * stride;
            stride *= length;
        }
        ordered.extend_from_slice(&data[at * size..(at + 1) * size]);
    }
    Tensor::from_bytes(dtype, &shape, &ordered).map_err(|error| error.to_string())
}

const SAFETENSORS: [(DType, Dtype); 13] = [
    (DType::Bool, Dtype::BOOL),
    (DType::I8, Dtype::I8),
    (DType::I16, Dtype::I16),
    (DType::I32, Dtype::I32),
    (DType::I64, Dtype::I64),
    (DType::U8, Dtype::U8),
    (DType::U16, Dtype::U16),
    (DType::U32, Dtype::U32),
    (DType::U64, Dtype::U64),
    (DType::F16, Dtype::F16),
    (DType::BF16, Dtype::BF16),
    (DType::F32, Dtype::F32),
    (DType::F64, Dtype::F64),
];

/// Saves the values of states as one safetensors file, by name.
///
/// # Errors
/// If two states have one name, or the file cannot be written.
pub fn save_state(path: &Path, session: &Session, states: &[State]) -> Result<()> {
    let mut values: BTreeMap<&str, Tensor> = BTreeMap::new();
    for state in states {
        if values.insert(state.name(), session.get(state)?).is_some() {
            return Err(io_error(path, format!("two states are named `{}`", state.name())));
        }
    }
    let mut views = Vec::new();
    for (name, value) in &values {
        let dtype = SAFETENSORS.iter().find(|(ours, _)| *ours == value.dtype()).map_or(Dtype::F64, |pair| pair.1);
        let view = TensorView::new(dtype, value.shape().to_vec(), value.bytes());
        views.push((*name, view.map_err(|error| io_error(path, error))?));
    }
    let file = safetensors::serialize(views, None).map_err(|error| io_error(path, error))?;
    write_whole(path, &[&file])
}

/// Sets states from a safetensors file: all of them, or none if anything does not fit.
///
/// # Errors
/// If the file cannot be read, is cut short, lacks a state, or holds another dtype or shape; or if two
/// states have one name.
pub fn load_state(path: &Path, session: &Session, states: &[State]) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|error| io_error(path, format!("cannot read: {error}")))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| io_error(path, format!("this is not a whole safetensors file: {error}")))?;
    let mut values: Vec<(&State, Tensor)> = Vec::new();
    for state in states {
        if values.iter().any(|(known, _)| known.name() == state.name()) {
            return Err(io_error(path, format!("two states are named `{}`", state.name())));
        }
        let Ok(view) = file.tensor(state.name()) else {
            let error = io_error(path, format!("there is no tensor `{}` for the state of that name", state.name()));
            return Err(match nearest(state.name(), file.names()) {
                Some(near) => error.note(format!("the nearest is `{near}`")),
                None => error,
            });
        };
        let dtype = SAFETENSORS.iter().find(|(_, theirs)| *theirs == view.dtype()).map(|pair| pair.0);
        let fits = dtype.is_some_and(|dtype| state.ty().admits(dtype, view.shape()));
        let (Some(dtype), true) = (dtype, fits) else {
            let found = format!("{}{:?}", dtype.map_or(format!("{:?}", view.dtype()), |d| d.to_string()), view.shape());
            return Err(io_error(path, format!("the state `{}` is {}, the file has {found}", state.name(), state.ty())));
        };
        values.push((state, Tensor::from_bytes(dtype, view.shape(), view.data())?));
    }
    session.set_all(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npy_round_trips_every_dtype_numpy_has() {
        let folder = tempfile::tempdir().unwrap();
        for dtype in DType::ALL.into_iter().filter(|dtype| *dtype != DType::BF16) {
            for shape in [&[][..], &[3], &[2, 0], &[2, 3]] {
                let count: usize = shape.iter().product();
                let tensor = Tensor::from_vec((0..count as i64).collect(), shape).unwrap().cast(dtype);
                let path = folder.path().join("x.npy");
                write_npy(&path, &tensor).unwrap();
                assert!(read_npy(&path).unwrap().identical(&tensor), "{dtype}{shape:?}");
            }
        }
    }

    #[test]
    fn broken_npy_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        write_npy(&path, &Tensor::vector(vec![1.0f64, 2.0])).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            assert!(parse_npy(&whole[..length]).is_err(), "cut to {length} bytes");
        }
        let wide = String::from_utf8_lossy(&whole).replace("<f8", "<c8").into_bytes();
        assert!(parse_npy(&wide).is_err());
    }

    #[test]
    fn fortran_order_is_transposed() {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        let header = "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }\n";
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend([0i32, 3, 1, 4, 2, 5].iter().flat_map(|v| v.to_le_bytes()));
        assert_eq!(parse_npy(&bytes).unwrap().to_string(), "[[0, 1, 2], [3, 4, 5]]");
    }
}
