//! Hooks that see every value.

use std::sync::{Arc, Mutex};

use arignote::Error;
use arignote::runtime::{NodeEvent, Watch};

use super::*;

#[test]
fn a_hook_sees_every_application() {
    let program = "fn f(x: f64[n]) {\n    ys = scan (x_t in x) {\n        state h: f64[] = 0\n        h <- cos(h + x_t)\n        yield h\n    }\n    return exp(ys)\n}";
    for device in ["reference", "cpu", "faulty"] {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = seen.clone();
        let graph = lang::load(lang::Source::new("program.arig", program)).unwrap().function(None).unwrap();
        let f = FunctionBuilder::from_graph(graph)
            .watch(move |event: &NodeEvent<'_>| {
                sink.lock().unwrap().push(event.to_string());
                Ok(())
            })
            .build(&session(config(device, "fast-run")))
            .unwrap();
        let x = vector(&[1.0, 2.0]);
        let plain = compile(&session(config(device, "fast-run")), program).call(std::slice::from_ref(&x)).unwrap();
        assert_eq!(f.call(&[x]).unwrap(), plain);
        let seen = seen.lock().unwrap();
        let cosines: Vec<&String> = seen.iter().filter(|line| line.contains("`cos`")).collect();
        assert_eq!(cosines.len(), 2, "{seen:#?}");
        assert!(cosines[1].starts_with("program.arig:4:14: `cos` on ") && cosines[1].contains("= f64[] -0.8"), "{}", cosines[1]);
        assert!(cosines[1].ends_with(", in step 1 of the loop at program.arig:2:10"), "{}", cosines[1]);
        assert!(seen.iter().any(|line| line.contains("`exp`") && line.contains("f64[2]")), "{seen:#?}");
    }
}

/// Stops before an op whose operand is beyond a bound: a breakpoint.
struct Breakpoint(f64);

impl Watch for Breakpoint {
    fn before(&self, event: &NodeEvent<'_>) -> Result<()> {
        assert!(event.results.is_empty());
        let large = event.operands.iter().any(|operand| operand.to_f64_vec().iter().any(|value| *value > self.0));
        if large && event.op == "exp" { Err(Error::new(ErrorKind::Runtime, "a large operand")) } else { Ok(()) }
    }

    fn after(&self, event: &NodeEvent<'_>) -> Result<()> {
        assert!(!event.results.is_empty());
        Ok(())
    }
}

#[test]
fn a_hook_of_a_session_is_a_breakpoint() {
    let session = arignote::builder(config("cpu", "fast-run")).watch(Breakpoint(5.0)).build().unwrap();
    let f = compile(&session, "fn f(x: f64[]) {\n    state n: f64[] = 0\n    n <- n + 1\n    return exp(x * 2)\n}");
    assert_eq!(f.call(&[Tensor::scalar(0.0)]).unwrap()[0].item(), Some(1.0));
    told(f.call(&[Tensor::scalar(3.0)]), ErrorKind::Runtime, &["a large operand", "at program.arig:4:12"]);
    assert_eq!(f.get("n").unwrap().item(), Some(1.0));
}
