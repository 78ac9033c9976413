//! A plugin that does as its file says: tests write the name of a method over `BEHAVIOUR` in copies
//! of the built library, and that method then panics. `fail:init` fails, `bad:...` brings what is wrong.

use std::sync::{Arc, Mutex};

use arignote_core::ops::Attributes;
use arignote_core::graph::Graph;
use arignote_core::plugin::*;
use arignote_core::rewrite::{Firing, PassContext, Phase};
use arignote_core::tensor::{DType, DeviceTensor, MemoryKind, Tensor};
use arignote_core::{Error, ErrorKind, Result};

#[used]
static BEHAVIOUR: [u8; 42] = *b"FIXTURE-BEHAVIOUR:none                    ";

fn behaviour() -> String {
    // SAFETY: a plain read, which the compiler may not replace by the value above.
    let bytes = unsafe { std::ptr::read_volatile(&BEHAVIOUR) };
    String::from_utf8_lossy(&bytes[18..]).trim().to_owned()
}

fn perhaps(method: &str) {
    if behaviour() == method {
        panic!("as told, in {method}");
    }
}

pub struct Fixture;

impl Plugin for Fixture {
    fn info(&self) -> PluginInfo {
        perhaps("info");
        PluginInfo { name: "fixture".into(), version: "0.3.0".into(), license: "MIT".into(), ..Default::default() }
    }

    fn init(&self, host: Arc<dyn Host>) -> Result<()> {
        perhaps("init");
        if behaviour() == "fail:init" {
            return Err(Error::new(ErrorKind::Device, "no licence server").note("plug it in"));
        }
        host.log(LogLevel::Info, "fixture is up");
        Ok(())
    }

    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        perhaps("backends");
        vec![Arc::new(Maker)]
    }

    fn ops(&self) -> Vec<PluginOp> {
        perhaps("ops");
        let op = |name: &str, definition: &str, kernel| PluginOp {
            name: name.into(), revision: 2, definition: definition.into(), doc: "Twice.".into(), kernel,
        };
        let twice = "fn twice(x) { return x + x }";
        match behaviour().as_str() {
            "bad:op" => vec![op("nonsense", twice, None)],
            "bad:rules" => vec![op("half::first", twice, None), op("half::second", twice, None)],
            "bad:definition" => {
                vec![op("half::first", twice, None), op("half::second", "fn second(x) { return nonsense(x) }", None)]
            }
            _ => vec![op("fixture::twice", twice, Some(Arc::new(Twice)))],
        }
    }

    fn rules(&self) -> Vec<RuleText> {
        perhaps("rules");
        let (file, text) = match behaviour().as_str() {
            "bad:rules" => ("half.rules", "rule good [canonicalize]: sin(half::first(x)) => sin(x)\nrule bad [canonicalize]: nonsense(x) => x"),
            _ => ("fixture.rules", "rule fixture_rule [canonicalize]: ceil(ceil(ceil(x))) => ceil(x)"),
        };
        vec![RuleText { file: file.into(), text: text.into() }]
    }

    fn passes(&self) -> Vec<Arc<dyn Pass>> {
        perhaps("passes");
        vec![Arc::new(NoCeil)]
    }
}

/// Whatever it is told to do wrong, and else nothing.
struct NoCeil;

impl Pass for NoCeil {
    fn name(&self) -> &str {
        perhaps("pass name");
        if behaviour() == "bad:pass name" { "merge" } else { "fixture_pass" }
    }

    fn phase(&self) -> Phase {
        if behaviour() == "bad:phase" { Phase::Inplace } else { Phase::Specialize }
    }

    fn doc(&self) -> &str {
        "drops ceil, wrongly"
    }

