//! Reads of reads give what they give as written, gradients and errors included: for all lengths, scalars and vectors of
//! positions that make a difference.

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{Function, FunctionBuilder, Session};
use arignote::tensor::Tensor;

const BOUNDS: &[&str] = &[
    "x[a:][i]", "x[a:][2]", "x[1:][i]", "x[a:][i:]", "x[a:][1:-1]", "x[:-1][a:]", "x[a:a + 3][2]", "x[a:a + 3][i]", "x[2:][a:][::2]",
    "x[a:-1][:-1]", "x[a:][i:][1]", "x[:a][i:]", "x[a:i][1:]", "x[s:][i]", "x[s:][1:]", "x[1:][s]", "x[a:][s:]", "x[-2:][a:]",
    "x[shape(x)[0] - 1:][a:]", "x[arange(shape(x)[0])][i]", "x[arange(shape(x)[0] - 2)][a:]", "x[arange(1, shape(x)[0])]",
    "x[arange(2, shape(x)[0] - 1)]", "x[arange(shape(x)[0] - 1, -1, -1)]", "x[arange(0, shape(x)[0], 2)]", "take(x, arange(1, shape(x)[0], 3))",
    "concatenate([[7.0, 8.0], x])[1:]", "concatenate([[7.0, 8.0], x])[3]", "concatenate([[7.0, 8.0], x])[-1]", "concatenate([x, [7.0]])[-1]",
    "concatenate([x, [7.0]])[-2]", "concatenate([x, [7.0], x])[:-1]", "concatenate([x, x * 2])[0]", "concatenate([x, x * 2])[1:]",
    "concatenate([x, [7.0, 8.0]])[:-1]", "concatenate([x, x * 2])[:-1]", "x[shape(x)[0] - 1]", "x[shape(x)[0] - 1:]", "x[:shape(x)[0] - 1]",
    "x[shape(x)[0] - 1::-1]", "x[shape(x)[0] - 2]", "x[arange(a)]", "x[arange(2)]", "set_at(x[::2], 5.0)[a:]", "set_at(x[1::2], 5.0)[2:3]",
];

const POSITIONS: &[&str] = &["x[j][i]", "x[j][1:]", "take(x, j, axis=0)[s]", "take(x, j + a, axis=0, mode=\"clip\")[i]", "take(x, j, axis=0, mode=\"wrap\")[1:]", "x[j][arange(2)][::-1]"];

fn session(exclude: &[&str]) -> Session {
    let exclude: Vec<String> = exclude.iter().map(|&name| name.to_owned()).collect();
    let config = Config::default().with("device", "reference").unwrap().with("rewrite.exclude", exclude).unwrap();
    arignote::session_with(config).unwrap()
}

fn compile(session: &Session, text: &str) -> Function {
    let graph = lang::load(lang::Source::new("reads", text)).and_then(|module| module.function(None));
    graph.and_then(|graph| FunctionBuilder::from_graph(graph).build(session)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn reads_of_reads_give_what_they_gave() {
    let (rewritten, plain) = (session(&[]), session(&["canonicalize", "stabilize", "specialize"]));
    let mut told = Vec::new();
    for read in BOUNDS.iter().chain(POSITIONS) {
        let text = format!("fn f(x: f64[n], a: u8[], i: u8[], s: i64[], j: i64[3]) {{\n    y = {read}\n    return y, grad(sum(y * y), x)\n}}");
        let functions = [&rewritten, &plain].map(|session| compile(session, &text));
        for length in 0..5 {
            let x = Tensor::vector((0..length).map(|at| 1.0 + f64::from(at)).collect());
            for (a, i, s, j) in (0..120).map(|at| (at % 4, at / 4 % 3, i64::from(at / 12 % 5) - 2, [i64::from(at % 5) - 2, 0, i64::from(at % 3)])) {
                let arguments = [x.clone(), Tensor::scalar(a as u8), Tensor::scalar(i as u8), Tensor::scalar(s), Tensor::vector(j.to_vec())];
                let [found, expected] = functions.each_ref().map(|function| function.call(&arguments));
                let same = match (&found, &expected) {
                    (Ok(found), Ok(expected)) => found.iter().zip(expected).all(|(a, b)| a.identical(b)),
                    (Err(_), Err(_)) => true,
                    // Positions that are not read need not be there.
                    (Ok(_), Err(_)) => POSITIONS.contains(read),
                    (Err(_), Ok(_)) => false,
                };
                if !same {
                    told.push(format!("{read} of {length}, a {a}, i {i}, s {s}, j {j:?}: {found:?}, as written {expected:?}"));
                }
            }
        }
    }
    assert!(told.is_empty(), "{} differ:\n{}", told.len(), told[..told.len().min(20)].join("\n"));
}
