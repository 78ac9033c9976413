//! The elementary functions as kernel code: the operations that they are written in, as instructions.

use std::cell::RefCell;

use super::ir::{Binary, Builder, Comparison, Function, Fused, Kind, Unary, Value};
use crate::maths::{Lanes, Slow, Width};

/// Lanes of one kind of float, whose operations are added to a kernel.
pub struct Emit<'a> {
    builder: RefCell<&'a mut Builder>,
    kind: Kind,
}

impl<'a> Emit<'a> {
    /// Adds to a kernel, on floats of a kind.
    pub fn new(builder: &'a mut Builder, kind: Kind) -> Emit<'a> {
        Emit { builder: RefCell::new(builder), kind }
    }

    fn binary(&self, op: Binary, x: Value, y: Value) -> Value {
        self.builder.borrow_mut().binary(op, x, y)
    }

    fn unary(&self, op: Unary, x: Value) -> Value {
        self.builder.borrow_mut().unary(op, x)
    }

    fn fused(&self, op: Fused, x: Value, y: Value, z: Value) -> Value {
        self.builder.borrow_mut().fused(op, x, y, z)
    }

    fn compare(&self, op: Comparison, x: Value, y: Value) -> Value {
        self.builder.borrow_mut().compare(op, x, y)
    }

    fn shift(&self, op: Binary, x: Value, count: u32) -> Value {
        let count = self.builder.borrow_mut().int(self.kind.integer(), count.into());
        self.binary(op, x, count)
    }
}

impl Lanes for Emit<'_> {
    type F = Value;
    type I = Value;
    type M = Value;

    fn width(&self) -> Width {
        if self.kind.is_wide() { Width::Double } else { Width::Single }
    }

    fn constant(&self, value: f64) -> Value { self.builder.borrow_mut().number(self.kind, value) }
    fn integer(&self, value: u64) -> Value { self.builder.borrow_mut().bits(self.kind.integer(), value) }

    fn add(&self, x: Value, y: Value) -> Value { self.binary(Binary::Add, x, y) }
    fn sub(&self, x: Value, y: Value) -> Value { self.binary(Binary::Sub, x, y) }
    fn mul(&self, x: Value, y: Value) -> Value { self.binary(Binary::Mul, x, y) }
    fn div(&self, x: Value, y: Value) -> Value { self.binary(Binary::Div, x, y) }
    fn fma(&self, x: Value, y: Value, z: Value) -> Value { self.fused(Fused::MulAdd, x, y, z) }
    fn fnma(&self, x: Value, y: Value, z: Value) -> Value { self.fused(Fused::NegMulAdd, x, y, z) }
    fn fms(&self, x: Value, y: Value, z: Value) -> Value { self.fused(Fused::MulSub, x, y, z) }
    fn sqrt(&self, x: Value) -> Value { self.unary(Unary::Sqrt, x) }
    fn neg(&self, x: Value) -> Value { self.unary(Unary::Neg, x) }
    fn abs(&self, x: Value) -> Value { self.unary(Unary::Abs, x) }
    fn min(&self, x: Value, y: Value) -> Value { self.binary(Binary::Min, x, y) }
    fn max(&self, x: Value, y: Value) -> Value { self.binary(Binary::Max, x, y) }
    fn round(&self, x: Value) -> Value { self.unary(Unary::Round, x) }
    fn floor(&self, x: Value) -> Value { self.unary(Unary::Floor, x) }
    fn trunc(&self, x: Value) -> Value { self.unary(Unary::Trunc, x) }

    fn lt(&self, x: Value, y: Value) -> Value { self.compare(Comparison::Lt, x, y) }
    fn le(&self, x: Value, y: Value) -> Value { self.compare(Comparison::Le, x, y) }
    fn eq(&self, x: Value, y: Value) -> Value { self.compare(Comparison::Eq, x, y) }
    fn both(&self, x: Value, y: Value) -> Value { self.binary(Binary::And, x, y) }
    fn either(&self, x: Value, y: Value) -> Value { self.binary(Binary::Or, x, y) }
    fn select(&self, mask: Value, x: Value, y: Value) -> Value { self.builder.borrow_mut().select(mask, x, y) }

    fn bits(&self, x: Value) -> Value { self.unary(Unary::Bits(self.kind.integer()), x) }
    fn of_bits(&self, bits: Value) -> Value { self.unary(Unary::Bits(self.kind), bits) }
    fn iadd(&self, x: Value, y: Value) -> Value { self.binary(Binary::Add, x, y) }
    fn isub(&self, x: Value, y: Value) -> Value { self.binary(Binary::Sub, x, y) }
    fn negative(&self, x: Value) -> Value {
        let zero = self.integer(0);
        self.compare(Comparison::Lt, x, zero)
    }
    fn and(&self, x: Value, y: Value) -> Value { self.binary(Binary::And, x, y) }
    fn or(&self, x: Value, y: Value) -> Value { self.binary(Binary::Or, x, y) }
    fn xor(&self, x: Value, y: Value) -> Value { self.binary(Binary::Xor, x, y) }
    fn shl(&self, x: Value, count: u32) -> Value { self.shift(Binary::ShiftLeft, x, count) }
    fn shr(&self, x: Value, count: u32) -> Value { self.shift(Binary::ShiftRight, x, count) }

    fn fallback(&self, mask: Value, slow: Slow, x: Value, value: Value) -> Value {
        let function = if self.kind.is_wide() { Function::F64x1(slow.double()) } else { Function::F32x1(slow.single()) };
        self.builder.borrow_mut().rare(function, mask, x, value)
    }
}
