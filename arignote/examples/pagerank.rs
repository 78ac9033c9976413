//! PageRank of a small web, by iteration to a fixed point.
use arignote::ops::control::while_loop;
use arignote::prelude::*;

/// Who links to whom (L. Page and others, "The PageRank citation ranking", 1999, has the method).
const LINKS: [(usize, usize); 9] = [(0, 1), (0, 2), (1, 2), (2, 0), (3, 0), (3, 2), (4, 3), (4, 1), (2, 3)];
const PAGES: usize = 5;

/// The ranks by iteration, and by solving the equations of the fixed point.
pub fn learn(session: &Session) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut out = [0.0f64; PAGES];
    LINKS.iter().for_each(|&(from, _)| out[from] += 1.0);
    let mut moves = vec![0.0; PAGES * PAGES];
    LINKS.iter().for_each(|&(from, to)| moves[to * PAGES + from] = 1.0 / out[from]);
    let moves = Var::constant(Tensor::from_vec(moves, &[PAGES, PAGES])?);
    let jump = (1.0 - 0.85) / PAGES as f64;
    let follow = |rank: &Var| 0.85 * moves.matmul(rank) + jump;
    let start = full(&[PAGES], &Var::scalar(1.0 / PAGES as f64));
    let ranks = while_loop(&start, |rank| (follow(rank) - rank).abs().max(None).gt(&Var::weak(1e-15)), follow);
    let exact = (eye(PAGES, DType::F64) - 0.85 * &moves).solve(&full(&[PAGES], &Var::scalar(jump)));
    let results = FunctionBuilder::new("rank").output(&ranks).output(&exact).build(session)?.call(&[])?;
    Ok((results[0].to_f64_vec(), results[1].to_f64_vec()))
}

fn main() -> Result<()> {
    for (page, rank) in learn(&arignote::session()?)?.0.into_iter().enumerate() {
        println!("page {page}: {rank:.4}");
    }
    Ok(())
}
