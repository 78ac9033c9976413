//! The plugin boundary, with a plugin linked in and the same one built as a library, whole and broken.

#![allow(missing_docs, unexpected_cfgs)]

#[path = "plugin_fixture/build.rs"]
mod build;
#[path = "plugin_fixture/fixture.rs"]
mod fixture;

use std::path::Path;
use std::sync::{Arc, Mutex};

use arignote_core::ops::{Attribute, Attributes, IndexBound, IndexItem};
use arignote_core::plugin::*;
use arignote_core::tensor::{DType, DeviceTensor, Tensor, Type};
use arignote_core::{ErrorKind, Result};
use build::{broken, library, patched};

#[derive(Default)]
struct TestHost {
    lines: Mutex<Vec<String>>,
}

impl Host for TestHost {
    fn log(&self, level: LogLevel, message: &str) {
        self.lines.lock().unwrap().push(format!("{level:?} {message}"));
    }
    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..count / 2).for_each(body));
            (count / 2..count).for_each(body);
        });
    }
    fn threads(&self) -> usize {
        2
    }
    fn kernel(&self, _: &str) -> Option<Arc<dyn HostKernel>> {
        None
    }
}

fn loader() -> Loader {
    Loader::new(Arc::new(TestHost::default()))
}

/// The fixture through both doors.
fn both() -> [LoadedPlugin; 2] {
    [loader().link(fixture::arignote_plugin()).unwrap(), loader().load_file(library()).unwrap()]
}

fn open(plugin: &LoadedPlugin) -> Arc<dyn Device> {
    let options = Attributes::new().with("speed", 4.0);
    plugin.backends[0].open(0, &options, Arc::new(TestHost::default())).unwrap()
}

fn program() -> Program {
    Program {
        format: Program::FORMAT.into(),
        text: "fn main(x: f32[n]) { return x + const(0) }".into(),
        constants: vec![Tensor::vector(vec![10.0f32])],
        notes: vec![StatementNote { overwrites: vec![(0, 0)], last_uses: vec![0] }],
        ops: vec![OpDefinition { name: "a::b".into(), revision: 3, definition: "fn b(x) { return x }".into() }],
    }
}

fn compile(device: &dyn Device) -> Arc<dyn Executable> {
    device.compile(&program(), &CompileOptions { profile: true, donatable: vec![true, false] }).unwrap()
}

/// The error's text, which fits one screen and names the file.
#[track_caller]
fn screen(result: Result<LoadedPlugin>, path: &Path) -> String {
    let error = result.expect_err("this must not load");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Plugin, "{text}");
    assert!(text.lines().count() <= 24 && text.len() < 2000, "too long:\n{text}");
    assert!(text.contains(&path.display().to_string()), "no file name:\n{text}");
    text
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn everything_crosses() {
    for plugin in both() {
        assert_eq!((plugin.info.name.as_str(), plugin.info.version.as_str()), ("fixture", "0.3.0"));
        assert_eq!(plugin.interface, (1, 3));
        assert_eq!(plugin.rules[0].file, "fixture.rules");
        let op = &plugin.ops[0];
        assert_eq!((op.name.as_str(), op.revision, op.doc.as_str()), ("fixture::twice", 2, "Twice."));
        let backend = &plugin.backends[0];
        assert_eq!((backend.name(), backend.device_count(), backend.priority()), ("fixture", 1, -3));
        assert_eq!(backend.options()[0].default, Attribute::Float(2.5));

        let device = open(&plugin);
        assert_eq!(device.info().description, "speed 4");
        assert_eq!(device.info().memory_bytes, 7);
        assert_eq!(device.stats(), DeviceStats { allocations: 1, live_bytes: 2, peak_bytes: 3 });
        let error = backend.open(3, &Attributes::new(), Arc::new(TestHost::default())).err().unwrap();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Device, "no device 3"));

        let executable = compile(&*device);
        let options = CompileOptions { profile: true, donatable: vec![true, false] };
        assert_eq!(executable.debug_text(), format!("{:?} {options:?}", program()));
        assert_eq!(executable.profile(), [ProfileEntry { statement: 1, calls: 2, seconds: 0.5, bytes: 4, fused: vec![0, 1] }]);
        assert_eq!(executable.workspace(&[[3usize, 4].as_slice().into()]), Some(2));
        assert_eq!(executable.workspace(&[]), None);
    }
}

