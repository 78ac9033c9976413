//! The root of a plugin, and the check of its layout.

use crate::{Outcome, PluginBox};
use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRefTrait, PrefixTypeTrait};
use abi_stable::sabi_types::VersionStrings;

/// What a plugin exports: the way to its one [`PluginObject`](crate::PluginObject).
///
/// Fields may only be appended; one that an older plugin lacks reads as `None`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRootRef)))]
#[sabi(missing_field(option))]
pub struct PluginRoot {
    /// Makes the plugin's object. Called once per load, before anything else.
    #[sabi(last_prefix_field)]
    pub open: extern "C" fn() -> Outcome<PluginBox>,
}

impl PluginRoot {
    /// Moves the root to where it stays for the rest of the process.
    pub fn leak(self) -> PluginRootRef {
        self.leak_into_prefix()
    }
}

impl RootModule for PluginRootRef {
    // `RootModule`'s own loading functions keep one library per type and process; nothing here
    // calls them, but the trait asks for their storage.
    abi_stable::declare_root_module_statics! {PluginRootRef}
    const BASE_NAME: &'static str = "arignote_plugin";
    const NAME: &'static str = "arignote plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// What a plugin exports as [`HEADER_SYMBOL`](crate::HEADER_SYMBOL): its root's layout and the way to it.
pub type Header = LibHeader;

/// What the function inside a [`Header`] returns.
pub type HeaderResult = RootModuleResult;

/// The header of a plugin. `root` must return [`root_result`] of its root.
///
/// # Safety
///
/// What `root` returns must come from [`root_result`].
pub const unsafe fn header_for(root: extern "C" fn() -> HeaderResult) -> Header {
    // SAFETY: the caller promises that `root` returns an erased `PluginRootRef`.
    unsafe { LibHeader::from_constructor::<PluginRootRef>(root, CheckTypeLayout::Yes) }
}

/// The form in which a root leaves the library.
pub fn root_result(root: PluginRootRef) -> HeaderResult {
    // SAFETY: `LibHeader::check_layout` and `check_layout` below cast it back to the same type.
    HeaderResult::ROk(unsafe { root.to_prefix_ref().cast::<ErasedPrefix>() })
}

/// Why a root could not be had from a header.
#[derive(Debug)]
pub enum LayoutError {
    /// The plugin carries no layout to check.
    Unchecked,
    /// The layouts do not fit in either direction; the text is the first difference.
    Incompatible(String),
    /// The plugin's own code failed to give its root.
    Constructor(String),
}

/// Checks a plugin's layout against this host's, and returns its root.
///
/// Interfaces of one major version only append, so the layouts are accepted when either side can
/// stand for the other: an old plugin lacks what the host added, a new one has more than the host
/// knows. The check of `abi_stable` alone sees only the second case.
pub fn check_layout(header: &'static Header) -> Result<PluginRootRef, LayoutError> {
    use abi_stable::StableAbi;
    let found = header.layout().ok_or(LayoutError::Unchecked)?;
    let expected = <PluginRootRef as StableAbi>::LAYOUT;
    if let Err(error) = check_layout_compatibility(expected, found)
        && check_layout_compatibility(found, expected).is_err()
    {
        return Err(LayoutError::Incompatible(shortened(&error.to_string())));
    }
    // SAFETY: the layouts have just been compared.
    unsafe { header.unchecked_layout::<PluginRootRef>() }
        .map_err(|error| LayoutError::Constructor(shortened(&error.to_string())))
}

/// The first lines of a text that can be tens of kilobytes long.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let mut out = lines.iter().take(6).copied().collect::<Vec<_>>().join("; ");
    if out.len() > 400 {
        let cut = (0..=400)
            .rev()
            .find(|&at| out.is_char_boundary(at))
            .unwrap_or(0);
        out.truncate(cut);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;

    struct Nothing;
    impl PluginObject for Nothing {
        fn info(&self) -> Outcome<PluginInfo> {
            Outcome::ROk(PluginInfo {
                name: "nothing".into(),
                version: "1".into(),
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
            Outcome::ROk(RVec::new())
        }
    }

    extern "C" fn open() -> Outcome<PluginBox> {
        Outcome::ROk(boxed_plugin(Nothing))
    }
    extern "C" fn root() -> HeaderResult {
        root_result(PluginRoot { open }.leak())
    }
    // SAFETY: `root` returns `root_result`.
    static HEADER: Header = unsafe { header_for(root) };

    #[test]
    fn a_root_passes_its_own_layout_check() {
        let root = check_layout(&HEADER).unwrap();
        let plugin = root.open()().into_result().unwrap();
        assert_eq!(plugin.info().into_result().unwrap().name, "nothing");
    }
}
