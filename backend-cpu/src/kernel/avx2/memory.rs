//! Elements from memory to lanes and back.

use arignote_core::tensor::DType;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

use super::encode::{Constants, Place, SCRATCH, move_to_frame};
use super::section::Section;
use super::{POINTERS, frame};
use crate::kernel::ir::Kind;

impl Section<'_, '_> {
    /// The register that holds an array's address, which is `rax` for those that have none of their own.
    fn pointer(&mut self, array: usize) -> u8 {
        if let Some(&register) = POINTERS.get(array) {
            return register;
        }
        let at = 8 * array as i32;
        let ops = &mut self.compiler.ops;
        dynasm!(ops ; .arch x64 ; mov rax, [rbp + frame::ARRAYS] ; mov rax, [rax + at]);
        0
    }

    /// Loads the vector of a copy.
    pub fn load(&mut self, input: usize, copy: usize, dtype: DType, d: u8) {
        let lanes = self.compiler.form.lanes;
        let long = lanes == 8;
        let size = dtype.size();
        let at = (copy * lanes * size) as i32;
        let p = self.pointer(input);
        if size < 4 {
            self.address(p, size, at);
            self.widen(dtype, d);
            return;
        }
        let masked = self.masked;
        let ops = &mut self.compiler.ops;
        match (size, long, masked) {
            (8, _, false) => dynasm!(ops ; .arch x64 ; vmovupd Ry(d), [Rq(p) + rcx * 8 + at]),
            (8, _, true) => dynasm!(ops ; .arch x64 ; vmovaps ymm15, [rbp + frame::MASK + 32] ; vmaskmovpd Ry(d), ymm15, [Rq(p) + rcx * 8 + at]),
            (_, true, false) => dynasm!(ops ; .arch x64 ; vmovups Ry(d), [Rq(p) + rcx * 4 + at]),
            (_, true, true) => dynasm!(ops ; .arch x64 ; vmovaps ymm15, [rbp + frame::MASK] ; vmaskmovps Ry(d), ymm15, [Rq(p) + rcx * 4 + at]),
            (_, false, false) => dynasm!(ops ; .arch x64 ; vmovups Rx(d), [Rq(p) + rcx * 4 + at]),
            (_, false, true) => dynasm!(ops ; .arch x64 ; vmovaps xmm15, [rbp + frame::MASK] ; vmaskmovps Rx(d), xmm15, [Rq(p) + rcx * 4 + at]),
        }
    }

    /// Lets `rdi` point at a vector of elements of 8 or 16 bits: under a mask at a copy of those that are left.
    fn address(&mut self, p: u8, size: usize, at: i32) {
        if !self.masked {
            let ops = &mut self.compiler.ops;
            if size == 1 { dynasm!(ops ; .arch x64 ; lea rdi, [Rq(p) + rcx + at]) } else { dynasm!(ops ; .arch x64 ; lea rdi, [Rq(p) + rcx * 2 + at]) }
            return;
        }
        let ops = &mut self.compiler.ops;
        let again = ops.new_dynamic_label();
        dynasm!(ops ; .arch x64 ; mov rdi, rsi ; sub rdi, rcx);
        if size == 1 {
            dynasm!(ops ; .arch x64 ; lea rax, [Rq(p) + rcx] ; =>again
                ; mov dl, [rax + rdi - 1] ; mov [rbp + rdi + frame::BOUNCE - 1], dl ; dec rdi ; jnz =>again);
        } else {
            dynasm!(ops ; .arch x64 ; lea rax, [Rq(p) + rcx * 2] ; =>again
                ; mov dx, [rax + rdi * 2 - 2] ; mov [rbp + rdi * 2 + frame::BOUNCE - 2], dx ; dec rdi ; jnz =>again);
        }
        dynasm!(ops ; .arch x64 ; lea rdi, [rbp + frame::BOUNCE]);
    }