#[test]
fn attributes_and_types_cross_exactly() {
    let index = vec![
        IndexItem::Slice { start: IndexBound::At(-2), stop: IndexBound::Operand(1), step: -1 },
        IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 },
        IndexItem::At(7),
        IndexItem::Operand(2),
        IndexItem::Ellipsis,
        IndexItem::NewAxis,
    ];
    let list = vec![Attribute::List(vec![Attribute::Int(1)]), Attribute::None, Attribute::Bool(true)];
    let attributes = Attributes::new()
        .with("a", Attribute::Index(index))
        .with("b", Attribute::List(list))
        .with("c", f64::from_bits(0x7ff8_0000_0000_1234))
        .with("d", DType::BF16)
        .with("e", "text \u{1F600}");
    let types = DType::ALL.map(|dtype| Type::new(dtype, ["n".into(), 3.into(), "?".into()]));
    for plugin in both() {
        let device = open(&plugin);
        for ty in types.clone() {
            let operands = [ty.with_weak(true)];
            let mut query =
                NodeQuery { op: "sub", revision: 1, attributes: &attributes, operands: &operands, results: &[] };
            let expected = format!("sub of {} {attributes:?}", operands[0]);
            assert_eq!(device.supports(&query), Support::No(expected));
            query.op = "add";
            assert_eq!(device.supports(&query), Support::Yes(vec![(0, 0), (1, 0)]));
        }
    }
}

#[test]
fn tensors_of_every_dtype_and_shape_cross() {
    for plugin in both() {
        let device = open(&plugin);
        for dtype in DType::ALL {
            for shape in [vec![], vec![0], vec![3], vec![2, 0, 4], vec![1; 12], vec![2, 3, 1, 2]] {
                let count = shape.iter().product::<usize>() as i64;
                let tensor = Tensor::from_vec((0..count).collect(), &shape).unwrap().cast(dtype);
                let there = device.upload(&tensor).unwrap();
                assert_eq!((there.dtype, there.shape.as_slice()), (dtype, shape.as_slice()));
                assert!(device.download(&there).unwrap().identical(&tensor));
            }
        }
    }
}

#[test]
fn donation_keeps_a_lone_owner_alone() {
    for plugin in both() {
        let device = open(&plugin);
        let executable = compile(&*device);
        let run = |tensor: DeviceTensor, donated| executable.run(vec![Argument { tensor, donated }]);
        let x = Tensor::vector(vec![1.0f32, 2.0, 3.0]);

        let there = device.upload(&x).unwrap();
        let kept = run(there.clone(), false).unwrap().remove(0);
        assert_ne!(kept.data, there.data);
        assert_eq!(device.download(&kept).unwrap().to_f64_vec(), [11.0, 12.0, 13.0]);
        let still = run(there.clone(), true).unwrap().remove(0);
        assert_ne!(still.data, there.data, "it has another owner, here");
        assert_eq!(x.to_f64_vec(), [1.0, 2.0, 3.0]);
        drop(there);

        // The result of a run has only this owner, so a run in place may follow.
        let address = kept.data;
        let reused = run(kept, true).unwrap().remove(0);
        assert_eq!(reused.data, address);
        assert_eq!(device.download(&reused).unwrap().to_f64_vec(), [21.0, 22.0, 23.0]);
    }
}

