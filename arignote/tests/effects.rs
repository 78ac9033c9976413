//! `print` and `assert`: once each, in the order in which they are written, whatever rewriting, placement
//! and differentiation do.

use std::io::Write;
use std::sync::{Arc, Mutex};

use arignote::config::Config;
use arignote::lang;
use arignote::ops::effects::set_print_writer;
use arignote::prelude::*;

/// A writer whose text others can read.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Text {
    /// What was written since.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// The labels of the lines that a program writes when it is called with 2, on a device.
fn labels(text: &Text, device: &str, program: &str) -> Vec<String> {
    let config = Config::default().with("device", device).unwrap();
    let session = arignote::session_with(config.with("fallback", vec!["reference".to_owned()]).unwrap()).unwrap();
    let graph = lang::load(lang::Source::new("effects", program)).and_then(|module| module.function(Some("f")));
    let function = graph.and_then(|graph| FunctionBuilder::from_graph(graph).build(&session));
    let function = function.unwrap_or_else(|error| panic!("{program}\n{error}"));
    assert_eq!(text.take(), "", "nothing is written while compiling");
    let arguments: Vec<Tensor> = function.input_names().iter().map(|_| Tensor::scalar(2.0)).collect();
    function.call(&arguments).unwrap_or_else(|error| panic!("{program}\n{error}"));
    text.take().lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

/// One test for all, as the writer is the process's.
#[test]
fn effects_keep_their_order() {
    let text = Text::default();
    set_print_writer(Some(Box::new(text.clone())));
    let rows: &[(&str, &str)] = &[
        // In the order of the text, not in that of the outputs.
        ("fn f(x: f64[]) {\na = print(x, \"a\")\nb = print(x + 1, \"b\")\nreturn b, a\n}", "a b"),
        ("fn f(x: f64[]) {\na = print(exp(x), \"a\")\nb = print(x, \"b\")\nc = print(a * b, \"c\")\nd = print(x, \"d\")\nreturn d + c\n}", "a b c d"),
        // Equal ones are two, constant ones run in the call, what rewriting finds not to matter runs too.
        ("fn f(x: f64[]) {\nreturn print(x, \"a\") + print(x, \"a\")\n}", "a a"),
        ("fn f(x: f64[]) {\nreturn print(f64(1.5), \"a\") * 2, x\n}", "a"),
        ("fn f(x: f64[]) {\nreturn shape(print(x, \"a\"))\n}", "a"),
        ("fn f(x: f64[]) {\nreturn log(exp(print(x, \"a\")))\n}", "a"),
        // Nothing depends on it.
        ("fn f(x: f64[]) {\na = print(x, \"a\")\nreturn x\n}", ""),
        // Not again in derivatives.
        ("fn f(x: f64[]) {\ny = print(square(print(x, \"a\")), \"b\")\nreturn y, grad(y, x)\n}", "a b"),
        ("fn f(x: f64[]) {\ny = print(square(print(x, \"a\")), \"b\")\nreturn grad(grad(y, x), x)\n}", "a b"),
        // In loops once a step, and between what stands around them.
        ("fn f(x: f64[]) {\na = print(x, \"a\")\nb = scan (steps = 3) {\nstate s: f64[] = x\ns <- print(s * 0.5, \"s\") + print(x, \"t\")\n}\nc = print(x, \"c\")\nreturn c, b, a\n}",
            "a s t s t s t c"),
        ("fn f(x: f64[]) {\ny = scan (steps = 2) {\nstate s: f64[] = x\ns <- square(print(s, \"s\"))\n}\nreturn y, grad(y, x), grad(grad(y, x), x)\n}", "s s"),
        ("fn f(x: f64[]) {\ny = scan (steps = 2) {\nstate s: f64[] = x\ns <- square(print(s, \"s\"))\n}\nreturn grad(y, x)\n}", "s s"),
        ("fn f(x: f64[]) {\na = print(x, \"a\")\nb = if x > 3 { print(x, \"then\") } else { print(x, \"else\") * print(a, \"last\") }\nreturn b, grad(b, x), print(x, \"b\")\n}",
            "a else last b"),
        // Through calls, and functions without a name for the value.
        ("fn g(x: f64[]) {\nreturn print(x, \"g\")\n}\nfn f(x: f64[]) {\na = g(x)\nb = g(x)\nreturn b * print(a, \"a\")\n}", "g g a"),
    ];
    for (program, expected) in rows {
        for device in ["reference", "cpu"] {
            assert_eq!(labels(&text, device, program).join(" "), *expected, "{program}\non {device}");
        }
    }
    let lines = {
        let session = arignote::session_with(Config::default().with("device", "reference").unwrap()).unwrap();
        let x = Var::input("x", Type::of_shape(DType::F64, &[2]));
        let y = x.print("").assert(&x.gt(&Var::weak(0.0)), "x must be positive").print("y");
        let f = FunctionBuilder::new("f").input(&x).output(&y).build(&session).unwrap();
        f.call(&[Tensor::vector(vec![1.0, 2.5])]).unwrap();
        let error = f.call(&[Tensor::vector(vec![1.0, -2.5])]).unwrap_err().to_string();
        for part in ["x must be positive", "1 of 2 places, first at [1]", "there x is", "-2.5"] {
            assert!(error.contains(part), "the error lacks `{part}`:\n{error}");
        }
        text.take()
    };
    let (first, second) = (Tensor::vector(vec![1.0, 2.5]), Tensor::vector(vec![1.0, -2.5]));
    // The assertion fails before what comes after it is printed.
    assert_eq!(lines, format!("{first}\ny: {first}\n{second}\n"));
    assert!(set_print_writer(None).is_some());
}