    /// Elements of 8 or 16 bits, from `rdi` on, as lanes of 32.
    fn widen(&mut self, dtype: DType, d: u8) {
        let long = self.compiler.form.lanes == 8;
        let zero = self.compiler.pool.constant(Kind::I32, 0);
        let ops = &mut self.compiler.ops;
        match (dtype.size(), long) {
            (1, true) => dynasm!(ops ; .arch x64 ; vmovq Rx(d), QWORD [rdi]),
            (1, false) => dynasm!(ops ; .arch x64 ; vmovd Rx(d), DWORD [rdi]),
            (_, true) => dynasm!(ops ; .arch x64 ; vmovups Rx(d), [rdi]),
            (_, false) => dynasm!(ops ; .arch x64 ; vmovq Rx(d), QWORD [rdi]),
        }
        macro_rules! widen { ($name:ident) => {
            if long { dynasm!(ops ; .arch x64 ; $name Ry(d), Rx(d)) } else { dynasm!(ops ; .arch x64 ; $name Rx(d), Rx(d)) }
        } }
        match dtype {
            DType::I8 => widen!(vpmovsxbd),
            DType::I16 => widen!(vpmovsxwd),
            DType::U16 => widen!(vpmovzxwd),
            DType::F16 => widen!(vcvtph2ps),
            DType::BF16 => {
                widen!(vpmovzxwd);
                if long { dynasm!(ops ; .arch x64 ; vpslld Ry(d), Ry(d), 16) } else { dynasm!(ops ; .arch x64 ; vpslld Rx(d), Rx(d), 16) }
            }
            DType::Bool => {
                widen!(vpmovzxbd);
                let Place::Pool(zero) = zero else { return };
                if long { dynasm!(ops ; .arch x64 ; vpcmpgtd Ry(d), Ry(d), [r14 + zero]) } else { dynasm!(ops ; .arch x64 ; vpcmpgtd Rx(d), Rx(d), [r14 + zero]) }
            }
            _ => widen!(vpmovzxbd),
        }
    }

    /// The one element of an input, in all lanes.
    pub fn broadcast(&mut self, input: usize, dtype: DType, d: u8) {
        let p = self.pointer(input);
        let long = self.compiler.form.lanes == 8;
        let zero = self.compiler.pool.constant(Kind::I32, 0);
        let ops = &mut self.compiler.ops;
        match dtype.size() {
            8 => {
                dynasm!(ops ; .arch x64 ; vmovsd Rx(d), QWORD [Rq(p)] ; vbroadcastsd Ry(d), Rx(d));
                return;
            }
            4 => dynasm!(ops ; .arch x64 ; vmovss Rx(d), DWORD [Rq(p)]),
            2 if dtype == DType::I16 => dynasm!(ops ; .arch x64 ; movsx edx, WORD [Rq(p)] ; vmovd Rx(d), edx),
            2 => dynasm!(ops ; .arch x64 ; movzx edx, WORD [Rq(p)] ; vmovd Rx(d), edx),
            _ if dtype == DType::I8 => dynasm!(ops ; .arch x64 ; movsx edx, BYTE [Rq(p)] ; vmovd Rx(d), edx),
            _ => dynasm!(ops ; .arch x64 ; movzx edx, BYTE [Rq(p)] ; vmovd Rx(d), edx),
        }
        match dtype {
            DType::F16 => dynasm!(ops ; .arch x64 ; vcvtph2ps Rx(d), Rx(d)),
            DType::BF16 => dynasm!(ops ; .arch x64 ; vpslld Rx(d), Rx(d), 16),
            DType::Bool => {
                let Place::Pool(zero) = zero else { return };
                dynasm!(ops ; .arch x64 ; vpcmpgtd Rx(d), Rx(d), [r14 + zero]);
            }
            _ => {}
        }
        if long { dynasm!(ops ; .arch x64 ; vbroadcastss Ry(d), Rx(d)) } else { dynasm!(ops ; .arch x64 ; vbroadcastss Rx(d), Rx(d)) }
    }

    /// Stores the vector of a copy.
    pub fn store(&mut self, output: usize, copy: usize, dtype: DType, s: u8) {
        let lanes = self.compiler.form.lanes;
        let long = lanes == 8;
        let size = dtype.size();
        let at = (copy * lanes * size) as i32;
        let array = self.compiler.kernel.inputs.len() + output;
        if size < 4 {
            self.narrow(dtype, s);
            let p = self.pointer(array);
            self.store_narrow(p, size, at);
            return;
        }
        let p = self.pointer(array);
        let masked = self.masked;
        let ops = &mut self.compiler.ops;
        match (size, long, masked) {
            (8, _, false) => dynasm!(ops ; .arch x64 ; vmovupd [Rq(p) + rcx * 8 + at], Ry(s)),
            (8, _, true) => dynasm!(ops ; .arch x64 ; vmovaps ymm15, [rbp + frame::MASK + 32] ; vmaskmovpd [Rq(p) + rcx * 8 + at], ymm15, Ry(s)),
            (_, true, false) => dynasm!(ops ; .arch x64 ; vmovups [Rq(p) + rcx * 4 + at], Ry(s)),
            (_, true, true) => dynasm!(ops ; .arch x64 ; vmovaps ymm15, [rbp + frame::MASK] ; vmaskmovps [Rq(p) + rcx * 4 + at], ymm15, Ry(s)),
            (_, false, false) => dynasm!(ops ; .arch x64 ; vmovups [Rq(p) + rcx * 4 + at], Rx(s)),
            (_, false, true) => dynasm!(ops ; .arch x64 ; vmovaps xmm15, [rbp + frame::MASK] ; vmaskmovps [Rq(p) + rcx * 4 + at], xmm15, Rx(s)),
        }
    }

