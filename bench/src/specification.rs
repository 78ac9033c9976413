//! `workloads.toml`, read.

use std::collections::BTreeMap;

use arignote::prelude::*;
use arignote::ErrorKind;
use serde::Deserialize;

const TEXT: &str = include_str!("../workloads.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Formula {
    inputs: BTreeMap<String, String>,
    #[serde(default)]
    states: Vec<String>,
    #[serde(default)]
    constants: BTreeMap<String, i64>,
    #[allow(dead_code)]
    tolerance: Option<f64>,
    runs: BTreeMap<String, BTreeMap<String, usize>>,
    tiny: BTreeMap<String, usize>,
}

/// One workload with its sizes.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The name, with the size where there are several.
    pub name: String,
    /// What is computed.
    pub formula: String,
    /// The inputs by name.
    pub inputs: BTreeMap<String, Input>,
    /// The inputs that live in states.
    pub states: Vec<String>,
    /// Whole numbers of the formula.
    pub constants: BTreeMap<String, i64>,
}

/// An input to be made.
#[derive(Clone, Debug)]
pub struct Input {
    /// The element type.
    pub dtype: DType,
    /// Where its elements come from.
    pub kind: Kind,
    /// The length of each axis.
    pub shape: Vec<usize>,
}

/// Where the elements of an input come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The normal distribution with this scale.
    Normal(f64),
    /// The uniform distribution between these.
    Uniform(f64, f64),
    /// Whole numbers from 0 on, below this.
    Below(usize),
    /// All this number.
    Value(f64),
}

/// All workloads at their sizes or, `tiny`, one of each formula for tests.
///
/// # Errors
/// If `workloads.toml` is wrong.
pub fn specifications(tiny: bool) -> Result<Vec<Workload>> {
    let wrong = |error: toml::de::Error| Error::new(ErrorKind::Io, format!("workloads.toml: {error}"));
    let formulas: BTreeMap<String, Formula> = toml::from_str(TEXT).map_err(wrong)?;
    let mut workloads = Vec::new();
    for (name, formula) in formulas {
        let runs = if tiny { BTreeMap::from([(name.clone(), formula.tiny.clone())]) } else { formula.runs.clone() };
        for (run, sizes) in runs {
            let inputs = formula.inputs.iter().map(|(input, text)| Ok((input.clone(), Input::parse(text, &sizes)?)));
            let inputs = inputs.collect::<Result<_>>()?;
            let (states, constants) = (formula.states.clone(), formula.constants.clone());
            workloads.push(Workload { name: run, formula: name.clone(), inputs, states, constants });
        }
    }
    Ok(workloads)
}

impl Input {
    fn parse(text: &str, sizes: &BTreeMap<String, usize>) -> Result<Input> {
        let wrong = |what: &str| Error::new(ErrorKind::Io, format!("workloads.toml: `{text}`: {what}"));
        let size = |word: &str| sizes.get(word).copied().or_else(|| word.parse().ok()).ok_or_else(|| wrong("a dim is neither a number nor a size"));
        let mut words = text.split_whitespace();
        let dtype = words.next().unwrap_or_default().parse()?;
        let mut kind = words.next().unwrap_or_default().split(':');
        let name = kind.next().unwrap_or_default();
        let parameters: Vec<&str> = kind.collect();
        let number = |at: usize| parameters.get(at).and_then(|text| text.parse::<f64>().ok()).ok_or_else(|| wrong("a number is missing"));
        let kind = match name {
            "normal" => Kind::Normal(if parameters.is_empty() { 1.0 } else { number(0)? }),
            "uniform" => Kind::Uniform(number(0)?, number(1)?),
            "below" => Kind::Below(size(parameters.first().unwrap_or(&""))?),
            "value" => Kind::Value(number(0)?),
            _ => return Err(wrong("the kinds are normal, uniform, below and value")),
        };
        Ok(Input { dtype, kind, shape: words.map(size).collect::<Result<_>>()? })
    }
}
