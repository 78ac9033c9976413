//! The text of `einsum`: a label for each axis of each operand, and of the result.

use super::type_error;
use crate::error::Result;
use crate::tensor::Type;

/// What an axis is called: a letter, or an axis of `...`.
pub(super) type Label = u32;

/// The first label of an axis of `...`; letters are smaller.
const ELLIPSIS: Label = 1 << 24;

/// Labels of all axes.
#[derive(Debug)]
pub(super) struct Subscripts {
    pub(super) operands: Vec<Vec<Label>>,
    pub(super) result: Vec<Label>,
}

/// Letters before and after `...`, and whether it is there.
struct Letters {
    front: Vec<Label>,
    back: Vec<Label>,
    ellipsis: bool,
}

fn letters(text: &str) -> Result<Letters> {
    let (front, back) = match text.split_once("...") {
        Some((front, back)) => (front, Some(back)),
        None => (text, None),
    };
    let read = |part: &str| -> Result<Vec<Label>> {
        match part.chars().find(|letter| !letter.is_ascii_alphabetic()) {
            Some(other) => type_error(format!("`{other}` cannot stand in subscripts: letters, `,`, `...` and `->` can")),
            None => Ok(part.chars().map(Label::from).collect()),
        }
    };
    Ok(Letters { front: read(front)?, back: read(back.unwrap_or(""))?, ellipsis: back.is_some() })
}

/// Reads subscripts for operands of these types.
pub(super) fn parse(text: &str, types: &[&Type]) -> Result<Subscripts> {
    let dense: String = text.chars().filter(|letter| *letter != ' ').collect();
    let (inputs, output) = match dense.split_once("->") {
        Some((inputs, output)) => (inputs, Some(letters(output)?)),
        None => (dense.as_str(), None),
    };
    let inputs: Vec<Letters> = inputs.split(',').map(letters).collect::<Result<_>>()?;
    if inputs.len() != types.len() {
        let message = format!("the subscripts `{text}` are of {} operands, but {} are given", inputs.len(), types.len());
        return type_error(message);
    }
    let mut spread = 0;
    for (at, (letters, ty)) in inputs.iter().zip(types).enumerate() {
        let named = letters.front.len() + letters.back.len();
        if ty.rank() < named || (ty.rank() > named && !letters.ellipsis) {
            let message = format!("operand {at} is {ty}, but its subscripts in `{text}` name {named} axes");
            return type_error(message);
        }
        spread = spread.max(ty.rank() - named);
    }
    // Axes of `...` belong together from the last one on.
    let open = |count: usize| (spread - count..spread).map(|axis| ELLIPSIS + axis as Label);
    let whole = |letters: &Letters, count: usize| -> Vec<Label> {
        letters.front.iter().copied().chain(open(count)).chain(letters.back.iter().copied()).collect()
    };
    let operands: Vec<Vec<Label>> = inputs
        .iter()
        .zip(types)
        .map(|(letters, ty)| whole(letters, ty.rank() - letters.front.len() - letters.back.len()))
        .collect();
    let result = match output {
        Some(output) => {
            let named = [output.front.as_slice(), &output.back].concat();
            for (at, label) in named.iter().enumerate() {
                let shown = char::from_u32(*label).unwrap_or('?');
                if named[..at].contains(label) {
                    return type_error(format!("`{shown}` stands twice in the result of `{text}`"));
                }
                if !operands.iter().any(|labels| labels.contains(label)) {
                    return type_error(format!("`{shown}` of the result is in no operand of `{text}`"));
                }
            }
            if spread > 0 && !output.ellipsis {
                return type_error(format!("the result of `{text}` lacks the `...` of its operands"));
            }
            whole(&output, if output.ellipsis { spread } else { 0 })
        }
        None => {
            let named: Vec<Label> = inputs.iter().flat_map(|letters| [&letters.front, &letters.back]).flatten().copied().collect();
            let mut once: Vec<Label> =
                named.iter().copied().filter(|label| named.iter().filter(|other| *other == label).count() == 1).collect();
            once.sort_unstable();
            open(spread).chain(once).collect()
        }
    };
    Ok(Subscripts { operands, result })
}
