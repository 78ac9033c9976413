//! [`Session`]: the plugins, devices and rewrites that a config chooses.

use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;

use super::HostServices;
use super::cache::Cache;
use super::call::on_host;
use super::phases::phase;
use crate::config::{Config, DeviceName, Mode, OptionSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{FunctionGraph, Graph, NodeId, State, StateValue, Var};
use crate::plugin::boundary::PluginRootRef;
use crate::plugin::{
    Argument, Backend, Device, Host, HostKernel, LoadedPlugin, Loader, LogLevel, Origin, StatementNote, same_name, standard_folders,
};
use crate::rewrite::{self, AFTER_GRADIENTS, Algebra, PassContext, Phase, RewriteOptions, Rewrites};
use crate::rewrite::passes::inplace::{Statements, usual_views};
use crate::runtime::{Compiled, CompileRequest, Function, Watch, compile::Rewriting};
use crate::tensor::{DeviceTensor, MemoryKind, Tensor};

/// The plugins, devices and rewrites that a config chooses. Clones are the same session.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    plugins: Vec<PluginRow>,
    backends: Vec<(Arc<dyn Backend>, Origin)>,
    devices: Vec<(String, Arc<dyn Device>)>,
    /// Where each of them computes.
    memories: Vec<MemoryKind>,
    selection: String,
    rules: Rewrites,
    rewrites: RewriteOptions,
    cache: Cache,
    /// Folding and initial values run here; opening is put off until something needs it.
    host: Arc<HostServices>,
    folding: Mutex<()>,
    watches: Vec<Arc<dyn Watch>>,
}

/// A line of `arignote plugins`.
#[derive(Clone, Debug, serde::Serialize)]
#[allow(missing_docs)]
pub struct PluginRow {
    pub name: String,
    pub version: String,
    pub license: String,
    pub description: String,
    pub origin: String,
    pub interface: String,
    pub compiler: String,
    pub backends: Vec<String>,
    pub ops: Vec<String>,
    pub rules: Vec<String>,
    /// Why it could not be loaded.
    pub error: Option<String>,
    /// Whether another plugin of the same name is used instead.
    pub hidden: bool,
}

/// A line of `arignote devices`.
#[derive(Clone, Debug, serde::Serialize)]
#[allow(missing_docs)]
pub struct DeviceRow {
    pub name: String,
    pub description: String,
    pub origin: String,
    pub unavailable: Option<String>,
}

/// Makes a [`Session`].
pub struct SessionBuilder {
    config: Config,
    linked: Vec<PluginRootRef>,
    open: bool,
    watches: Vec<Arc<dyn Watch>>,
}

impl SessionBuilder {
    /// A session as the config says.
    pub fn new(config: Config) -> SessionBuilder {
        SessionBuilder { config, linked: Vec::new(), open: true, watches: Vec::new() }
    }

    /// Offers a plugin that is linked into the program; one of the same name that is found as a file
    /// wins over it.
    pub fn link(mut self, root: PluginRootRef) -> SessionBuilder {
        self.linked.push(root);
        self
    }

    /// Has `watch` look at every call of every function of the session, as
    /// [`FunctionBuilder::watch`](crate::runtime::FunctionBuilder::watch) does for one.
    pub fn watch(mut self, watch: impl Watch + 'static) -> SessionBuilder {
        self.watches.push(Arc::new(watch));
        self
    }

    /// Loads plugins without opening a device, for listings.
    pub fn without_device(mut self) -> SessionBuilder {
        self.open = false;
        self
    }

