//! Finds the sources of a config and merges them.

use super::error::{ConfigError, ConfigErrorKind};
use super::read::{read_flags, read_toml};
use super::source::{Source, SourceKind};
use super::Config;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of a config file, in a project and in the user's config folder.
const FILE_NAME: &str = "arignote.toml";

/// Where a config is loaded from. The default has no source at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// What `ARIGNOTE_FLAGS` holds.
    pub flags: Option<String>,
    /// The file that `ARIGNOTE_CONFIG` or `--config` names; it must exist.
    pub config_env: Option<PathBuf>,
    /// The working folder; `arignote.toml` is looked for here and in the parents.
    pub cwd: Option<PathBuf>,
    /// The user's config folder for Arignote; an `arignote.toml` in it counts.
    pub user_dir: Option<PathBuf>,
}

impl Sources {
    /// The sources that the environment names.
    ///
    /// # Errors
    ///
    /// If `ARIGNOTE_FLAGS` is not Unicode.
    pub fn from_env() -> Result<Sources, ConfigError> {
        let flags = match env::var("ARIGNOTE_FLAGS") {
            Ok(flags) => Some(flags),
            Err(env::VarError::NotPresent) => None,
            Err(env::VarError::NotUnicode(flags)) => {
                let error = ConfigError::new(ConfigErrorKind::MalformedFlags, "ARIGNOTE_FLAGS is not Unicode");
                return Err(error.found(format!("{flags:?}")));
            }
        };
        // Set but empty is how a shell unsets a variable for one command.
        let config_env = env::var_os("ARIGNOTE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        // Without a working folder (it was deleted) there is no project to look for.
        Ok(Sources { flags, config_env, cwd: env::current_dir().ok(), user_dir: user_dir() })
    }
}

/// The user's config folder for Arignote, by the habits of the system.
fn user_dir() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        folder("APPDATA")
    } else if cfg!(target_os = "macos") {
        folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join("Library/Application Support")))
    } else {
        folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))
    };
    Some(base?.join("arignote"))
}

impl Config {
    /// Loads the config of this process: its environment, its working folder and its user.
    ///
    /// # Errors
    ///
    /// If any source has a mistake, even one that another source overrides.
    pub fn load() -> Result<Config, ConfigError> {
        Config::load_from(&Sources::from_env()?)
    }

    /// Loads the config from given sources.
    ///
    /// # Errors
    ///
    /// If any source has a mistake, even one that another source overrides.
    ///
    /// ```
    /// use arignote_core::config::{Config, Sources};
    /// let config = Config::load_from(&Sources::default())?;
    /// assert_eq!(config.device(), Config::default().device());
    /// # Ok::<(), arignote_core::config::ConfigError>(())
    /// ```
    pub fn load_from(sources: &Sources) -> Result<Config, ConfigError> {
        let cwd = sources.cwd.clone().unwrap_or_default();
        let mut config = Config::default();
        config.cwd.clone_from(&cwd);
        // From the weakest to the strongest: what applies later wins.
        if let Some(dir) = &sources.user_dir {
            config.apply_file(&dir.join(FILE_NAME))?;
        }
        if let Some(cwd) = &sources.cwd {
            for folder in cwd.ancestors() {
                if config.apply_file(&folder.join(FILE_NAME))? {
                    break;
                }
            }
        }
        if let Some(file) = &sources.config_env {
            let file = cwd.join(file);
            if !config.apply_file(&file)? {
                let message = format!("there is no config file {}", file.display());
                return Err(ConfigError::new(ConfigErrorKind::Unreadable, message)
                    .expected("a TOML file, as ARIGNOTE_CONFIG or --config names it"));
            }
        }
        if let Some(flags) = &sources.flags {
            let source = Source::new(SourceKind::Flags, flags, &cwd);
            for entry in read_flags(&source, false)? {
                config.apply(&source, entry)?;
            }
        }
        Ok(config)
    }

    /// Applies a file; false if there is none.
    fn apply_file(&mut self, file: &Path) -> Result<bool, ConfigError> {
        let unreadable = |why: String| {
            ConfigError::new(ConfigErrorKind::Unreadable, format!("cannot read the config file {}", file.display()))
                .found(why)
        };
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(false),
                _ => return Err(unreadable(error.to_string())),
            },
        };
        self.apply_bytes(file, bytes)?;
        Ok(true)
    }

    /// Applies the content of a file.
    pub(super) fn apply_bytes(&mut self, file: &Path, bytes: Vec<u8>) -> Result<(), ConfigError> {
        let kind = SourceKind::File(file.to_owned());
        let base = file.parent().unwrap_or(Path::new(""));
        let source = match String::from_utf8(bytes) {
            Ok(text) => Source::new(kind, &text, base),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let source = Source::new(kind, &String::from_utf8_lossy(error.as_bytes()), base);
                return Err(ConfigError::new(ConfigErrorKind::Syntax, "not valid TOML: not UTF-8")
                    .at(&source, at..at + 1));
            }
        };
        for entry in read_toml(&source)? {
            self.apply(&source, entry)?;
        }
        Ok(())
    }
}
