//! Images of digits, as several examples read them.

use arignote::prelude::*;

/// Images and digits to train on, and to test on.
pub fn digits() -> Result<[[Tensor; 2]; 2]> {
    let text = include_str!("../../../data/digits.csv");
    let numbers: Vec<i64> = text.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect();
    let part = |test: bool| -> Result<[Tensor; 2]> {
        let rows: Vec<&[i64]> = numbers.chunks(65).enumerate().filter(|(at, _)| (at % 5 == 0) == test).map(|(_, row)| row).collect();
        let images: Vec<f32> = rows.iter().flat_map(|row| &row[..64]).map(|&pixel| pixel as f32 / 16.0).collect();
        Ok([Tensor::from_vec(images, &[rows.len(), 64])?, Tensor::vector(rows.iter().map(|row| row[64]).collect())])
    };
    Ok([part(false)?, part(true)?])
}

/// Images and digits in parts of equal length, without what is left over.
pub fn batches(data: &[Tensor; 2], length: usize) -> Result<Vec<[Tensor; 2]>> {
    let (images, digits) = (data[0].as_slice::<f32>()?, data[1].as_slice::<i64>()?);
    let parts = images.chunks_exact(64 * length).zip(digits.chunks_exact(length));
    parts.map(|(x, y)| Ok([Tensor::from_vec(x.to_vec(), &[length, 64])?, Tensor::vector(y.to_vec())])).collect()
}