    /// Loads the plugins and opens the devices.
    ///
    /// # Errors
    /// If a plugin that the config names cannot be loaded, a rule file is wrong, or the device is not
    /// there.
    pub fn build(self) -> Result<Session> {
        let config = self.config;
        crate::ops::set_default_float(config.float().dtype());
        let host = HostServices::new();
        let mut loader = Loader::new(host.clone()).folders(standard_folders(config.plugins_path()));
        for (name, sha256) in config.plugin_pins() {
            loader = loader.pin(name, sha256);
        }
        let linked: Vec<LoadedPlugin> = self.linked.iter().map(|root| loader.link(*root)).collect::<Result<_>>()?;
        let mut contents = Contents { plugins: Vec::new(), rules: Rewrites::core(), backends: Vec::new() };
        match config.plugins_load() {
            // What is asked for by name must be there and work.
            Some(names) => {
                for name in names {
                    let is_linked = linked.iter().any(|plugin| same_name(&plugin.info.name, name));
                    if is_linked && !loader.find().iter().any(|candidate| same_name(&candidate.name, name)) {
                        continue;
                    }
                    contents.register(&loader.load(name)?, &host)?;
                }
            }
            // What merely lies there must not hinder the rest.
            None => {
                for (candidate, result) in loader.load_all() {
                    if let Err(error) = result.and_then(|plugin| contents.register(&plugin, &host)) {
                        if config.plugin_pins().any(|(name, _)| same_name(name, &candidate.name)) {
                            return Err(error);
                        }
                        // Where no device is opened, plugins are only listed, with what is wrong with them.
                        if self.open {
                            host.log(LogLevel::Warn, &format!("{}: {error}", candidate.name));
                        }
                        let path = candidate.path.display().to_string();
                        contents.plugins.push(PluginRow::failed(&candidate.name, &path, &error));
                    }
                }
            }
        }
        for plugin in linked {
            let taken = |row: &PluginRow| row.error.is_none() && same_name(&row.name, &plugin.info.name);
            if contents.plugins.iter().any(taken) {
                contents.plugins.push(PluginRow::new(&plugin, true));
            } else {
                contents.register(&plugin, &host)?;
            }
        }
        let Contents { mut plugins, mut rules, backends } = contents;
        for path in config.rewrite_rules() {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Error::from(config.error_at("rewrite.rules", &format!("cannot read {}: {error}", path.display()), &[]))
            })?;
            let name = path.display().to_string();
            rules.add_rules(rewrite::Origin::File(name.clone()), &name, &text)?;
        }
        let rewrites = rewrite_options(&config, &rules)?;
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        let (devices, selection) =
            if self.open { open_devices(&config, &backends, &host)? } else { Default::default() };
        let memories = devices.iter().map(|(_, device)| device.info().memory).collect();
        let inner =
            Inner { config, plugins, backends, devices, memories, selection, rules, rewrites, cache: Cache::default(), host, folding: Mutex::new(()), watches: self.watches };
        Ok(Session { inner: Arc::new(inner) })
    }
}

/// What the plugins bring.
struct Contents {
    plugins: Vec<PluginRow>,
    rules: Rewrites,
    backends: Vec<(Arc<dyn Backend>, Origin)>,
}

impl Contents {
    /// Takes in everything that a plugin brings or, after an error, nothing.
    fn register(&mut self, plugin: &LoadedPlugin, host: &HostServices) -> Result<()> {
        if let Some(row) = self.plugins.iter().find(|row| row.error.is_none() && row.name == plugin.info.name) {
            let message = format!("a plugin named `{}` is loaded already, from {}", row.name, row.origin);
            return Err(plugin.blame(&Error::new(ErrorKind::Plugin, message)));
        }
        for backend in &plugin.backends {
            if let Some((_, origin)) = self.backends.iter().find(|(known, _)| known.name() == backend.name()) {
                let message = format!("there is a backend `{}` already, from {origin}", backend.name());
                return Err(plugin.blame(&Error::new(ErrorKind::Plugin, message)));
            }
        }
        let ops = crate::plugin::register_ops(&plugin.ops).map_err(|error| plugin.blame(&error))?;
        // The rules may name the ops.
        let mut rules = self.rules.clone();
        for text in &plugin.rules {
            let origin = rewrite::Origin::Plugin(plugin.info.name.clone());
            if let Err(error) = rules.add_rules(origin, &text.file, &text.text) {
                ops.undo();
                return Err(plugin.blame(&error));
            }
        }
        for pass in &plugin.passes {
            let origin = rewrite::Origin::Plugin(plugin.info.name.clone());
            if let Err(error) = rules.add_pass(origin, pass.clone()) {
                ops.undo();
                return Err(plugin.blame(&error));
            }
        }
        self.rules = rules;
        for op in &plugin.ops {
            if let Some(kernel) = &op.kernel {
                host.add_kernel(&op.name, kernel.clone());
            }
        }
        self.backends.extend(plugin.backends.iter().map(|backend| (backend.clone(), plugin.origin.clone())));
        self.plugins.push(PluginRow::new(plugin, false));
        Ok(())
    }
}

