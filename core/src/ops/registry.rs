//! All ops by name, the core's and the plugins'.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{FAMILIES, Op};
use crate::error::{Error, ErrorKind, Result, nearest};

/// The ops that graphs can be built from.
#[derive(Default, Clone)]
pub struct Registry {
    ops: BTreeMap<String, Arc<dyn Op>>,
}

impl Registry {
    /// Adds an op of the core. Two of one name are a mistake in the core that its tests find.
    pub fn add(&mut self, op: impl Op) {
        self.ops.insert(op.name().to_owned(), Arc::new(op));
    }

    /// Adds ops that belong together: all of them or, after an error, none.
    ///
    /// # Errors
    /// If a name is taken.
    pub fn add_all(&mut self, ops: Vec<Arc<dyn Op>>) -> Result<()> {
        if let Some(op) = ops.iter().find(|op| self.ops.contains_key(op.name())) {
            let message = format!("an op named `{}` exists already, with another meaning", op.name());
            return Err(Error::new(ErrorKind::Plugin, message)
                .note("a process has one version of a plugin; its ops have names that begin with its own"));
        }
        self.ops.extend(ops.into_iter().map(|op| (op.name().to_owned(), op)));
        Ok(())
    }

    /// Takes ops away again.
    pub fn remove(&mut self, names: &[String]) {
        self.ops.retain(|name, _| !names.contains(name));
    }

    /// The op of this name.
    ///
    /// # Errors
    /// If there is none; the error names the nearest.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Op>> {
        self.ops.get(name).cloned().ok_or_else(|| {
            let error = Error::new(ErrorKind::Syntax, format!("there is no op `{name}`"));
            match nearest(name, self.ops.keys().map(String::as_str)) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error.note("`arignote ops` lists them"),
            }
        })
    }

    /// All ops in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Op>> {
        self.ops.values()
    }
}

fn global() -> &'static RwLock<Arc<Registry>> {
    static REGISTRY: OnceLock<RwLock<Arc<Registry>>> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = Registry::default();
        for register in FAMILIES {
            register(&mut registry);
        }
        RwLock::new(Arc::new(registry))
    })
}

/// The process-wide registry as it is now. Whoever reads it holds no lock, so that ops may look each other up
/// while a plugin is loaded beside them.
pub fn registry() -> Arc<Registry> {
    global().read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Changes the process-wide registry, for a plugin's ops. `change` must not itself look at [`registry`].
pub fn update_registry<R>(change: impl FnOnce(&mut Registry) -> R) -> R {
    change(Arc::make_mut(&mut global().write().unwrap_or_else(PoisonError::into_inner)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn ops_look_each_other_up_while_others_come_and_go() {
        let looking = AtomicUsize::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        assert!(registry().iter().all(|op| registry().get(op.name()).is_ok()));
                    }
                    looking.fetch_sub(1, Ordering::Relaxed);
                });
            }
            while looking.load(Ordering::Relaxed) > 0 {
                update_registry(|registry| registry.remove(&[]));
            }
        });
    }
}
