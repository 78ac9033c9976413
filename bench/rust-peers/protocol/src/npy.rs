//! Arrays in files as NumPy writes them, of the three element types that the workloads have.

use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// An array in memory, row by row.
#[derive(Debug)]
pub struct Array {
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Values,
}

/// Elements of one type.
#[derive(Debug)]
pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
}

impl Array {
    /// The array in a file.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Array, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Array::parse(&bytes).ok_or_else(|| format!("{} is not an array of f4, f8 or i8 in C order, format 1.0", path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Array> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (header, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let header = std::str::from_utf8(header).ok()?;
        header.contains("'fortran_order': False").then_some(())?;
        let (_, shape) = header.split_once("'shape': (")?;
        let (shape, _) = shape.split_once(')')?;
        let lengths = shape.split(',').map(str::trim).filter(|text| !text.is_empty());
        let shape = lengths.map(|text| text.parse().ok()).collect::<Option<Vec<usize>>>()?;
        let values = if header.contains("'<f4'") {
            Values::F32(elements(data, f32::from_le_bytes))
        } else if header.contains("'<f8'") {
            Values::F64(elements(data, f64::from_le_bytes))
        } else if header.contains("'<i8'") {
            Values::I64(elements(data, i64::from_le_bytes))
        } else {
            return None;
        };
        (values.len() == shape.iter().product::<usize>()).then_some(Array { shape, values })
    }

    /// Writes a file that NumPy reads.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let lengths: String = self.shape.iter().map(|length| format!("{length}, ")).collect();
        let (kind, data): (_, Vec<u8>) = match &self.values {
            Values::F32(values) => ("<f4", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Values::F64(values) => ("<f8", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Values::I64(values) => ("<i8", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({lengths}), }}");
        // The data starts at a multiple of 64.
        let padded = (MAGIC.len() + 2 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 2;
        header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
        header.push('\n');
        let length = u16::try_from(header.len()).map_err(|_| format!("{} axes are too many", self.shape.len()))?;
        let bytes = [MAGIC, &length.to_le_bytes(), header.as_bytes(), &data].concat();
        std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::I64(values) => values.len(),
        }
    }
}

fn elements<T, const N: usize>(data: &[u8], element: fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| element(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("peer-protocol-{}.npy", std::process::id()));
        for shape in [vec![], vec![2], vec![3, 2]] {
            let values: Vec<f64> = (0..shape.iter().product::<usize>()).map(|value| value as f64 / 3.0).collect();
            Array { shape: shape.clone(), values: Values::F64(values.clone()) }.write(&path).unwrap();
            let found = Array::read(&path).unwrap();
            assert_eq!(found.shape, shape);
            assert!(matches!(found.values, Values::F64(found) if found == values));
        }
        std::fs::remove_file(path).unwrap();
    }
}