#[test]
fn memory_is_released_with_its_last_owner() {
    #[allow(dead_code)]
    struct Counted(Tensor, Arc<()>);
    let alive = Arc::new(());
    for plugin in both() {
        let device = open(&plugin);
        let mut tensor = DeviceTensor::from_host(Tensor::vector(vec![5.0f32]));
        let mine = Tensor::vector(vec![5.0f32]);
        tensor.data = mine.as_ptr().cast_mut();
        tensor.owner = Arc::new(Counted(mine, alive.clone()));
        for donated in [false, true] {
            let argument = Argument { tensor: tensor.clone(), donated };
            compile(&*device).run(vec![argument]).unwrap();
        }
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(tensor);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

#[test]
fn kernels_write_where_the_host_says() {
    for plugin in both() {
        let kernel = plugin.ops[0].kernel.clone().unwrap();
        let (attributes, types) = (Attributes::new(), [Type::new(DType::F32, ["n".into()]), Type::scalar(DType::I8)]);
        let asks = |types| {
            let query = NodeQuery { op: "fixture::twice", revision: 2, attributes: &attributes, operands: types, results: &[] };
            kernel.supports(&query)
        };
        assert_eq!(asks(&types[..1]), Support::Yes(vec![(0, 0)]));
        assert_eq!(asks(&types[1..]), Support::No("not i8[]".into()));
        let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
        let mut results = [Tensor::zeros(DType::F32, &[2, 2])];
        kernel.run(&Attributes::new(), &[Some(&x)], &mut results).unwrap();
        assert_eq!(results[0].to_f64_vec(), [2.0, 4.0, 6.0, 8.0]);
        kernel.run(&Attributes::new(), &[None], &mut results).unwrap();
        assert_eq!(results[0].to_f64_vec(), [4.0, 8.0, 12.0, 16.0]);
        assert_eq!(x.to_f64_vec(), [1.0, 2.0, 3.0, 4.0]);

        let error = kernel.run(&Attributes::new().with("panic", true), &[Some(&x)], &mut results).unwrap_err();
        says(&error.to_string(), &["the kernel of `fixture::twice`", "`run` panicked", "asked to", "fixture.rs"]);
        let error = kernel.run(&Attributes::new(), &[Some(&x)], &mut results).unwrap_err();
        says(&error.to_string(), &["an earlier call panicked", "asked to"]);
    }
}

#[test]
fn errors_and_panics_cross_by_value() {
    for plugin in both() {
        let device = open(&plugin);
        let executable = compile(&*device);
        let empty = DeviceTensor::from_host(Tensor::vector(Vec::<f32>::new()));
        let error = executable.run(vec![Argument { tensor: empty, donated: false }]).unwrap_err();
        assert_eq!((error.kind(), error.node()), (ErrorKind::Runtime, Some(4)));
        assert_eq!((error.message(), error.notes()), ("nothing to add to", ["a note".to_owned()].as_slice()));

        // Index 100 panics inside the host's `parallel_for`, on one of its threads.
        let long = DeviceTensor::from_host(Tensor::vector(vec![0.0f32; 300]));
        let error = executable.run(vec![Argument { tensor: long, donated: false }]).unwrap_err();
        says(&error.to_string(), &["`run` panicked: index 100"]);
        let fresh = compile(&*device);
        let short = DeviceTensor::from_host(Tensor::vector(vec![1.0f32]));
        assert!(fresh.run(vec![Argument { tensor: short, donated: false }]).is_ok());
    }
}

#[test]
fn eight_threads_run_at_once() {
    for plugin in both() {
        let device = open(&plugin);
        let executable = compile(&*device);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (executable, device) = (&executable, &device);
                scope.spawn(move || {
                    for round in 0..50 {
                        let x = (thread * 1000 + round) as f32;
                        let tensor = device.upload(&Tensor::vector(vec![x; 5])).unwrap();
                        let y = executable.run(vec![Argument { tensor, donated: round % 2 == 0 }]).unwrap();
                        assert_eq!(device.download(&y[0]).unwrap().to_f64_vec(), [f64::from(x) + 10.0; 5]);
                    }
                });
            }
        });
    }
}

#[test]
fn a_panic_while_starting_fails_the_load() {
    let methods = ["info", "init", "backends", "ops", "rules", "name", "priority", "options"];
    for method in methods {
        let path = patched(method);
        let text = screen(loader().load_file(&path), &path);
        says(&text, &[&format!("`{method}` panicked: as told, in {method}"), "nothing of it was registered"]);
    }
}

