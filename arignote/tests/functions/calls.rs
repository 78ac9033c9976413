//! Inputs, outputs, defaults and givens.

use arignote::prelude::*;

use super::{input, session, sessions, told, vector};

/// `f(x, y) = 10 x + y`, both of length `n`; `y` may have a default.
fn linear(session: &Session, default: Option<Tensor>) -> Function {
    let (x, y) = (input("x", &["n"]), input("y", &["n"]));
    let builder = FunctionBuilder::new("linear").input(&x).output(&(10.0 * &x + &y));
    let builder = match default {
        Some(default) => builder.input_with_default(&y, default),
        None => builder.input(&y),
    };
    builder.build(session).unwrap()
}

#[test]
fn a_function_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Function>();
    shared::<Session>();
    shared::<State>();
}

#[test]
fn inputs_by_position_or_name() {
    for session in sessions() {
        let f = linear(&session, None);
        assert_eq!(f.input_names(), ["x", "y"]);
        let (x, y) = (vector(&[1.0, 2.0]), vector(&[3.0, 4.0]));
        let expected = [13.0, 24.0];
        assert_eq!(f.call(&[x.clone(), y.clone()]).unwrap()[0].to_f64_vec(), expected);
        assert_eq!(f.call_named(&[("y", y.clone()), ("x", x.clone())]).unwrap()[0].to_f64_vec(), expected);
    }
}

