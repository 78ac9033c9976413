//! A plugin written straight against some other version of the interface.

use arignote_abi::*;

struct Newer;

impl PluginObject for Newer {
    fn info(&self) -> Outcome<PluginInfo> {
        Outcome::ROk(PluginInfo {
            name: "newer".into(),
            version: "9".into(),
            license: "MIT".into(),
            description: "".into(),
            extra: RVec::new(),
        })
    }
    fn init(&self, _: HostBox) -> Outcome<()> {
        Outcome::ROk(())
    }
    fn backends(&self) -> Outcome<RVec<BackendBox>> {
        Outcome::ROk(RVec::new())
    }
    fn ops(&self) -> Outcome<RVec<PluginOp>> {
        Outcome::ROk(RVec::new())
    }
    fn rules(&self) -> Outcome<RVec<RuleText>> {
        Outcome::ROk(vec![RuleText { file: "n.rules".into(), text: "".into() }].into())
    }
}

#[unsafe(no_mangle)]
pub static ARIGNOTE_PLUGIN_STAMP: Stamp = Stamp::CURRENT;

extern "C" fn open() -> Outcome<PluginBox> {
    Outcome::ROk(boxed_plugin(Newer))
}

extern "C" fn root() -> HeaderResult {
    root_result(PluginRoot { open }.leak())
}

// SAFETY: `root` returns what `root_result` gives.
#[unsafe(no_mangle)]
pub static ARIGNOTE_PLUGIN_HEADER: Header = unsafe { header_for(root) };
