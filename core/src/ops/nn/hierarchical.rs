//! Softmax in two levels, given by other ops.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, length, type_error, vector, whole};
use crate::ops::einsum::einsum_of;
use crate::ops::{Attribute, AttributeKind, Param, ParamKind, Registry};

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    registry.add(Composed {
        name: "h_softmax", settle: Settle::ToFloat(5),
        params: vec![operand("x", "batch, features"), operand("w1", "features, classes"), operand("b1", "classes"),
            operand("w2", "classes, features, outputs of each class"), operand("b2", "classes, outputs of each class"),
            Param { name: "target", kind: ParamKind::OptionalOperand, doc: "for each of the batch an output's number; all outputs if left out" },
            Param::attribute("n_outputs", AttributeKind::Int, Some(Attribute::None), "how many outputs there are: those of the last class may be fewer; as many as w2 has if none")],
        doc: "The probabilities of outputs that fall into classes: that of the class, a softmax of `x @ w1 + b1`, times that within it, a \
              softmax of the class' own `x @ w2 + b2` (Goodman, Classes for fast maximum entropy training, 2001; Theano's). Of targets it \
              computes one class for each.\n\n    h_softmax(x, w1, b1, w2, b2, target)\n    h_softmax(x, w1, b1, w2, b2, n_outputs=10)",
        build: h_softmax,
    });
}

fn h_softmax(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let names = ["x", "w1", "b1", "w2", "b2"];
    for (number, (name, rank)) in names.into_iter().zip([2, 2, 1, 3, 2]).enumerate() {
        let ty = a.operand(number)?.ty()?;
        if ty.rank() != rank {
            return type_error(format!("`{name}` has {rank} axes, but this is {ty}"));
        }
    }
    let [x, w1, b1, w2, b2] = [0, 1, 2, 3, 4].map(|at| a.operands[at].clone());
    let classes = (x.matmul(&w1) + b1).softmax(-1);
    let each = length(&w2, 2);
    if let Some(target) = a.operands.get(5) {
        whole(target)?;
        if target.ty()?.rank() != 1 {
            return type_error(format!("`target` has one axis, but this is {}", target.ty()?));
        }
        let (class, place) = (target.floor_div(&each), target % &each);
        let scores = einsum_of("nd,ndo->no", &[&x, &w2.take(&class, 0)]) + b2.take(&class, 0);
        let picked = |of: &Var, at: &Var| of.take_along_axis(&at.expand_dims(-1), -1).squeeze(-1);
        return Ok(vec![picked(&classes, &class) * picked(&scores.softmax(-1), &place)]);
    }
    let within = (einsum_of("nd,cdo->nco", &[&x, &w2]) + b2).softmax(-1);
    let all = classes.expand_dims(-1) * within;
    let flat = all.reshape_to(&vector(&[length(&all, 0), length(&all, 1) * each]));
    Ok(vec![match a.attributes.get("n_outputs") {
        None | Some(Attribute::None) => flat,
        Some(_) => {
            let count = a.attributes.int("n_outputs")?;
            let most = flat.ty()?.dims[1].known();
            if count < 0 || most.is_some_and(|most| count as usize > most) {
                return type_error(format!("`n_outputs` is from 0 to the {} that `w2` has, but this is {count}", flat.ty()?.dims[1]));
            }
            flat.slice(1, None, Some(count))
        }
    }])
}
