//! Tensors and states in files, whole and broken.

use std::path::Path;

use arignote::prelude::*;
use arignote::runtime::{load_state, read_npy, save_state, write_npy};

use super::{session, told, vector};

fn states() -> [State; 2] {
    let weights = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    [State::new("weights", weights), State::new("bias", Tensor::vector(vec![5i64, 6]))]
}

/// Loading fails with these words, and both states keep their values.
fn refused(session: &Session, path: &Path, states: &[State], parts: &[&str]) {
    let values = || states.iter().map(|state| session.get(state).unwrap()).collect::<Vec<_>>();
    let before = values();
    told(load_state(path, session, states), parts);
    assert_eq!(values(), before);
}

#[test]
fn states_survive_a_file() {
    let session = session("cpu");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let states = states();
    save_state(&path, &session, &states).unwrap();
    let loaded = [
        State::new("weights", Tensor::zeros(DType::F32, &[2, 2])),
        State::new("bias", Tensor::zeros(DType::I64, &[2])),
    ];
    load_state(&path, &session, &loaded).unwrap();
    for (old, new) in states.iter().zip(&loaded) {
        assert_eq!(session.get(old).unwrap(), session.get(new).unwrap());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file stays");
    told(save_state(&path, &session, &[states[0].clone(), loaded[0].clone()]), &["two states are named `weights`"]);
    let nowhere = folder.path().join("missing").join("state.safetensors");
    told(save_state(&nowhere, &session, &states), &["state.safetensors", "cannot write"]);
}

#[test]
fn a_state_file_is_loaded_whole_or_not_at_all() {
    let session = session("reference");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let saved = states();
    save_state(&path, &session, &saved).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let [weights, bias] = [
        State::new("weights", Tensor::zeros(DType::F32, &[2, 2])),
        State::new("bias", Tensor::zeros(DType::I64, &[2])),
    ];
    let cut = folder.path().join("cut.safetensors");
    for length in 0..bytes.len() {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        refused(&session, &cut, &[weights.clone(), bias.clone()], &["cut.safetensors", "not a whole safetensors file"]);
    }
    // Each time the first state would fit.
    let wide = State::new("bias", Tensor::zeros(DType::F64, &[2]));
    refused(&session, &path, &[weights.clone(), wide], &["`bias` is f64[2]", "i64[2]"]);
    let long = State::new("bias", Tensor::zeros(DType::I64, &[3]));
    refused(&session, &path, &[weights.clone(), long], &["`bias` is i64[3]", "i64[2]"]);
    let misspelt = State::new("biass", Tensor::zeros(DType::I64, &[2]));
    refused(&session, &path, &[weights.clone(), misspelt], &["no tensor `biass`", "nearest is `bias`"]);
    let twice = State::new("weights", Tensor::zeros(DType::F32, &[2, 2]));
    refused(&session, &path, &[weights.clone(), twice], &["two states are named `weights`"]);
    told(load_state(&folder.path().join("none"), &session, &[weights]), &["none", "cannot read"]);
}

#[test]
fn npy_files_that_are_cut_or_changed_are_errors_or_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    write_npy(&path, &vector(&[1.0, 2.0])).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(read_npy(&path).unwrap(), vector(&[1.0, 2.0]));
    let broken = folder.path().join("broken.npy");
    for length in 0..whole.len() {
        std::fs::write(&broken, &whole[..length]).unwrap();
        told(read_npy(&broken), &["broken.npy"]);
    }
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap();
    for at in 0..header {
        for byte in [0, b' ', b'\'', b'(', b'9', b'-', 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            std::fs::write(&broken, &changed).unwrap();
            // Some changes keep a valid file; none may panic or read beyond the bytes.
            if let Ok(tensor) = read_npy(&broken) {
                assert!(tensor.byte_len() <= 16, "{tensor:?}");
            }
        }
    }
    let replaced = |from: &str, to: &str| {
        let text: Vec<u8> = whole.clone();
        let at = text.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = text[..at].to_vec();
        changed.extend(to.as_bytes());
        changed.extend(&text[at + from.len()..]);
        std::fs::write(&broken, changed).unwrap();
        read_npy(&broken)
    };
    told(replaced("<f8", "<c8"), &["dtype '<c8' is not supported"]);
    told(replaced("<f8", ">f8"), &["dtype '>f8' is not supported"]);
    told(replaced("<f8", "|O8"), &["dtype '|O8' is not supported"]);
    told(replaced("(2,)", "(3,)"), &["cut short", "f64[3]"]);
    told(replaced("(2,)", "(1,)"), &["16 bytes do not fit f64[1]"]);
}
