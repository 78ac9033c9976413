//! A plugin written straight against the interface, for another compiler to build: an op with a kernel.

use arignote_abi::*;

struct Foreign;

impl PluginObject for Foreign {
    fn info(&self) -> Outcome<PluginInfo> {
        Outcome::ROk(PluginInfo {
            name: "foreign".into(),
            version: "1".into(),
            license: "MIT".into(),
            description: "".into(),
            extra: RVec::new(),
        })
    }
    fn init(&self, host: HostBox) -> Outcome<()> {
        host.log(LogLevel(4), "foreign is up".into());
        Outcome::ROk(())
    }
    fn backends(&self) -> Outcome<RVec<BackendBox>> {
        Outcome::ROk(RVec::new())
    }
    fn ops(&self) -> Outcome<RVec<PluginOp>> {
        let halve = PluginOp {
            name: "foreign::halve".into(),
            revision: 1,
            definition: "fn halve(x) { return x / 2 }".into(),
            doc: "".into(),
            kernel: ROption::RSome(boxed_kernel(Halve)),
            extra: RVec::new(),
        };
        Outcome::ROk(vec![halve].into())
    }
    fn rules(&self) -> Outcome<RVec<RuleText>> {
        Outcome::ROk(RVec::new())
    }
}

struct Halve;

impl KernelObject for Halve {
    fn supports(&self, node: &NodeDescription) -> Outcome<Support> {
        assert_eq!(node.op.as_str(), "foreign::halve");
        let overwrites = vec![Overwrite { operand: 0, result: 0 }].into();
        Outcome::ROk(Support { supported: true, reason: "".into(), overwrites })
    }

    fn run(
        &self, _: RSlice<'_, NamedAttribute>, operands: RVec<ROption<TensorDescriptor>>, results: RVec<TensorDescriptor>,
    ) -> Outcome<()> {
        let result = &results[0];
        let count = result.shape.as_slice().iter().product::<i64>() as usize;
        if count == 0 {
            return Outcome::RErr(Error {
                code: ErrorCode::OTHER,
                message: "nothing to halve".into(),
                node: ROption::RNone,
                file: "".into(),
                line: 0,
                column: 0,
                notes: RVec::new(),
                backtrace: "".into(),
            });
        }
        let start = |tensor: &TensorDescriptor| tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize);
        let target = start(result).cast::<f64>();
        let source = operands[0].as_ref().map_or(target.cast_const(), |operand| start(operand).cast::<f64>().cast_const());
        for at in 0..count {
            // SAFETY: both are contiguous f64 of the result's shape, by the contract of kernels.
            unsafe { target.add(at).write(source.add(at).read() / 2.0) };
        }
        Outcome::ROk(())
    }
}

#[unsafe(no_mangle)]
pub static ARIGNOTE_PLUGIN_STAMP: Stamp = Stamp::CURRENT;

extern "C" fn open() -> Outcome<PluginBox> {
    Outcome::ROk(boxed_plugin(Foreign))
}

extern "C" fn root() -> HeaderResult {
    root_result(PluginRoot { open }.leak())
}

// SAFETY: `root` returns what `root_result` gives.
#[unsafe(no_mangle)]
pub static ARIGNOTE_PLUGIN_HEADER: Header = unsafe { header_for(root) };