    fn examples(&self) -> Vec<&str> {
        vec!["fn f(x: f64[72]) { return ceil(x) }", "fn f(x: f64[2]) { return floor(x) }"]
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        perhaps("pass run");
        match behaviour().as_str() {
            "pass fails" => return Err(Error::new(ErrorKind::Internal, "the pass lost its way")),
            "pass types" => {
                let outputs = graph.outputs().iter().map(|output| graph.inputs()[0].output(output.output as usize));
                graph.set_outputs(outputs.collect());
                return Ok(true);
            }
            "pass ceil" => {}
            _ => return Ok(false),
        }
        for id in graph.topological_order() {
            if graph.node(id).op_name() == "ceil" {
                let (operand, location) = (graph.node(id).operands[0], graph.node(id).location.clone());
                graph.replace(id.output(0), operand)?;
                graph.remove_dead(id);
                firings.push(Firing::of_pass("fixture_pass", location, "ceil(x)".into(), "x".into()));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Twice;

impl HostKernel for Twice {
    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        perhaps("kernel supports");
        match node.operands[0].dtype {
            DType::F32 => Support::Yes(vec![(0, 0)]),
            _ => Support::No(format!("not {}", node.operands[0])),
        }
    }

    fn run(&self, attributes: &Attributes, operands: &[Option<&Tensor>], results: &mut [Tensor]) -> Result<()> {
        if attributes.get("panic").is_some() {
            panic!("asked to");
        }
        if let Some(operand) = operands[0] {
            results[0].as_mut_slice::<f32>()?.copy_from_slice(operand.as_slice::<f32>()?);
        }
        results[0].as_mut_slice::<f32>()?.iter_mut().for_each(|value| *value *= 2.0);
        Ok(())
    }
}

struct Maker;

impl Backend for Maker {
    fn name(&self) -> &str {
        perhaps("name");
        "fixture"
    }

    fn device_count(&self) -> usize {
        perhaps("device_count");
        1
    }

    fn unavailable_reason(&self) -> Option<String> {
        perhaps("unavailable_reason");
        None
    }

    fn priority(&self) -> i32 {
        perhaps("priority");
        -3
    }

    fn options(&self) -> Vec<BackendOption> {
        perhaps("options");
        vec![BackendOption { name: "speed".into(), default: 2.5.into(), doc: "How fast.".into() }]
    }

    fn open(&self, ordinal: usize, options: &Attributes, host: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        perhaps("open");
        if ordinal > 0 {
            return Err(Error::new(ErrorKind::Device, format!("no device {ordinal}")));
        }
        Ok(Arc::new(Slab { speed: options.float("speed")?, host }))
    }
}

struct Slab {
    speed: f64,
    host: Arc<dyn Host>,
}

impl Device for Slab {
    fn info(&self) -> DeviceInfo {
        perhaps("device info");
        DeviceInfo {
            name: "fixture0".into(),
            description: format!("speed {}", self.speed),
            memory: MemoryKind::HOST,
            memory_bytes: 7,
        }
    }

    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        perhaps("supports");
        match node.op {
            "add" => Support::Yes(vec![(0, 0), (1, 0)]),
            other => Support::No(format!("{other} of {} {:?}", node.operands[0], node.attributes)),
        }
    }

    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor> {
        perhaps("upload");
        Ok(DeviceTensor::from_host(tensor.clone()))
    }

    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor> {
        perhaps("download");
        tensor.to_host()
    }

    fn compile(&self, program: &Program, options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        perhaps("compile");
        let constant = program.constants[0].as_slice::<f32>()?[0];
        let text = format!("{program:?} {options:?}");
        Ok(Arc::new(Adder { constant, text, host: self.host.clone() }))
    }

    fn synchronize(&self) -> Result<()> {
        perhaps("synchronize");
        Ok(())
    }

    fn stats(&self) -> DeviceStats {
        perhaps("stats");
        DeviceStats { allocations: 1, live_bytes: 2, peak_bytes: 3 }
    }
}

struct Adder {
    constant: f32,
    text: String,
    host: Arc<dyn Host>,
}

impl Executable for Adder {
    /// Adds the constant, in place where the argument is donated and this call holds its only owner.
    fn run(&self, mut arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        perhaps("run");
        let argument = arguments.remove(0);
        if argument.tensor.is_empty() {
            return Err(Error::new(ErrorKind::Runtime, "nothing to add to").in_node(4).note("a note"));
        }
        let in_place = argument.donated && Arc::strong_count(&argument.tensor.owner) == 1;
        let source = argument.tensor.to_host()?;
        let mut values = source.as_slice::<f32>()?.to_vec();
        let sums = Mutex::new(&mut values);
        let count = source.len();
        self.host.parallel_for(count, &|i| {
            if i == 100 {
                panic!("index 100");
            }
            sums.lock().unwrap()[i] += self.constant;
        });
        if !in_place {
            return Ok(vec![DeviceTensor::from_host(Tensor::from_vec(values, source.shape())?)]);
        }
        // SAFETY: host memory, contiguous in these tests, donated and held by nobody else.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), argument.tensor.data.cast(), count) };
        Ok(vec![argument.tensor])
    }

    fn workspace(&self, shapes: &[arignote_core::tensor::Shape]) -> Option<u64> {
        perhaps("workspace");
        shapes.first().map(|shape| shape.len() as u64)
    }

    fn debug_text(&self) -> String {
        perhaps("debug_text");
        self.text.clone()
    }

    fn profile(&self) -> Vec<ProfileEntry> {
        perhaps("profile");
        vec![ProfileEntry { statement: 1, calls: 2, seconds: 0.5, bytes: 4, fused: vec![0, 1] }]
    }
}

arignote_core::export_plugin!(Fixture);