#[test]
fn arguments_that_are_given_away_become_results() {
    for device in ["reference", "cpu"] {
        let f = linear(&session(device), None);
        let long = |value: f64| vector(&[value; 1000]);
        let (x, y) = (long(1.0), long(2.0));
        let starts = [x.as_ptr(), y.as_ptr()];
        let sum = f.call_owned(vec![x, y]).unwrap().remove(0);
        assert_eq!(sum.to_f64_vec(), [12.0; 1000]);
        // What a call computed can be given away too, but is left as it is where somebody holds it.
        let (start, kept) = (sum.as_ptr(), sum.clone());
        let other = f.call_owned(vec![sum, long(0.5)]).unwrap().remove(0);
        assert_eq!((other.to_f64_vec(), kept.to_f64_vec()), (vec![120.5; 1000], vec![12.0; 1000]));
        let last = f.call_owned(vec![kept, other.clone()]).unwrap().remove(0);
        assert_eq!((last.to_f64_vec(), other.to_f64_vec()), (vec![240.5; 1000], vec![120.5; 1000]));
        if device == "cpu" {
            assert!(starts.contains(&start), "the first result is not in the memory of an argument");
            assert_eq!(last.as_ptr(), start);
        }
        // One tensor at two places.
        let twice = f.call_owned(vec![last.clone(), last]).unwrap().remove(0);
        assert_eq!(twice.to_f64_vec(), [2645.5; 1000]);
        told(f.call_owned(vec![long(1.0)]), &["`linear` needs the input `y: f64[n]`"]);
        told(f.call_owned(vec![long(1.0), long(1.0), long(1.0)]), &["`linear` takes 2 inputs"]);
        told(f.call_owned(vec![long(1.0), vector(&[1.0])]), &["the dim `n` is 1000 in the input `x` and 1 in `y`"]);
        // A default is not given away.
        let f = linear(&session(device), Some(vector(&[1.0, 2.0])));
        for _ in 0..2 {
            assert_eq!(f.call_owned(vec![vector(&[1.0, 1.0])]).unwrap()[0].to_f64_vec(), [11.0, 12.0]);
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let f = linear(&session("cpu"), None);
    let (x, y) = (vector(&[1.0, 2.0]), vector(&[3.0, 4.0]));
    told(f.call(&[]), &["`linear` needs the input `x: f64[n]`"]);
    told(f.call(&[x.clone()]), &["needs the input `y: f64[n]`"]);
    told(f.call_named(&[("y", y.clone())]), &["needs the input `x: f64[n]`"]);
    let extra = [x.clone(), y.clone(), y.clone()];
    told(f.call(&extra), &["`linear` takes 2 inputs", "3 were given", "x, y"]);
    let twice = [("x", x.clone()), ("y", y.clone()), ("x", x.clone())];
    told(f.call_named(&twice), &["the input `x` is given twice"]);
    told(f.call_named(&[("x", x.clone()), ("yy", y.clone())]), &["no input `yy`", "did you mean `y`?"]);
    told(f.call_named(&[("temperature", y.clone())]), &["no input `temperature`", "its inputs: x, y"]);
    let longer = vector(&[1.0, 2.0, 3.0]);
    told(f.call(&[x.clone(), longer]), &["the dim `n` is 2 in the input `x` and 3 in `y`"]);
    told(f.call(&[x.clone(), y.cast(DType::I32)]), &["the input `y` is f64[n]", "i32[2]"]);
    told(f.call(&[x, Tensor::scalar(1.0)]), &["the input `y` is f64[n]", "f64[]"]);
}

#[test]
fn a_named_dim_holds_within_one_input() {
    let square = input("m", &["n", "n"]);
    let f = FunctionBuilder::new("f").input(&square).output(&square.sum(None)).build(&session("cpu")).unwrap();
    assert_eq!(f.call(&[Tensor::zeros(DType::F64, &[3, 3])]).unwrap()[0].item(), Some(0.0));
    let oblong = Tensor::zeros(DType::F64, &[2, 3]);
    told(f.call(&[oblong]), &["the dim `n` is 2 in the input `m` and 3 in `m`"]);
}

#[test]
fn defaults_stand_in_for_what_is_left_out() {
    for session in sessions() {
        let f = linear(&session, Some(vector(&[5.0, 6.0])));
        let x = vector(&[1.0, 2.0]);
        assert_eq!(f.call(&[x.clone()]).unwrap()[0].to_f64_vec(), [15.0, 26.0]);
        assert_eq!(f.call_named(&[("x", x.clone())]).unwrap()[0].to_f64_vec(), [15.0, 26.0]);
        assert_eq!(f.call(&[x, vector(&[0.0, 0.0])]).unwrap()[0].to_f64_vec(), [10.0, 20.0]);
        // A default counts for named dims as a given value does.
        told(f.call(&[vector(&[1.0])]), &["the dim `n` is 1 in the input `x` and 2 in `y`"]);
    }
    let x = input("x", &["3"]);
    let wrong = FunctionBuilder::new("f").input_with_default(&x, vector(&[1.0])).output(&x);
    told(wrong.finish(), &["the default of `x` is f64[1], the input is f64[3]"]);
}

#[test]
fn inputs_and_outputs_are_checked_when_building() {
    let session = session("reference");
    let (x, other) = (input("x", &["n"]), input("x", &["n"]));
    let build = |builder: FunctionBuilder| builder.build(&session);
    told(build(FunctionBuilder::new("f").input(&x).input(&other).output(&x)), &["two inputs are named `x`"]);
    told(build(FunctionBuilder::new("f").input(&x.exp()).output(&x)), &["an input must be made by `Var::input`"]);
    told(build(FunctionBuilder::new("f").output(&x.exp())), &["the input `x` is used", "not among the function's inputs"]);
    let twice = FunctionBuilder::new("f").input(&x).named_output("y", &x.exp()).named_output("y", &x.log());
    told(build(twice), &["two outputs are named `y`"]);
}

#[test]
fn outputs_are_one_several_or_named() {
    for session in sessions() {
        let x = input("x", &["n"]);
        let one = FunctionBuilder::new("one").input(&x).output(&x.sum(None)).build(&session).unwrap();
        assert_eq!(one.call(&[vector(&[1.0, 2.0])]).unwrap().len(), 1);
        assert_eq!(one.output_names(), [None]);
        let several = FunctionBuilder::new("several").input(&x).output(&x.max(None));
        let several = several.named_output("total", &x.sum(None)).named_output("same", &x).build(&session).unwrap();
        assert_eq!(several.output_names(), [None, Some("total"), Some("same")]);
        let results = several.call(&[vector(&[1.0, 5.0])]).unwrap();
        assert_eq!(results[0].item(), Some(5.0));
        assert_eq!(results[several.output_position("total").unwrap()].item(), Some(6.0));
        assert_eq!(results[several.output_position("same").unwrap()].to_f64_vec(), [1.0, 5.0]);
        told(several.output_position("totale"), &["no output `totale`", "did you mean `total`?"]);
        let none = FunctionBuilder::new("none").input(&x).build(&session).unwrap();
        assert_eq!(none.call(&[vector(&[1.0])]).unwrap(), []);
    }
}

#[test]
fn givens_replace_inputs_intermediates_and_states() {
    for session in sessions() {
        let (x, y) = (input("x", &["n"]), input("y", &["n"]));
        let scale = State::new("scale", Tensor::scalar(2.0));
        let scale_value = Var::state(&scale);
        let squared = x.square();
        let cost = (&squared * &scale_value).sum(None);
        let argument = vector(&[1.0, 2.0]);
        let call = |builder: FunctionBuilder, input: &Var| {
            builder.input(input).output(&cost).build(&session).unwrap().call(std::slice::from_ref(&argument)).unwrap()
        };
        assert_eq!(call(FunctionBuilder::new("f"), &x)[0].item(), Some(10.0));
        assert_eq!(call(FunctionBuilder::new("f").given(&x, &(&y + 1.0)), &y)[0].item(), Some(26.0));
        assert_eq!(call(FunctionBuilder::new("f").given(&squared, &y), &y)[0].item(), Some(6.0));
        assert_eq!(call(FunctionBuilder::new("f").given(&scale_value, &Var::scalar(1.0)), &x)[0].item(), Some(5.0));
        // Replacements are made at once: they are not searched themselves.
        let both = FunctionBuilder::new("both").input(&x).input(&y).output(&(&x - &y));
        let swapped = both.given(&x, &y).given(&y, &x).build(&session).unwrap();
        let results = swapped.call(&[vector(&[1.0]), vector(&[5.0])]).unwrap();
        assert_eq!(results[0].to_f64_vec(), [4.0]);
    }
    let x = input("x", &["n"]);
    let narrow = Var::input("y", Type::new(DType::F32, ["n".into()]));
    let given = |to: &Var| FunctionBuilder::new("f").input(to).output(&x.exp()).given(&x, to).finish();
    told(given(&narrow), &["f64[n]", "f32[n]", "cast"]);
    told(given(&input("y", &["n", "n"])), &["f64[n]", "f64[n, n]"]);
}

#[test]
fn threads_may_call_one_function_at_once() {
    for session in sessions() {
        let (x, w) = (input("x", &["n", "k"]), input("w", &["k", "m"]));
        let y = x.matmul(&w).tanh().sum(Some(0));
        let f = FunctionBuilder::new("f").input(&x).input(&w).output(&y).build(&session).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8usize {
                let f = &f;
                scope.spawn(move || {
                    for round in 0..20usize {
                        // Shapes differ, so that plans are made while others run.
                        let (n, value) = (1 + (thread + round) % 5, 0.01 * (thread + 1) as f64);
                        let x = Tensor::from_vec(vec![value; n * 3], &[n, 3]).unwrap();
                        let w = Tensor::from_vec(vec![1.0; 6], &[3, 2]).unwrap();
                        let found = f.call(&[x, w]).unwrap()[0].to_f64_vec();
                        let expected = n as f64 * (3.0 * value).tanh();
                        assert!(found.iter().all(|v| (v - expected).abs() < 1e-12), "{found:?}, {expected}");
                    }
                });
            }
        });
    }
}

