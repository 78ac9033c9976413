//! What the host does for plugins: log lines, one thread pool for the process, the kernels of plugin ops.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use super::threads;
use crate::plugin::{Host, HostKernel, LogLevel};

/// The host's services. Log lines go to standard error, from [`LogLevel::Warn`] up unless
/// `ARIGNOTE_LOG=debug` or `info` asks for more.
pub struct HostServices {
    kernels: RwLock<BTreeMap<String, Arc<dyn HostKernel>>>,
    level: LogLevel,
}

impl HostServices {
    /// Services without any plugin kernel yet.
    pub fn new() -> Arc<HostServices> {
        let level = match std::env::var("ARIGNOTE_LOG").as_deref() {
            Ok("debug") => LogLevel::Debug,
            Ok("info") => LogLevel::Info,
            Ok("error") => LogLevel::Error,
            _ => LogLevel::Warn,
        };
        Arc::new(HostServices { kernels: RwLock::default(), level })
    }

    /// Makes a plugin's kernel known to the devices that run in host memory.
    pub fn add_kernel(&self, op: &str, kernel: Arc<dyn HostKernel>) {
        let mut kernels = self.kernels.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        kernels.insert(op.to_owned(), kernel);
    }
}

impl Host for HostServices {
    fn log(&self, level: LogLevel, message: &str) {
        if level <= self.level {
            eprintln!("{level:?}: {message}");
        }
    }

    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        threads::parallel_for(count, body);
    }

    fn threads(&self) -> usize {
        threads::count()
    }

    fn kernel(&self, op: &str) -> Option<Arc<dyn HostKernel>> {
        self.kernels.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(op).cloned()
    }
}
