//! The listings: devices, plugins, ops, rules, config.

use arignote::Result;
use arignote::ops::{ParamKind, registry};
use clap::Args;
use serde_json::json;

use super::{Common, print};

#[derive(Args)]
pub struct Listing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Listing {
    fn show(&self, json: serde_json::Value, text: String) -> Result<()> {
        if self.json { print(&format!("{json:#}")) } else { print(&text) }
    }

    pub fn devices(&self, common: &Common) -> Result<()> {
        let session = arignote::builder(common.config()?).without_device().build()?;
        let rows = session.all_devices();
        let text: Vec<String> = rows
            .iter()
            .map(|row| match &row.unavailable {
                None => format!("{:<12} {}  ({})", row.name, row.description, row.origin),
                Some(reason) => format!("{:<12} unavailable: {reason}  ({})", row.name, row.origin),
            })
            .collect();
        self.show(json!(rows), text.join("\n"))
    }

    pub fn plugins(&self, common: &Common) -> Result<()> {
        let session = arignote::builder(common.config()?).without_device().build()?;
        let rows = session.plugins();
        let text: Vec<String> = rows
            .iter()
            .map(|row| {
                let mut line = format!("{:<12} {}  {}", row.name, row.version, row.origin);
                if let Some(error) = &row.error {
                    return format!("{:<12} not loaded: {}", row.name, error.replace('\n', "\n    "));
                }
                if row.hidden {
                    line += "  (not used: the file of the same name is)";
                }
                for (what, names) in [("backends", &row.backends), ("ops", &row.ops), ("rules", &row.rules)] {
                    if !names.is_empty() {
                        line += &format!("\n    {what}: {}", names.join(", "));
                    }
                }
                format!("{line}\n    interface {}, {}", row.interface, row.compiler)
            })
            .collect();
        self.show(json!(rows), text.join("\n"))
    }

    pub fn ops(&self, common: &Common) -> Result<()> {
        let _plugins = arignote::builder(common.config()?).without_device().build()?;
        let (mut rows, mut text) = (Vec::new(), Vec::new());
        for op in registry().iter() {
            let params: Vec<String> = op
                .params()
                .iter()
                .map(|param| match &param.kind {
                    ParamKind::Attribute(_, Some(default)) => format!("{}={default}", param.name),
                    ParamKind::OptionalOperand => format!("{}?", param.name),
                    ParamKind::Operands | ParamKind::SpreadSizes => format!("{}...", param.name),
                    ParamKind::OperandList => format!("[{}...]", param.name),
                    _ => param.name.to_owned(),
                })
                .collect();
            let signature = format!("{}({})", op.name(), params.join(", "));
            let summary = op.doc().trim().lines().next().unwrap_or_default().to_owned();
            text.push(format!("{signature}\n    {summary}"));
            rows.push(json!({ "name": op.name(), "revision": op.revision(), "signature": signature, "doc": op.doc() }));
        }
        self.show(json!(rows), text.join("\n"))
    }

    pub fn rules(&self, common: &Common) -> Result<()> {
        let session = arignote::builder(common.config()?).without_device().build()?;
        let rows = session.rules().rows(session.rewrite_options());
        let text: Vec<String> = rows
            .iter()
            .map(|row| {
                let mark = if row.enabled { "" } else { "  (off)" };
                format!("{:<32} [{}]{mark}  {}\n    {}", row.name, row.tags.join(", "), row.origin, row.text)
            })
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({ "name": row.name, "kind": row.kind, "phase": row.phase.name(), "tags": row.tags,
                    "origin": row.origin, "text": row.text, "enabled": row.enabled })
            })
            .collect();
        self.show(json!(rows), text.join("\n"))
    }

    pub fn config(&self, common: &Common) -> Result<()> {
        let config = common.config()?;
        self.show(config.to_json(), config.to_toml())
    }
}
