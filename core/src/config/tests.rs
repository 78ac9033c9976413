//! Files, flags, precedence and errors.

use super::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Loads a file in a folder of its own and shows what it gives.
fn load(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    config.apply_bytes(Path::new("/p/arignote.toml"), text.as_bytes().to_vec())?;
    Ok(config)
}

fn flags(text: &str) -> Result<Config, ConfigError> {
    Config::load_from(&Sources { flags: Some(text.into()), ..Sources::default() })
}

fn set(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    config.set("--set", text).map(|()| config)
}

#[track_caller]
fn check_error(result: Result<Config, ConfigError>, expected: &str) {
    let error = result.expect_err("a config with a mistake").to_string();
    assert_eq!(error, expected, "\n--- got ---\n{error}\n--- expected ---\n{expected}\n");
}

const FULL: &str = r#"
device   = "cuda0"
fallback = ["cpu", "reference"]
float    = "f32"
mode     = "nan-guard"
seed     = 7
[plugins]
path = ["./plugins", "/abs"]
load = ["cuda", "swish"]
[plugins.sha256]
swish = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
[backend.cpu]
threads = 2
tuning.fast = true
[backend.cuda]
graphs = [1, 2.5, "x"]
[rewrite]
include = ["specialize"]
exclude = ["inplace"]
algebra = "real"
rules   = ["mine.rules"]
"#;

#[test]
fn reads_every_option() {
    let config = load(FULL).unwrap();
    assert_eq!(config.device(), &DeviceName::cuda(0));
    assert_eq!(config.fallback(), [DeviceName::cpu(), DeviceName::reference()]);
    assert_eq!((config.float(), config.mode(), config.seed()), (Float::F32, Mode::NanGuard, 7));
    assert_eq!(config.plugins_path(), [PathBuf::from("/p/./plugins"), PathBuf::from("/abs")]);
    assert_eq!(config.plugins_load().unwrap(), ["cuda", "swish"]);
    let pin = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    assert_eq!(config.plugin_pins().collect::<Vec<_>>(), [("swish", pin)]);
    assert_eq!(config.get("backend.cpu.threads"), Some(Value::Int(2)));
    assert_eq!(config.get("backend.cpu.tuning.fast"), Some(Value::Bool(true)));
    assert_eq!(config.configured_backends().into_iter().collect::<Vec<_>>(), ["cpu", "cuda"]);
    assert_eq!((config.rewrite_include().len(), config.rewrite_algebra()), (1, Algebra::Real));
    assert_eq!(config.rewrite_rules(), [PathBuf::from("/p/mine.rules")]);
    assert_eq!(config.origin("seed").unwrap().to_string(), "/p/arignote.toml:6");
}

#[test]
fn declared_defaults_fit_their_kinds() {
    for option in options() {
        if let Some(default) = &option.default {
            let node = Node::from_value(default);
            assert!(option.kind.convert(&node, Path::new("")).is_ok(), "{}", option.name);
        }
        assert!(option.doc.ends_with('.'), "{}", option.name);
    }
}

#[test]
fn what_is_shown_loads_again() {
    let odd = Config::default()
        .with("plugins.sha256.lib-a.so", "0".repeat(64))
        .and_then(|config| config.with("backend.cpu.label", "a \"b\" # c\n\\"))
        .and_then(|config| config.with("backend.cpu.ratio", 1.0))
        .unwrap();
    for config in [Config::default(), load(FULL).unwrap(), odd] {
        let text = config.to_toml();
        let again = load(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for row in config.rows() {
            assert_eq!(again.get(&row.key), row.value, "{}\n{text}", row.key);
        }
        assert_eq!(config.to_json().as_array().unwrap().len(), config.rows().len());
    }
}

#[test]
fn stronger_sources_win_and_keep_their_origin() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let user = write("user/arignote.toml", "device = 'a1'\nseed = 1\nfloat = 'f32'\nmode = 'debug'\n[backend.x]\nk = 1");
    write("arignote.toml", "seed = 100");
    let project = write("project/arignote.toml", "device = 'b1'\nseed = 2\nfloat = 'f64'");
    let named = write("named.toml", "device = 'c1'\nseed = 3\n[rewrite]\nrules = ['r.rules']");
    let mut sources = Sources {
        flags: Some("device=d1,plugins.path=rel:/abs".into()),
        config_env: Some("../../../named.toml".into()),
        cwd: Some(folder.path().join("project/deep/er")),
        user_dir: user.parent().map(Path::to_owned),
    };
    fs::create_dir_all(sources.cwd.as_ref().unwrap()).unwrap();
    let config = Config::load_from(&sources).unwrap().with("device", "e1").unwrap();
    let origin = |config: &Config, key: &str| config.origin(key).unwrap().to_string();
    assert_eq!((config.device().to_string().as_str(), config.origin("device")), ("e1", Some(&Origin::Code)));
    assert_eq!((config.seed(), config.float(), config.mode()), (3, Float::F64, Mode::Debug));
    assert!(origin(&config, "seed").ends_with("named.toml:2"));
    assert_eq!(origin(&config, "float"), format!("{}:3", project.display()));
    assert_eq!(origin(&config, "mode"), format!("{}:4", user.display()));
    assert_eq!(origin(&config, "plugins.path"), "ARIGNOTE_FLAGS");
    assert_eq!(config.plugins_path()[0], sources.cwd.as_ref().unwrap().join("rel"));
    assert_eq!(fs::canonicalize(config.rewrite_rules()[0].parent().unwrap()).unwrap(), fs::canonicalize(named.parent().unwrap()).unwrap());
    sources.flags = None;
    assert_eq!(Config::load_from(&sources).unwrap().device().to_string(), "c1");
    sources.config_env = None;
    assert_eq!(Config::load_from(&sources).unwrap().seed(), 2);
    sources.config_env = Some("missing.toml".into());
    assert_eq!(Config::load_from(&sources).unwrap_err().kind(), ConfigErrorKind::Unreadable);
    sources.config_env = Some(folder.path().into());
    assert_eq!(Config::load_from(&sources).unwrap_err().kind(), ConfigErrorKind::Unreadable);
}

