//! Four lines of a sonnet by heart: an LSTM (S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997) that says the
//! next character, trained through `scan`.
mod common;

use arignote::ops::control::Scan;
use arignote::ops::random::normal;
use arignote::prelude::*;

const TEXT: &str = include_str!("../../data/sonnet.txt");
const UNITS: usize = 32;
const ROWS: usize = 4;

/// The loss per character, in nats, before and after, and how the text goes on from its first letter.
pub fn learn(session: &Session) -> Result<(f64, f64, String)> {
    let text: String = TEXT.lines().take(4).map(|line| format!("{line}\n")).collect();
    let mut letters: Vec<u8> = text.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    let ids: Vec<i64> = text.bytes().filter_map(|byte| letters.binary_search(&byte).ok()).map(|id| id as i64).collect();
    let key = |seed: u64| Var::constant(Tensor::vector(vec![seed, 0]));
    let start = [
        normal(&key(1), &[letters.len(), 4 * UNITS], DType::F32) / 2.0,
        normal(&key(2), &[UNITS, 4 * UNITS], DType::F32) / 7.0,
        zeros(&[4 * UNITS], DType::F32),
        normal(&key(3), &[UNITS, letters.len()], DType::F32) / 7.0,
    ];
    let weights = common::states(session, "w", &start)?;
    let w: Vec<Var> = weights.iter().map(Var::state).collect();
    let cell = |letter: &Var, h: &Var, c: &Var| {
        let gates = w[0].take(letter, 0) + h.matmul(&w[1]) + &w[2];
        let gate = |at: i64| gates.slice(1, Some(at * UNITS as i64), Some((at + 1) * UNITS as i64));
        let c = gate(0).sigmoid() * gate(1).tanh() + (gate(2) + 1.0).sigmoid() * c;
        (gate(3).sigmoid() * c.tanh(), c)
    };
    // The text in rows that are read side by side: [time, row].
    let length = (ids.len() - 1) / ROWS;
    let rows = |from: usize| {
        let at = |(time, row): (usize, usize)| ids[row * length + time + from];
        let all: Vec<i64> = (0..length).flat_map(|time| (0..ROWS).map(move |row| (time, row))).map(at).collect();
        Tensor::from_vec(all, &[length, ROWS])
    };
    let [x, y] = ["x", "y"].map(|name| Var::input(name, Type::new(DType::I64, ["t".into(), ROWS.into()])));
    let nothing = |rows: usize| zeros(&[rows, UNITS], DType::F32);
    let read = Scan::new().sequence("letter", &x).state("h", &nothing(ROWS)).state("c", &nothing(ROWS)).run(|step| {
        let (h, c) = cell(&step.get("letter"), &step.get("h"), &step.get("c"));
        step.set("h", &h);
        step.set("c", &c);
        step.give(&h);
    });
    let loss = read.stacked(0).matmul(&w[3]).cross_entropy(&y).mean(None);
    let step = FunctionBuilder::new("step").input(&x).input(&y).output(&loss);
    let step = common::adam(step, &loss, &weights, 0.01)?.build(session)?;
    let data = [rows(0)?, rows(1)?];
    let mut losses = Vec::new();
    for _ in 0..150 {
        losses.push(step.call(&data)?[0].item().unwrap_or(f64::NAN));
    }
    let first = Var::constant(Tensor::vector(vec![ids[0]]));
    let say = Scan::new().steps(&Var::scalar(60i64)).state("letter", &first).state("h", &nothing(1)).state("c", &nothing(1));
    let said = say.run(|step| {
        let (h, c) = cell(&step.get("letter"), &step.get("h"), &step.get("c"));
        let letter = h.matmul(&w[3]).argmax(Some(-1));
        step.set("letter", &letter);
        step.set("h", &h);
        step.set("c", &c);
        step.give(&letter);
    });
    let said = FunctionBuilder::new("say").output(&said.stacked(0)).build(session)?.call(&[])?.remove(0);
    let text = ids[..1].iter().copied().chain(said.to_i64_vec()).map(|id| char::from(letters[id as usize])).collect();
    Ok((losses[0], losses[losses.len() - 1], text))
}

fn main() -> Result<()> {
    let (before, after, text) = learn(&arignote::session()?)?;
    println!("loss per character from {before:.3} to {after:.3}\n{text}");
    Ok(())
}