fn rewrite_options(config: &Config, rules: &Rewrites) -> Result<RewriteOptions> {
    let options = RewriteOptions {
        include: config.rewrite_include().to_vec(),
        exclude: config.rewrite_exclude().to_vec(),
        algebra: match config.rewrite_algebra() {
            crate::config::Algebra::Real => Algebra::Real,
            crate::config::Algebra::Ieee => Algebra::Ieee,
        },
        level: level(config),
        most_firings: None,
    };
    rules.check_options(&options)?;
    Ok(options)
}

/// The level of the config, or that of the mode if it is less.
fn level(config: &Config) -> rewrite::Level {
    use rewrite::Level;
    let set = match config.rewrite_level() {
        crate::config::Level::None => Level::None,
        crate::config::Level::FastCompile => Level::FastCompile,
        crate::config::Level::FastRun => Level::FastRun,
    };
    set.min(if config.mode() == Mode::FastCompile { Level::FastCompile } else { Level::FastRun })
}

type Devices = Vec<(String, Arc<dyn Device>)>;

fn open_devices(
    config: &Config, backends: &[(Arc<dyn Backend>, Origin)], host: &Arc<HostServices>,
) -> Result<(Devices, String)> {
    // What is set for a backend must be right, whether or not it is the one that is taken.
    for (backend, _) in backends {
        options_of(config, backend)?;
    }
    let names: Vec<&str> = backends.iter().map(|(backend, _)| backend.name()).collect();
    let wanted = config.device();
    let mut devices: Devices = Vec::new();
    let selection;
    if wanted.is_auto() {
        let mut order: Vec<_> = backends.iter().collect();
        order.sort_by_key(|(backend, _)| (-backend.priority(), backend.name().to_owned()));
        let mut passed = Vec::new();
        let mut chosen = None;
        for (backend, _) in order {
            match open(config, backend, 0, host) {
                Ok(device) => {
                    chosen = Some((backend.name().to_owned(), device));
                    break;
                }
                Err(error) => passed.push(format!("not {}: {}", backend.name(), error.message())),
            }
        }
        let Some((name, device)) = chosen else {
            let message = "device = \"auto\", and no backend offers a device";
            return Err(passed.into_iter().fold(Error::new(ErrorKind::Device, message), Error::note));
        };
        let why = if passed.is_empty() { String::new() } else { format!(" ({})", passed.join("; ")) };
        selection = format!("device auto: {name}{why}");
        devices.push((name, device));
    } else {
        let name = wanted.to_string();
        let Some((backend, _)) = backends.iter().find(|(backend, _)| backend.name() == wanted.backend()) else {
            let message = format!("there is no backend `{}` for the device `{name}`", wanted.backend());
            let folders = standard_folders(config.plugins_path());
            let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let searched = match folders.as_slice() {
                [] => "no folder was searched".to_owned(),
                folders => format!("those in {} were searched", folders.join(", ")),
            };
            return Err(Error::from(config.error_at("device", &message, &names))
                .note(format!("backends come from plugins, {searched}; `[plugins] path` names folders")));
        };
        let device = open(config, backend, wanted.index() as usize, host).map_err(|error| {
            let message = format!("the device `{name}` is unavailable: {}", error.message());
            let told = Error::from(config.error_at("device", &message, &[]));
            let told = error.notes().iter().fold(told, |told, note| told.note(note.clone()));
            told.note("choose another device, or \"auto\" for the best that is there; `arignote devices` lists them")
        })?;
        selection = format!("device {name}: {}", device.info().description);
        devices.push((name, device));
    }
    for fallback in config.fallback() {
        let name = fallback.to_string();
        let same = |known: &str| known == name || format!("{known}0") == name || known == format!("{name}0");
        if devices.iter().any(|(known, _)| same(known)) {
            continue;
        }
        let found = backends.iter().find(|(backend, _)| backend.name() == fallback.backend());
        match found.map(|(backend, _)| open(config, backend, fallback.index() as usize, host)) {
            Some(Ok(device)) => devices.push((name, device)),
            Some(Err(error)) => host.log(LogLevel::Info, &format!("fallback `{name}` is left out: {error}")),
            // The default names backends that a program may well have left out.
            None if config.origin("fallback") == Some(&crate::config::Origin::Default) => {}
            None => {
                let message = format!("there is no backend `{}` for the fallback `{name}`", fallback.backend());
                return Err(config.error_at("fallback", &message, &names).into());
            }
        }
    }
    Ok((devices, selection))
}