#[test]
fn errors_in_files() {
    check_error(
        load("# hi\n\tdevcie = \"cpu\"\n"),
        "unknown option `devcie`\n  --> /p/arignote.toml:2:2\n  2 | \tdevcie = \"cpu\"\n    | \t^^^^^^\n  = expected one of `device`, `fallback`, `float`, `mode`, `seed`, `backend`, `plugins`, `rewrite`, `nan-guard`, `debug`, `profile`\n  = did you mean `device`?",
    );
    check_error(
        load("[rewrite]\nexclude = \"inplace\""),
        "`rewrite.exclude` has a value of the wrong type\n  --> /p/arignote.toml:2:11\n  2 | exclude = \"inplace\"\n    |           ^^^^^^^^^\n  = expected a list of names\n  = found text, \"inplace\"\n  = did you mean [\"inplace\"]?",
    );
    check_error(
        load("fallback = [\"cpu\", \"CUDA:1\"]"),
        "`fallback` cannot be \"CUDA:1\"\n  --> /p/arignote.toml:1:20\n  1 | fallback = [\"cpu\", \"CUDA:1\"]\n    |                    ^^^^^^^^\n  = expected a device (\"cpu\", \"cuda0\", ...)\n  = found \"CUDA:1\"\n  = did you mean \"cuda1\"?",
    );
    check_error(
        load("rewrite = 3"),
        "`rewrite` is a section\n  --> /p/arignote.toml:1:11\n  1 | rewrite = 3\n    |           ^\n  = expected a table: a line `[rewrite]`, then its options\n  = found a whole number, 3",
    );
    let error = load("seed = 1\nmode = \n").unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().0), (ConfigErrorKind::Syntax, 2));
    let kind = |text| load(text).unwrap_err().kind();
    assert_eq!(kind("seed = -1"), ConfigErrorKind::InvalidValue);
    assert_eq!(kind("seed = 1.5"), ConfigErrorKind::WrongType);
    assert_eq!(kind("mode = 1979-05-27"), ConfigErrorKind::WrongType);
    assert_eq!(kind("[device]\nx = 1"), ConfigErrorKind::WrongType);
    assert_eq!(kind("[[backend]]\nx = 1"), ConfigErrorKind::WrongType);
    assert_eq!(kind("fallback = [\"auto\"]"), ConfigErrorKind::InvalidValue);
    assert_eq!(kind("[plugins.sha256]\na = \"12\""), ConfigErrorKind::InvalidValue);
    assert_eq!(kind("[plugins]\npath = [\"\"]"), ConfigErrorKind::InvalidValue);
    for (text, near) in [("exclude = []", "rewrite.exclude"), ("[rewrit]\nx = 1", "rewrite"), ("[plugins]\npaths = []", "plugins.path")] {
        assert_eq!(load(text).unwrap_err().suggestion(), Some(near), "{text}");
    }
    let error = Config::default().apply_bytes(Path::new("x.toml"), b"seed = 1\n\xff".to_vec()).unwrap_err();
    assert_eq!((error.kind(), error.position()), (ConfigErrorKind::Syntax, Some((2, 1))));
}

#[test]
fn flags_are_read() {
    let config = flags(" device = cpu ,, rewrite.exclude=inplace:\"a:b,c\" : x,backend.cpu.threads=2,").unwrap();
    assert_eq!(config.rewrite_exclude(), ["inplace", "a:b,c", "x"]);
    assert_eq!(config.get("backend.cpu.threads"), Some(Value::Int(2)));
    assert_eq!(flags("fallback=").unwrap().fallback(), []);
    assert_eq!(flags("device=cpu,device=cuda1").unwrap().device(), &DeviceName::cuda(1));
    assert_eq!(set("backend.x.text=a,b").unwrap().get("backend.x.text"), Some(Value::from("a,b")));
}