#[test]
fn a_panic_in_any_later_method_is_an_error_or_an_answer() {
    let with = |method: &str| loader().load_file(&patched(method)).unwrap();
    let told = |result: Result<()>, method: &str| {
        says(&result.unwrap_err().to_string(), &[&format!("`{method}` panicked: as told")]);
    };
    let host = || Arc::new(TestHost::default());
    let speed = Attributes::new().with("speed", 1.0);

    let plugin = with("device_count");
    assert_eq!(plugin.backends[0].device_count(), 0);
    says(&plugin.backends[0].unavailable_reason().unwrap(), &["an earlier call panicked", "as told"]);
    let plugin = with("unavailable_reason");
    says(&plugin.backends[0].unavailable_reason().unwrap(), &["panicked: as told"]);
    told(with("open").backends[0].open(0, &speed, host()).map(drop), "open");
    told(with("device info").backends[0].open(0, &speed, host()).map(drop), "info");

    let x = Tensor::vector(vec![1.0f32]);
    let query = NodeQuery { op: "add", revision: 1, attributes: &speed, operands: &[], results: &[] };
    let Support::No(reason) = open(&with("supports")).supports(&query) else { panic!("it panics") };
    says(&reason, &["`supports` panicked"]);
    told(open(&with("upload")).upload(&x).map(drop), "upload");
    told(open(&with("download")).download(&DeviceTensor::from_host(x.clone())).map(drop), "download");
    told(open(&with("compile")).compile(&program(), &CompileOptions::default()).map(drop), "compile");
    told(open(&with("synchronize")).synchronize(), "synchronize");
    assert_eq!(open(&with("stats")).stats(), DeviceStats::default());
    let argument = Argument { tensor: DeviceTensor::from_host(x), donated: true };
    let executable = compile(&*open(&with("run")));
    told(executable.run(vec![argument.clone()]).map(drop), "run");
    says(&executable.run(vec![argument]).unwrap_err().to_string(), &["an earlier call panicked"]);
    assert_eq!(compile(&*open(&with("workspace"))).workspace(&[]), None);
    says(&compile(&*open(&with("debug_text"))).debug_text(), &["`debug_text` panicked"]);
    assert_eq!(compile(&*open(&with("profile"))).profile(), []);
}

#[test]
fn a_failing_init_is_told_with_its_notes() {
    let path = patched("fail:init");
    let text = screen(loader().load_file(&path), &path);
    says(&text, &["cannot start the plugin", "no licence server", "plug it in"]);
    let path = patched("bad:op");
    says(&screen(loader().load_file(&path), &path), &["`nonsense`", "expected `plugin::op`"]);
}