fn open(
    config: &Config, backend: &Arc<dyn Backend>, ordinal: usize, host: &Arc<HostServices>,
) -> Result<Arc<dyn Device>> {
    let count = backend.device_count();
    if ordinal >= count {
        let reason = backend.unavailable_reason().unwrap_or_else(|| match count {
            0 => format!("the backend `{}` has no device", backend.name()),
            _ => format!("the backend `{}` has {count} device(s), counted from 0", backend.name()),
        });
        return Err(Error::new(ErrorKind::Device, reason));
    }
    backend.open(ordinal, &options_of(config, backend)?, host.clone())
}

/// What the config says to a backend.
fn options_of(config: &Config, backend: &Arc<dyn Backend>) -> Result<crate::ops::Attributes> {
    let declared: Vec<OptionSpec> = backend
        .options()
        .iter()
        .map(|option| {
            let default = crate::config::Value::from_attribute(&option.default);
            let kind = default.as_ref().map_or(crate::config::Kind::Text, crate::config::Kind::of);
            OptionSpec::new(&option.name, kind, default, &option.doc)
        })
        .collect();
    let mut options = crate::ops::Attributes::new();
    for (name, value) in config.backend_options(backend.name(), &declared)? {
        options.set(&name, crate::ops::Attribute::from(value));
    }
    Ok(options)
}

impl PluginRow {
    fn new(plugin: &LoadedPlugin, hidden: bool) -> PluginRow {
        PluginRow {
            name: plugin.info.name.clone(),
            version: plugin.info.version.clone(),
            license: plugin.info.license.clone(),
            description: plugin.info.description.clone(),
            origin: plugin.origin.to_string(),
            interface: format!("{}.{}", plugin.interface.0, plugin.interface.1),
            compiler: plugin.compiler.clone(),
            backends: plugin.backends.iter().map(|backend| backend.name().to_owned()).collect(),
            ops: plugin.ops.iter().map(|op| op.name.clone()).collect(),
            rules: plugin.rules.iter().map(|rules| rules.file.clone()).collect(),
            error: None,
            hidden,
        }
    }

    fn failed(name: &str, path: &str, error: &Error) -> PluginRow {
        PluginRow {
            name: name.to_owned(), version: String::new(), license: String::new(), description: String::new(),
            origin: path.to_owned(), interface: String::new(), compiler: String::new(), backends: Vec::new(),
            ops: Vec::new(), rules: Vec::new(), error: Some(error.to_string()), hidden: false,
        }
    }
}