#[test]
fn errors_in_flags() {
    check_error(
        flags("fallback=cpu,reference"),
        "\"reference\" has no value\n  --> ARIGNOTE_FLAGS\n  | fallback=cpu,reference\n  |              ^^^^^^^^^\n  = expected `key=value,key=value`, items of a list separated by `:`",
    );
    check_error(
        set("fallback=cpu,reference"),
        "`fallback` cannot be \"cpu,reference\"\n  --> --set\n  | fallback=cpu,reference\n  |          ^^^^^^^^^^^^^\n  = expected a device (\"cpu\", \"cuda0\", ...)\n  = found \"cpu,reference\"\n  = items of a list are separated by `:`",
    );
    check_error(
        set("rewrit.exclude=x"),
        "unknown option `rewrit.exclude`\n  --> --set\n  | rewrit.exclude=x\n  | ^^^^^^^^^^^^^^\n  = expected one of `device`, `fallback`, `float`, `mode`, `seed`, `backend`, `plugins`, `rewrite`, `nan-guard`, `debug`, `profile`\n  = did you mean `rewrite.exclude`?",
    );
    for text in ["=x", "device", "mode=\"x", "rewrite=x"] {
        assert_eq!(flags(text).unwrap_err().kind(), ConfigErrorKind::MalformedFlags, "{text}");
    }
    assert_eq!(flags("devce").unwrap_err().suggestion(), Some("device=..."));
    assert_eq!(set("").unwrap_err().kind(), ConfigErrorKind::MalformedFlags);
    assert_eq!(flags("seed=x").unwrap_err().kind(), ConfigErrorKind::InvalidValue);
}

#[test]
fn backend_options_are_checked_against_what_is_declared() {
    let declared = [
        OptionSpec::new("threads", Kind::Int { min: 1, max: 64 }, Some(1.into()), "How many threads."),
        OptionSpec::new("label", Kind::Text, None, "A label."),
        OptionSpec::new("cache", Kind::Path, None, "A folder."),
        OptionSpec::new("isa", Kind::one_of(&["avx2", "sse2"]), None, "Instructions."),
    ];
    let config = load("[backend.cpu]\nthreads = 2\ncache = 'c'").unwrap();
    let mut config = config.with("backend.other.x", 1).unwrap();
    config.set("--set", "backend.cpu.label=12").unwrap();
    let values = config.backend_options("cpu", &declared).unwrap();
    assert_eq!(values["label"], Value::from("12"), "the declared kind decides, not the looks");
    assert_eq!(values["cache"], Value::from("/p/c"), "relative to the file");
    assert_eq!((&values["threads"], values.get("isa")), (&Value::Int(2), None));
    let check = |text| load(text).unwrap().backend_options("cpu", &declared).unwrap_err().to_string();
    assert_eq!(
        check("[backend.cpu]\nisa = 'avx'"),
        "`backend.cpu.isa` cannot be \"avx\"\n  --> /p/arignote.toml:2:7\n  2 | isa = 'avx'\n    |       ^^^^^\n  = expected \"avx2\" or \"sse2\"\n  = found \"avx\"\n  = did you mean \"avx2\"?"
    );
    assert!(check("[backend.cpu]\nthreads = 'two'").contains("wrong type"));
    assert!(check("[backend.cpu]\nthread = 1").ends_with("did you mean `threads`?"));
}

#[test]
fn near_names() {
    assert_eq!(nearest("devcie", ["device", "mode"]), Some("device"));
    assert_eq!(nearest("exclude", ["mode", "rewrite.exclude"]), Some("rewrite.exclude"));
    assert_eq!(nearest("colour", ["device", "mode"]), None);
}

#[test]
fn the_common_error_keeps_place_and_help() {
    let error = load("sed = 1").unwrap_err();
    let text = error.to_string();
    let common = crate::Error::from(error);
    assert_eq!((common.kind(), common.message()), (crate::ErrorKind::Config, "unknown option `sed`"));
    assert_eq!(common.to_string(), text);
}

#[test]
fn device_names() {
    for name in ["cpu", "cuda0", "cuda12", "reference", "my-npu3", "x_y", "auto"] {
        assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
    }
    for name in ["", "0", "CPU", "cuda:0", "cuda 0", "cuda00", "auto1", "cpu-", "cuda99999999999", "é", "cüda"] {
        assert!(name.parse::<DeviceName>().is_err(), "{name}");
    }
    assert!("cuda".parse::<DeviceName>().unwrap().same_device(&DeviceName::cuda(0)));
}

#[test]
fn typed_setters_leave_their_origin() {
    let config = load(FULL).unwrap().with_mode(Mode::Debug).with_plugins_load(None);
    assert_eq!(config.mode(), Mode::Debug);
    assert_eq!(config.origin("mode"), Some(&Origin::Code));
    assert_eq!((config.get("plugins.load"), config.plugins_load()), (None, None));
}

#[test]
fn the_book_holds_the_table() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.md");
    // A packaged crate has no book.
    let Ok(text) = fs::read_to_string(page) else { return };
    assert!(text.contains(&options_table()), "docs/config.md needs this table:\n\n{}", options_table());
}