#[test]
fn writing_over_operands_lowers_the_peak_of_memory() {
    let peak = |exclude: &[&str]| {
        let config = arignote::config::Config::default().with("device", "cpu").unwrap();
        let config = config.with("rewrite.exclude", exclude.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let session = arignote::session_with(config).unwrap();
        let x = Var::input("x", Type::of_shape(DType::F64, &[300, 300]));
        let f = FunctionBuilder::new("f").input(&x).output(&x.matmul(&x).exp().t()).build(&session).unwrap();
        f.call(&[Tensor::zeros(DType::F64, &[300, 300])]).unwrap();
        session.devices()[0].1.stats().peak_bytes
    };
    // The exponential stands where the product stood.
    let (over, beside) = (peak(&[]), peak(&["inplace"]));
    assert!(over + 300 * 300 * 8 <= beside, "{over} bytes in place, {beside} without");
}

#[test]
fn the_same_graph_is_compiled_once() {
    let text = "fn f(x: f64[n]) {\n    state s: f64[] = 1\n    s <- s + sum(x)\n    return x * s\n}\n";
    for session in sessions() {
        let load = |text: &str| {
            let file = arignote::lang::parse(arignote::lang::Source::new("f.arig", text.to_owned())).unwrap();
            let lowered = arignote::lang::lower(&file, Some("f")).unwrap();
            FunctionBuilder::from_graph(lowered).build(&session).unwrap()
        };
        let (first, second) = (load(text), load(text));
        assert!(std::ptr::eq(first.compiled(), second.compiled()));
        // The code is shared, the states are not.
        let x = [vector(&[1.0, 2.0])];
        first.call(&x).unwrap();
        assert_eq!([&first, &second].map(|f| f.get("s").unwrap().item()), [Some(4.0), Some(1.0)]);
        let twin = second.without_updates().unwrap();
        second.set("s", Tensor::scalar(7.0)).unwrap();
        assert_eq!(twin.call(&x).unwrap()[0].to_f64_vec(), [7.0, 14.0]);
        // Another line, constant, name or op is another function.
        for other in [format!("\n{text}"), text.replace("x * s", "x * (s + 2)"), text.replace("x * s", "x / s")] {
            assert!(!std::ptr::eq(first.compiled(), load(&other).compiled()), "{other}");
        }
        assert!(first.compiled().compile_phases().iter().any(|phase| phase.1 > 0.0));
    }
}

#[test]
fn results_share_memory_with_nothing_that_changes() {
    for session in sessions() {
        let s = State::new("s", vector(&[1.0, 2.0]));
        let x = input("x", &["2"]);
        let f = FunctionBuilder::new("f").input(&x).output(&Var::state(&s)).update(&s, &(Var::state(&s) + &x)).build(&session).unwrap();
        let g = FunctionBuilder::new("g").input(&x).output(&(&x + 1.0)).update(&s, &(Var::state(&s) * 2.0)).build(&session).unwrap();
        let argument = [vector(&[1.0, 1.0])];
        let before = f.call(&argument).unwrap();
        let kept = f.get("s").unwrap();
        for _ in 0..3 {
            g.call(&argument).unwrap();
        }
        assert_eq!(before[0].to_f64_vec(), [1.0, 2.0]);
        assert_eq!(kept.to_f64_vec(), [2.0, 3.0]);
        assert_eq!(f.get("s").unwrap().to_f64_vec(), [16.0, 24.0]);
        assert_eq!(argument[0].to_f64_vec(), [1.0, 1.0]);
        // What is written to a result is not seen elsewhere.
        let mut result = g.call(&argument).unwrap().remove(0);
        let twin = result.clone();
        result.as_mut_slice::<f64>().unwrap()[0] = 9.0;
        assert_eq!((result.to_f64_vec(), twin.to_f64_vec()), (vec![9.0, 2.0], vec![2.0, 2.0]));
    }
}