impl Session {
    /// The config.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The devices in the order of preference: the chosen one, then the fallbacks.
    pub fn devices(&self) -> &[(String, Arc<dyn Device>)] {
        &self.inner.devices
    }

    /// The key of a stream of random numbers, from the config's `seed`: for `uniform`, `normal` and the like.
    ///
    /// ```
    /// # use arignote_core::{config::Config, ops::random::normal, runtime::SessionBuilder, tensor::DType};
    /// # fn draw(session: &arignote_core::runtime::Session) {
    /// let noise = normal(&session.key(7), &[2, 3], DType::F32);
    /// # }
    /// ```
    #[track_caller]
    pub fn key(&self, stream: u64) -> Var {
        Var::constant(Tensor::vector(vec![u64::from(self.inner.config.seed()), stream]))
    }

    /// One line: the chosen device, and for `auto` why not a better one.
    pub fn selection(&self) -> &str {
        &self.inner.selection
    }

    /// The rewrite rules and passes.
    pub fn rules(&self) -> &Rewrites {
        &self.inner.rules
    }

    /// The rewrite options of the config.
    pub fn rewrite_options(&self) -> &RewriteOptions {
        &self.inner.rewrites
    }

    /// The plugins, those that failed or are hidden included.
    pub fn plugins(&self) -> &[PluginRow] {
        &self.inner.plugins
    }

    /// Every device of every backend, available or not.
    pub fn all_devices(&self) -> Vec<DeviceRow> {
        let mut rows = Vec::new();
        for (backend, origin) in &self.inner.backends {
            let count = backend.device_count();
            let row = |name: String, description: String, unavailable| DeviceRow {
                name, description, origin: origin.to_string(), unavailable,
            };
            if count == 0 {
                let reason = backend.unavailable_reason().unwrap_or_else(|| "it has no device".to_owned());
                rows.push(row(backend.name().to_owned(), String::new(), Some(reason)));
            }
            for ordinal in 0..count {
                match open(&self.inner.config, backend, ordinal, &self.inner.host) {
                    Ok(device) => rows.push(row(device.info().name, device.info().description, None)),
                    Err(error) => {
                        rows.push(row(format!("{}{ordinal}", backend.name()), String::new(), Some(error.to_string())));
                    }
                }
            }
        }
        rows
    }

    /// Whether programs keep time per statement.
    pub fn profiles(&self) -> bool {
        self.inner.config.mode() == Mode::Profile
    }

    /// Who looks at the calls of all functions.
    pub(super) fn watches(&self) -> &[Arc<dyn Watch>] {
        &self.inner.watches
    }

    /// What the host does for plugins.
    pub(super) fn host(&self) -> &Arc<HostServices> {
        &self.inner.host
    }

    /// The device of the reference backend, which results are compared with.
    ///
    /// # Errors
    /// If there is no such backend, or its device does not open.
    pub(super) fn reference(&self) -> Result<Arc<dyn Device>> {
        if let Some((_, device)) = self.devices().iter().find(|(name, _)| name == "reference") {
            return Ok(device.clone());
        }
        let inner = &self.inner;
        match inner.backends.iter().find(|(backend, _)| backend.name() == "reference") {
            Some((backend, _)) => open(&inner.config, backend, 0, &inner.host),
            None => {
                let message = "the mode \"debug\" compares with the backend `reference`, which is not there";
                Err(Error::from(inner.config.error_at("mode", message, &[])).note("`debug.checks` of the config says what is checked"))
            }
        }
    }

