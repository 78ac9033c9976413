//! Random loops, branches and other ops with bodies, from the closures of the Rust API.

use std::cell::RefCell;

use fastrand::Rng;

use super::{Pool, of};
use crate::graph::{NodeKind, Var};
use crate::ops::control::{Scan, checkpoint, custom_vjp, if_else};
use crate::ops::registry;

/// How deep bodies nest.
const DEEPEST: usize = 2;

impl Pool {
    /// The values of this pool and some more, for the inside of a body, and a few computed from them.
    fn inside(&self, more: &[Var], random: &mut Rng) -> Pool {
        let values = self.values.iter().chain(more).cloned().collect();
        let mut pool = Pool { inputs: Vec::new(), states: Vec::new(), values, depth: self.depth + 1 };
        let all: Vec<_> = registry().iter().filter(|op| !op.name().contains("::")).cloned().collect();
        let nesting = ["scan", "if", "checkpoint", "custom_vjp"];
        for _ in 0..random.usize(..6) {
            let op = match random.usize(..6) {
                0 if self.depth < DEEPEST => registry().get(of(random, &nesting)).unwrap_or_else(|e| panic!("{e}")),
                _ => of(random, &all),
            };
            let with_body = op.params().iter().any(super::is_body);
            if with_body && self.depth >= DEEPEST {
                continue;
            }
            let made = pool.apply(&op, random);
            if made.node().results().is_ok() {
                pool.values.extend(made.siblings());
            }
        }
        pool
    }

    /// A value of this dtype and rank, if possible another one than `value`.
    fn alike(&self, value: &Var, random: &mut Rng) -> Var {
        let Ok(ty) = value.ty() else { return value.clone() };
        let fits = |other: &&Var| other.ty().is_ok_and(|found| found.dtype == ty.dtype && found.rank() == ty.rank());
        let fitting: Vec<Var> = self.values.iter().rev().filter(fits).take(8).cloned().collect();
        if fitting.is_empty() { value.clone() } else { of(random, &fitting) }
    }

    fn condition(&self, random: &mut Rng) -> Var {
        let known = Var::scalar(true);
        if random.usize(..4) == 0 { known } else { self.alike(&known, random) }
    }

    fn float(&self, random: &mut Rng) -> Var {
        let is_float = |var: &&Var| var.ty().is_ok_and(|ty| ty.dtype.is_float() && !ty.weak);
        let floats: Vec<Var> = self.values.iter().rev().filter(is_float).take(6).cloned().collect();
        of(random, &floats)
    }

    /// An op with bodies; they need not fit.
    pub(super) fn control(&self, op: &str, random: &mut Rng) -> Var {
        let made = match op {
            "scan" => self.scan(random),
            "if" => self.choice(random),
            "custom_vjp" => self.custom(random),
            _ => {
                let count = 1 + random.usize(..2);
                let made = checkpoint(|| {
                    let pool = self.inside(&[], random);
                    (0..count).map(|_| pool.pick(random)).collect()
                });
                return match (op, made[0].node().kind()) {
                    ("recompute", NodeKind::Apply(_, attributes)) => {
                        Var::apply(op, made[0].node().operands(), attributes.clone())
                    }
                    _ => made[0].clone(),
                };
            }
        };
        made[0].sibling(0)
    }

    fn choice(&self, random: &mut Rng) -> Vec<Var> {
        let condition = self.condition(random);
        let random = RefCell::new(random);
        let first = RefCell::new(Vec::new());
        let then = || {
            let random = &mut **random.borrow_mut();
            let pool = self.inside(&[], random);
            first.replace((0..1 + random.usize(..2)).map(|_| pool.pick(random)).collect());
            first.borrow().clone()
        };
        let otherwise = || {
            let random = &mut **random.borrow_mut();
            let pool = self.inside(&[], random);
            first.borrow().iter().map(|result| pool.alike(result, random)).collect()
        };
        if_else(&condition, then, otherwise)
    }

    fn custom(&self, random: &mut Rng) -> Vec<Var> {
        let inputs: Vec<Var> = (0..1 + random.usize(..2)).map(|_| of(random, &self.values)).collect();
        let inputs: Vec<&Var> = inputs.iter().collect();
        let random = RefCell::new(random);
        let forward = |params: &[Var]| {
            let random = &mut **random.borrow_mut();
            let pool = self.inside(params, random);
            (0..1 + random.usize(..2)).map(|_| pool.float(random)).collect()
        };
        let backward = |params: &[Var], results: &[Var], cotangents: &[Var]| {
            let random = &mut **random.borrow_mut();
            let pool = self.inside(&[params, results, cotangents].concat(), random);
            let floats = params.iter().filter(|param| param.ty().is_ok_and(|ty| ty.dtype.is_float()));
            floats.map(|param| pool.alike(param, random)).collect()
        };
        custom_vjp(&inputs, forward, backward)
    }

    fn scan(&self, random: &mut Rng) -> Vec<Var> {
        let mut scan = Scan::new();
        let with_rows = |var: &&Var| var.ty().is_ok_and(|ty| ty.rank() > 0);
        let sequences: Vec<Var> = self.values.iter().filter(with_rows).cloned().collect();
        for name in ["row", "other"].iter().take(random.usize(..3)) {
            scan = scan.sequence(name, &of(random, &sequences));
        }
        let steps = Var::scalar(3i64);
        if random.usize(..3) == 0 {
            scan = scan.steps(&self.alike(&steps, random));
        }
        let states: Vec<(&str, Var)> =
            ["a", "b"].into_iter().take(random.usize(..3)).map(|name| (name, self.pick(random))).collect();
        for (name, init) in &states {
            scan = scan.state(name, init);
        }
        if random.usize(..4) == 0 {
            scan = scan.truncate(of(random, &[1, 5]));
        }
        let mut yields = 0;
        let run = scan.run(|step| {
            let params: Vec<Var> = ["row", "other", "a", "b"].iter().map(|name| step.get(name)).collect();
            let params: Vec<Var> = params.into_iter().filter(|var| var.ty().is_ok()).collect();
            let pool = self.inside(&params, random);
            for (name, _) in &states {
                step.set(name, &pool.alike(&step.get(name), random));
            }
            yields = random.usize(..3);
            for _ in 0..yields {
                step.give(&pool.pick(random));
            }
            if random.usize(..3) == 0 {
                step.until(&pool.condition(random));
            }
        });
        let result = match (states.first(), yields) {
            (Some((name, _)), _) => run.last(name),
            _ => run.stacked(0),
        };
        let keep: Vec<i64> = (0..yields).map(|_| random.i64(0..3)).collect();
        match result.node().kind() {
            NodeKind::Apply(op, attributes) if random.usize(..3) == 0 && keep.iter().any(|&rows| rows > 0) => {
                vec![Var::apply(op.name(), result.node().operands(), attributes.clone().with("keep", keep))]
            }
            _ => vec![result],
        }
    }
}