    /// Lanes of 32 bits as elements of 8 or 16, in the scratch register.
    fn narrow(&mut self, dtype: DType, s: u8) {
        let long = self.compiler.form.lanes == 8;
        let ones = self.compiler.pool.constant(Kind::I32, 0x0101_0101);
        let ops = &mut self.compiler.ops;
        if dtype == DType::F16 {
            if long { dynasm!(ops ; .arch x64 ; vcvtps2ph xmm15, Ry(s), 0) } else { dynasm!(ops ; .arch x64 ; vcvtps2ph xmm15, Rx(s), 0) }
            return;
        }
        let (low, high) = match (dtype, long) {
            (DType::BF16, true) => {
                dynasm!(ops ; .arch x64 ; vpsrld ymm14, Ry(s), 16 ; vextracti128 xmm15, ymm14, 1);
                (14, SCRATCH)
            }
            (DType::BF16, false) => {
                dynasm!(ops ; .arch x64 ; vpsrld xmm14, Rx(s), 16);
                (14, 14)
            }
            (_, true) => {
                dynasm!(ops ; .arch x64 ; vextracti128 xmm15, Ry(s), 1);
                (s, SCRATCH)
            }
            (_, false) => (s, s),
        };
        match dtype {
            DType::I8 | DType::I16 | DType::Bool => dynasm!(ops ; .arch x64 ; vpackssdw xmm15, Rx(low), Rx(high)),
            _ => dynasm!(ops ; .arch x64 ; vpackusdw xmm15, Rx(low), Rx(high)),
        }
        match dtype {
            DType::U8 => dynasm!(ops ; .arch x64 ; vpackuswb xmm15, xmm15, xmm15),
            DType::I8 | DType::Bool => dynasm!(ops ; .arch x64 ; vpacksswb xmm15, xmm15, xmm15),
            _ => {}
        }
        if dtype == DType::Bool {
            let Place::Pool(ones) = ones else { return };
            dynasm!(ops ; .arch x64 ; vpand xmm15, xmm15, [r14 + ones]);
        }
    }

    /// Stores what [`Self::narrow`] made.
    fn store_narrow(&mut self, p: u8, size: usize, at: i32) {
        let long = self.compiler.form.lanes == 8;
        let masked = self.masked;
        let ops = &mut self.compiler.ops;
        if !masked {
            match (size, long) {
                (1, true) => dynasm!(ops ; .arch x64 ; vmovq QWORD [Rq(p) + rcx + at], xmm15),
                (1, false) => dynasm!(ops ; .arch x64 ; vmovd DWORD [Rq(p) + rcx + at], xmm15),
                (_, true) => dynasm!(ops ; .arch x64 ; vmovups [Rq(p) + rcx * 2 + at], xmm15),
                (_, false) => dynasm!(ops ; .arch x64 ; vmovq QWORD [Rq(p) + rcx * 2 + at], xmm15),
            }
            return;
        }
        move_to_frame(ops, false, frame::BOUNCE, SCRATCH);
        let again = ops.new_dynamic_label();
        dynasm!(ops ; .arch x64 ; mov rdi, rsi ; sub rdi, rcx);
        if size == 1 {
            dynasm!(ops ; .arch x64 ; lea rax, [Rq(p) + rcx] ; =>again
                ; mov dl, [rbp + rdi + frame::BOUNCE - 1] ; mov [rax + rdi - 1], dl ; dec rdi ; jnz =>again);
        } else {
            dynasm!(ops ; .arch x64 ; lea rax, [Rq(p) + rcx * 2] ; =>again
                ; mov dx, [rbp + rdi * 2 + frame::BOUNCE - 2] ; mov [rax + rdi * 2 - 2], dx ; dec rdi ; jnz =>again);
        }
    }
}
