//! A host of a newer interface, whose `PluginObject` has one more method, `more`.

use arignote_abi::*;

fn main() {
    let path = std::env::args().nth(1).expect("a path");
    // SAFETY: the test built this file.
    let (stamp, header) = unsafe { open_library(path.as_ref()) }.expect("it opens");
    let root = check_layout(header).expect("an older layout is accepted");
    let plugin = root.open()().into_result().expect("it starts");
    let name = plugin.info().into_result().expect("it has a name").name;
    // The plugin has no such method: the host's own default body runs.
    let more = plugin.more().into_result().expect("the default");
    println!("{} of {}.{} in a host of {}.{}: {more}", name, stamp.major, stamp.minor, MAJOR, MINOR);
}