    /// A compiled function and its states; one that is compiled already, unless something looks at its calls or at
    /// how it is compiled.
    pub(super) fn compiled(&self, graph: &FunctionGraph, request: &CompileRequest) -> Result<(Arc<Compiled>, Vec<State>)> {
        let plain = matches!(self.inner.config.mode(), Mode::FastRun | Mode::FastCompile)
            && self.inner.watches.is_empty()
            && request.watches.is_empty()
            && request.most_firings.is_none();
        let compile = || Compiled::new(self, graph, request);
        if plain {
            return self.inner.cache.get(graph, request.owned, compile);
        }
        let compiled = compile()?;
        let states = compiled.states().to_vec();
        Ok((Arc::new(compiled), states))
    }

    pub(super) fn device_of(&self, tensor: &DeviceTensor) -> Result<usize> {
        self.inner
            .memories
            .iter()
            .position(|&memory| memory == tensor.memory)
            .ok_or_else(|| Error::new(ErrorKind::Device, "no device of this session holds the state's value"))
    }

    /// Rewrites a graph; adds what happened to `rewriting`, which may say after how many firings to stop.
    pub(super) fn rewrite(&self, graph: &mut Graph, phases: &[Phase], rewriting: &mut Rewriting) -> Result<()> {
        let evaluate = |graph: &Graph| self.evaluate(graph, &[]);
        let context = PassContext { evaluate: Some(&evaluate) };
        let mut options = self.rewrite_options().clone();
        options.most_firings = rewriting.most_firings.map(|most| most.saturating_sub(rewriting.report.firings.len()));
        // What is rewritten only as far as that has its gradients still to come.
        let whole = phases.contains(&Phase::Specialize);
        if !whole {
            options.exclude.push(AFTER_GRADIENTS.to_owned());
        }
        // What was stopped once stays off, and is told of once.
        options.exclude.extend(rewriting.report.stopped.iter().map(|stopped| stopped.rule.clone()));
        let report = phase(if whole { "rewrite" } else { "stabilize" }, || self.inner.rules.run(graph, phases, &options, &context))?;
        for stopped in &report.stopped {
            let place = self.inner.rules.rule(&stopped.rule).map_or_else(|_| String::new(), |rule| format!(" ({})", rule.place()));
            let message = format!("the rule `{}`{place} was stopped after {} firings: {}", stopped.rule, stopped.firings, stopped.reason);
            self.inner.host.log(LogLevel::Warn, &message);
        }
        rewriting.report.extend(report);
        Ok(())
    }

    /// The outputs of a graph as it stands, for some arguments, on the reference device, or the last one of a session
    /// that has none.
    ///
    /// # Errors
    /// If the device does not run an op, or a call fails.
    pub fn evaluate(&self, graph: &Graph, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        let _one_at_a_time = self.inner.folding.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let order: Vec<NodeId> =
            graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect();
        let notes = vec![StatementNote::default(); order.len()];
        let program = crate::plugin::Program::emit(graph, &order, notes)?;
        let (devices, reference) = (self.devices(), DeviceName::reference().to_string());
        let Some((_, device)) = devices.iter().find(|(name, _)| *name == reference).or(devices.last()) else {
            return Err(Error::new(ErrorKind::Device, "the session has no device"));
        };
        let given = |argument: &Tensor| Ok(Argument { tensor: device.upload(argument)?, donated: false });
        let arguments = arguments.iter().map(given).collect::<Result<_>>()?;
        let results = device.compile(&program, &Default::default())?.run(arguments)?;
        results.iter().map(|tensor| device.download(tensor)).collect()
    }

    pub(super) fn plan_in_place(
        &self, graph: &Graph, statements: &[NodeId], overwrites: &[Vec<(usize, usize)>], donate: &[bool],
    ) -> Result<Vec<StatementNote>> {
        let options = self.rewrite_options();
        let enabled = options.level.runs(Phase::Inplace) && !options.exclude.iter().any(|name| name == "inplace");
        let pairs: FxHashMap<NodeId, &Vec<(usize, usize)>> = statements.iter().copied().zip(overwrites).collect();
        let allowed = |id: NodeId| match pairs.get(&id) {
            Some(&pairs) if enabled => pairs.clone(),
            _ => Vec::new(),
        };
        let given: FxHashMap<NodeId, bool> = graph.inputs().iter().copied().zip(donate.iter().copied()).collect();
        let donated = |id: NodeId| given.get(&id).copied().unwrap_or(false);
        let views = |id: NodeId| usual_views(graph, id);
        let plan = Statements { graph, order: statements, allowed: &allowed, donated: &donated, views: &views };
        let notes = plan.plan();
        plan.verify(&notes)?;
        Ok(notes)
    }

