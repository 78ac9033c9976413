//! Rewrite rules from a plugin: text in the language, nothing else.

use arignote_core::plugin::{Plugin, PluginInfo, RuleText};

struct TidyRules;

impl Plugin for TidyRules {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "tidy-rules".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: "rules that undo what generated programs often do twice".into(),
        }
    }

    fn rules(&self) -> Vec<RuleText> {
        vec![RuleText { file: "tidy.rules".into(), text: include_str!("../tidy.rules").into() }]
    }
}

arignote_core::export_plugin!(TidyRules);