#[test]
fn files_that_are_no_fitting_plugin_are_refused_unrun() {
    let broken_as = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = broken(name, change);
        screen(loader().load_file(&path), &path)
    };
    let stamp_at = |bytes: &[u8]| bytes.windows(16).position(|window| window == b"ARIGNOTE-PLUGIN\0").unwrap();

    let missing = Path::new("/nowhere/libnothing.so");
    says(&screen(loader().load_file(missing), missing), &["there is no such file", "expected", "found", "fix"]);
    let text = broken_as("text", &|bytes| *bytes = b"#!/bin/sh\necho hello\n".to_vec());
    says(&text, &["it is no plugin", "begins with \"#!/bin/sh"]);
    says(&broken_as("empty", &|bytes| bytes.clear()), &["it is no plugin", "an empty file"]);
    for length in [40, 100, 5000] {
        let text = broken_as(&format!("cut{length}"), &|bytes| bytes.truncate(length));
        says(&text, &["the file is cut short", &format!("{length} bytes"), "at least"]);
    }
    says(&broken_as("short1", &|bytes| bytes.truncate(bytes.len() - 1)), &["the file is cut short"]);
    says(&broken_as("arm", &|bytes| bytes[18] = 183), &["another processor", "aarch64", "build the plugin for"]);
    says(&broken_as("bits", &|bytes| bytes[4] = 1), &["another processor", "32-bit"]);
    let set_major = |major: u8| {
        move |bytes: &mut Vec<u8>| {
            let at = stamp_at(bytes) + 16;
            bytes[at] = major;
        }
    };
    says(&broken_as("old", &set_major(0)), &["it is too old", "interface 1.x", "interface 0.3", "rustc", "rebuild"]);
    says(&broken_as("new", &set_major(2)), &["it is too new", "interface 1.x", "interface 2.3", "update this program"]);
    let no_magic = |bytes: &mut Vec<u8>| {
        let at = stamp_at(bytes);
        bytes[at] = b'X';
    };
    says(&broken_as("magic", &no_magic), &["it is no plugin", "without a plugin's stamp", "`export_plugin!`"]);
    let aborting = |bytes: &mut Vec<u8>| {
        let at = stamp_at(bytes) + 24;
        bytes[at] &= !1;
    };
    says(&broken_as("abort", &aborting), &["panic = \"abort\""]);
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    let path = build::other("plain", "#[unsafe(no_mangle)] pub extern \"C\" fn hello() {}");
    says(&screen(loader().load_file(&path), &path), &["it is no plugin", "without a plugin's stamp"]);
}

#[test]
fn a_newer_minor_version_loads() {
    let path = broken("minor", &|bytes| {
        let at = bytes.windows(16).position(|window| window == b"ARIGNOTE-PLUGIN\0").unwrap() + 20;
        bytes[at] = 9;
    });
    assert_eq!(loader().load_file(&path).unwrap().interface, (1, 9));
}

#[test]
fn pins_hold() {
    let path = patched("none");
    let wrong = "0".repeat(64);
    let text = screen(loader().pin("none", &wrong).load_file(&path), &path);
    says(&text, &["not the file that was pinned", &wrong, "by the config", "found: sha256 "]);
    let found = text.split("found: sha256 ").nth(1).unwrap()[..64].to_owned();
    loader().pin("none", &found.to_uppercase()).load_file(&path).unwrap();
}

#[test]
fn side_cars_are_believed_and_checked() {
    let path = patched("sidecar");
    let write = |text: &str| std::fs::write(path.with_file_name("plugin.toml"), text).unwrap();
    let load = || loader().load_file(&path);
    write("id = \"car\"\nabi = \"1.0\"\n");
    load().unwrap();
    let found = loader().folders([path.parent().unwrap().parent().unwrap().to_owned()]).find();
    assert_eq!(found, [Candidate { name: "car".into(), path: path.clone() }]);
    write("abi = \"2.0\"\n");
    says(&screen(load(), &path), &["names another interface", "1.x", "2.0"]);
    write("sha256 = \"abc\"\n");
    says(&screen(load(), &path), &["by its side-car"]);
    write("idd = \"car\"\n");
    says(&load().unwrap_err().to_string(), &["plugin.toml", "idd", "line 1"]);
    write("library = \"another.so\"\nabi = \"2.0\"\n");
    load().unwrap();
}

#[test]
fn folders_are_searched_and_several_plugins_loaded() {
    let (one, two) = (patched("one"), patched("two"));
    let folder = |path: &Path| path.parent().unwrap().to_owned();
    let loader = loader().folders([folder(&one), folder(&two), "/nowhere".into()]);
    let names: Vec<_> = loader.find().into_iter().map(|candidate| candidate.name).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(loader.load("two").unwrap().origin, Origin::File(two.clone()));
    assert_eq!(loader.load(&one.display().to_string()).unwrap().origin, Origin::File(one));
    assert!(loader.load_all().into_iter().all(|(_, plugin)| plugin.is_ok()));
    let error = loader.load("twoo").unwrap_err();
    says(&error.to_string(), &["there is no plugin `twoo`", "did you mean `two`?", "/nowhere", "ARIGNOTE_PLUGIN_PATH"]);
}