    /// The value of a state, on the host.
    ///
    /// # Errors
    /// If its device fails, or its initial value cannot be computed.
    pub fn get(&self, state: &State) -> Result<Tensor> {
        self.initialize(state)?;
        match &*state.lock() {
            StateValue::Host(tensor) => Ok(tensor.clone()),
            StateValue::Device(tensor) => on_host(&*self.devices()[self.device_of(tensor)?].1, tensor),
            StateValue::Unset(_) => Err(Error::new(ErrorKind::Internal, "the state has no value")),
        }
    }

    /// Sets the value of a state.
    ///
    /// # Errors
    /// If the value is not of the state's type; the state then keeps its value.
    pub fn set(&self, state: &State, value: Tensor) -> Result<()> {
        self.set_all(vec![(state, value)])
    }

    /// Sets the values of different states at once: no call sees some of them new and some old.
    ///
    /// # Errors
    /// If a value is not of its state's type; all states then keep their values.
    pub fn set_all(&self, mut values: Vec<(&State, Tensor)>) -> Result<()> {
        for (state, value) in &values {
            if !state.ty().admits(value.dtype(), value.shape()) {
                let message = format!("the state `{}` is {}, not {}", state.name(), state.ty(), value.ty());
                return Err(Error::new(ErrorKind::Runtime, message));
            }
        }
        // Locks are taken in the order in which calls take them.
        values.sort_by_key(|(state, _)| state.address());
        if let Some(pair) = values.windows(2).find(|pair| pair[0].0.is(pair[1].0)) {
            let message = format!("the state `{}` is set twice", pair[0].0.name());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let guards: Vec<_> = values.iter().map(|(state, _)| state.lock()).collect();
        for (mut guard, (_, value)) in guards.into_iter().zip(&values) {
            *guard = StateValue::Host(value.clone());
        }
        Ok(())
    }

    /// Computes the initial value of a state that has none yet.
    ///
    /// # Errors
    /// If the expression does not compile or fails, or gives another type than the state's.
    pub fn initialize(&self, state: &State) -> Result<()> {
        let initial = match &*state.lock() {
            StateValue::Unset(initial) => initial.clone(),
            _ => return Ok(()),
        };
        let ty = initial.ty()?;
        let value = if ty.weak && ty.dtype != state.ty().dtype { initial.cast(state.ty().dtype) } else { initial };
        let name = format!("initial value of {}", state.name());
        let graph = FunctionGraph { name, outputs: vec![(None, value.clone())], ..FunctionGraph::default() };
        let results = Function::compile(self, graph)?.call(&[])?;
        let Some(result) = results.into_iter().next() else {
            return Err(Error::new(ErrorKind::Internal, "the initial value has no result"));
        };
        if !state.ty().admits(result.dtype(), result.shape()) {
            let message = format!("the state `{}` is {}, its initial value is {}", state.name(), state.ty(), result.ty());
            return Err(Error::new(ErrorKind::Type, message).at(value.node().location()));
        }
        let mut slot = state.lock();
        if matches!(&*slot, StateValue::Unset(_)) {
            *slot = StateValue::Host(result);
        }
        Ok(())
    }

    /// The kernel that a plugin gives for an op.
    pub fn kernel(&self, op: &str) -> Option<Arc<dyn HostKernel>> {
        self.inner.host.kernel(op)
    }
}
