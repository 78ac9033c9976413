//! Rewrites from a plugin: rules, which are text in the language, and a pass for what a rule cannot say.

mod repeated;

use std::sync::Arc;

use arignote_core::plugin::{Pass, Plugin, PluginInfo, RuleText};

struct TidyRules;

impl Plugin for TidyRules {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "tidy-rules".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: "rewrites that undo what generated programs often do twice".into(),
        }
    }

    fn rules(&self) -> Vec<RuleText> {
        vec![RuleText { file: "tidy.rules".into(), text: include_str!("../tidy.rules").into() }]
    }

    fn passes(&self) -> Vec<Arc<dyn Pass>> {
        vec![Arc::new(repeated::Repeated)]
    }
}

arignote_core::export_plugin!(TidyRules);
