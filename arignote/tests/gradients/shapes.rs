//! Cases of ops that move elements.

use super::*;

pub(super) fn shapes(of: Of<'_>) {
    let sizes = |sizes: &[i64]| Var::constant(integers(sizes));
    of("reshape", &|c| {
        for (from, to) in [(&[2, 3][..], &[3, 2][..]), (&[2, 3], &[-1]), (&[], &[1, 1]), (&[1], &[]), (&[0, 3], &[3, -1]), (&[4], &[2, -1])] {
            c.add(&[from], move |x| x[0].reshape(to));
        }
    });
    of("transpose", &|c| {
        for axes in [vec![2, 0, 1], vec![0, -1, 1], vec![0, 1, 2]] {
            c.add(&[&[2, 3, 4]], move |x| x[0].transpose(&axes));
        }
        ONE.iter().for_each(|&shape| c.add(&[shape], |x| x[0].t()));
    });
    of("broadcast_to", &|c| {
        for (from, to) in [(&[][..], &[2, 3][..]), (&[3], &[2, 3]), (&[2, 1], &[4, 2, 3]), (&[1], &[0]), (&[3], &[3]), (&[0], &[2, 0])] {
            let to = sizes(to);
            c.add(&[from], move |x| x[0].broadcast_to_var(&to));
        }
    });
    of("expand_dims", &|c| {
        for axis in [0, -1, 1] {
            c.add(&[&[3]], move |x| x[0].expand_dims(axis));
        }
        c.add(&[&[]], |x| x[0].expand_dims(0));
    });
    of("squeeze", &|c| {
        c.add(&[&[1, 3, 1]], |x| x[0].squeeze(0));
        c.add(&[&[1, 3, 1]], |x| x[0].squeeze(-1));
        c.add(&[&[1, 3, 1]], |x| Var::apply("squeeze", x, with("axis", vec![0, 2])));
        c.add(&[&[1]], |x| x[0].squeeze(0));
    });
    of("concatenate", &|c| {
        for axis in [0, -1] {
            let join = move |x: &[Var]| Var::apply("concatenate", x, with("axis", axis));
            c.add(&[&[2, 2], &[2, 2], &[2, 2]], join);
            c.add(&[&[3]], join);
        }
        c.add(&[&[2, 1], &[2, 0], &[2, 4]], |x| Var::apply("concatenate", x, with("axis", 1)));
    });
    of("stack", &|c| {
        for axis in [0, 1, -1] {
            c.add(&[&[2, 3], &[2, 3]], move |x| Var::apply("stack", x, with("axis", axis)));
        }
        c.add(&[&[], &[], &[]], |x| Var::apply("stack", x, with("axis", 0)));
        c.add(&[&[0]], |x| Var::apply("stack", x, with("axis", 0)));
    });
    of("flip", &|c| {
        for axis in [Attribute::None, Attribute::Int(0), Attribute::Int(-1), Attribute::from(vec![1, 0])] {
            c.add(&[&[2, 3]], move |x| Var::apply("flip", x, with("axis", axis.clone())));
        }
        ONE.iter().for_each(|&shape| c.add(&[shape], |x| apply("flip", x)));
    });
    of("flatten", &|c| ONE.iter().for_each(|&shape| c.add(&[shape], |x| x[0].flatten())));
    of("swapaxes", &|c| {
        c.add(&[&[2, 3, 4]], |x| x[0].swapaxes(0, -1));
        c.add(&[&[2, 3]], |x| x[0].swapaxes(1, 1));
    });
}

pub(super) fn parts(of: Of<'_>) {
    let all = |op: &'static str, attributes: Attributes| move |x: &[Var]| results(op, x, attributes.clone());
    for op in ["split", "array_split"] {
        of(op, &|c| {
            let cut = |by: Attribute| with("indices_or_sections", by).with("axis", -1);
            c.add(&[&[2, 6]], all(op, cut(Attribute::Int(3))));
            c.add(&[&[7]], all(op, cut(Attribute::from(vec![1, 4]))));
        });
    }
    of("array_split", &|c| c.add(&[&[7]], all("array_split", with("indices_or_sections", 3))));
    of("tile", &|c| {
        for (shape, reps) in [(&[3][..], &[2][..]), (&[2, 3], &[2, 1]), (&[2], &[2, 3]), (&[], &[2]), (&[2, 3], &[0, 1])] {
            c.add(&[shape], move |x| x[0].tile(reps));
        }
    });
    of("repeat", &|c| {
        for axis in [None, Some(0), Some(-1)] {
            c.add(&[&[2, 3]], move |x| x[0].repeat(&Var::scalar(2i64), axis));
        }
        for counts in [&[2, 0, 1][..], &[3]] {
            let counts = integers(counts);
            c.add(&[&[2, 3]], move |x| x[0].repeat(&Var::constant(counts.clone()), Some(1)));
        }
    });
    of("roll", &|c| {
        for axis in [None, Some(0), Some(-1)] {
            c.add(&[&[2, 3]], move |x| x[0].roll(-4, axis));
        }
        c.add(&[&[0]], |x| x[0].roll(1, None));
    });
    of("moveaxis", &|c| c.add(&[&[2, 3, 4]], |x| x[0].moveaxis(0, -1)));
    for op in ["atleast_1d", "atleast_2d", "atleast_3d", "ravel"] {
        of(op, &|c| [&[][..], &[2], &[2, 3]].iter().for_each(|&shape| c.add(&[shape], all(op, Attributes::new()))));
    }
    for op in ["hstack", "vstack", "dstack", "column_stack"] {
        of(op, &|c| [&[3][..], &[2, 3]].iter().for_each(|&shape| c.add(&[shape, shape], move |x| apply(op, x))));
    }
    of("broadcast_arrays", &|c| c.add(&[&[2, 3], &[2, 1], &[]], all("broadcast_arrays", Attributes::new())));
    of("meshgrid", &|c| {
        for indexing in ["xy", "ij"] {
            c.add(&[&[2], &[3], &[2]], all("meshgrid", with("indexing", indexing)));
        }
    });
    of("specify_shape", &|c| c.add(&[&[2, 3]], |x| x[0].specify_shape(&[2, -1])));
    of("pad", &|c| {
        for mode in ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean", "maximum", "minimum"] {
            let widths = Tensor::from_vec(vec![1i64, 2, 0, 3], &[2, 2]).unwrap();
            c.add(&[&[2, 3]], move |x| Var::apply("pad", &[x[0].clone(), Var::constant(widths.clone())], with("mode", mode)));
        }
        c.add(&[&[3], &[]], |x| apply("pad", &[x[0].clone(), Var::scalar(2i64), x[1].clone()]));
    });
}

pub(super) fn diagonals(of: Of<'_>) {
    for op in ["tril", "triu", "diag"] {
        of(op, &|c| {
            for k in [0, 1, -2] {
                [&[3][..], &[3, 3], &[2, 4]].iter().for_each(|&shape| c.add(&[shape], move |x| Var::apply(op, x, with("k", k))));
            }
        });
    }
    of("diagonal", &|c| {
        c.add(&[&[2, 3, 4]], |x| x[0].diagonal(1, 0, 2));
        c.add(&[&[2, 3, 4]], |x| x[0].diagonal(-1, -1, 1));
    });
    of("fill_diagonal", &|c| {
        for (x, value) in [(&[3, 2][..], &[][..]), (&[2, 3], &[2]), (&[2, 2, 2], &[2])] {
            c.add(&[x, value], |x| apply("fill_diagonal", x));
        }
    });
    of("fill_diagonal_offset", &|c| c.add(&[&[3, 3], &[]], |x| Var::apply("fill_diagonal_offset", x, with("offset", 1))));
}

pub(super) fn spaced(of: Of<'_>) {
    let num = |x: &[Var]| [x, &[Var::scalar(4i64)]].concat();
    for op in ["linspace", "logspace", "geomspace"] {
        of(op, &|c| {
            for endpoint in [true, false] {
                c.within((0.5, 2.0), &[&[], &[2]], move |x| Var::apply(op, &num(x), with("endpoint", endpoint)));
            }
        });
    }
    of("full_like", &|c| {
        let like = || Var::constant(integers(&[1, 2, 3]));
        c.add(&[&[]], move |x| Var::apply("full_like", &[like(), x[0].clone()], with("dtype", DType::F64)));
    });
}

pub(super) fn forms(of: Of<'_>) {
    for op in ["shape_padleft", "shape_padright", "join_dims", "nonzero_values"] {
        of(op, &|c| c.add(&[&[2, 3]], move |x| apply(op, x)));
    }
    of("shape_padaxis", &|c| c.add(&[&[2, 3]], |x| Var::apply("shape_padaxis", x, with("axis", 1i64))));
    of("atleast_Nd", &|c| c.add(&[&[2, 3]], |x| Var::apply("atleast_Nd", x, with("n", 4i64))));
    of("split_dims", &|c| c.add(&[&[6, 3]], |x| apply("split_dims", &[x[0].clone(), Var::constant(Tensor::vector(vec![2i64, -1]))])));
    of("pack", &|c| {
        c.add(&[&[2, 3], &[], &[2]], |x| apply("pack", x));
        c.add(&[&[2, 3, 2], &[2, 2]], |x| Var::apply("pack", x, with("axes", vec![0i64, -1])));
    });
    of("unpack", &|c| {
        let lengths = |lengths: &[i64]| Var::constant(integers(lengths));
        c.add(&[&[9]], move |x| results("unpack", &[x[0].clone(), lengths(&[2, 3]), lengths(&[]), lengths(&[2])], Attributes::new()));
        c.add(&[&[2, 5]], move |x| Var::apply("unpack", &[x[0].clone(), lengths(&[3]), lengths(&[1, 2])], with("axes", 0i64)).sibling(1));
    });
    of("concat_with_broadcast", &|c| c.add(&[&[2, 3], &[1, 2]], |x| Var::apply("concat_with_broadcast", x, with("axis", 1i64))));
    of("mgrid", &|c| c.add(&[&[2], &[3]], |x| apply("mgrid", x)));
    of("ogrid", &|c| c.add(&[&[2], &[3]], |x| {
        let open = results("ogrid", x, Attributes::new());
        open.sin()
    }));
    let order = || Var::constant(Tensor::from_vec(vec![2i64, 0, 1, 0, 2, 1], &[2, 3]).unwrap());
    of("permute_row_elements", &|c| c.add(&[&[2, 3]], move |x| apply("permute_row_elements", &[x[0].clone(), order()])));
    of("interpolate1d", &|c| {
        let (at, places) = ([-1.5, 0.2, 0.7, 1.1, 3.5], [-1.0, 0.0, 0.5, 2.0]);
        let (at, places) = (Tensor::vector(at.to_vec()), Tensor::vector(places.to_vec()));
        let values = || spread(&[4], (-2.0, 2.0), 0);
        c.at(vec![at.clone(), places.clone(), values()], |x| apply("interpolate1d", x));
        for method in ["nearest", "first", "last", "mean"] {
            // Between places the value is constant.
            let fixed = [&at, &places].map(|tensor| Var::constant(tensor.clone()));
            c.at(vec![values()], move |x| Var::apply("interpolate1d", &[&fixed, x].concat(), with("method", method)));
        }
    });
    of("nanmedian", &|c| c.add(&[&[2, 5]], |x| Var::apply("nanmedian", x, with("axis", 1i64))));
}

fn items() -> Vec<(Vec<IndexItem>, Vec<Tensor>)> {
    let slice = |start: Option<i64>, stop: Option<i64>, step| {
        let end = |end: Option<i64>| end.map_or(IndexBound::Open, IndexBound::At);
        IndexItem::Slice { start: end(start), stop: end(stop), step }
    };
    let dynamic = IndexItem::Slice { start: IndexBound::Operand(0), stop: IndexBound::Open, step: 1 };
    let operand = IndexItem::Operand;
    let mask = Tensor::vector(vec![true, false, true]);
    vec![
        (vec![IndexItem::At(-1)], vec![]),
        (vec![IndexItem::At(0), IndexItem::At(1)], vec![]),
        (vec![slice(Some(1), None, 1), IndexItem::NewAxis], vec![]),
        (vec![IndexItem::Ellipsis, slice(None, None, -2)], vec![]),
        (vec![slice(Some(3), None, 1)], vec![]),
        (vec![dynamic], vec![Tensor::scalar(1i64)]),
        (vec![operand(0)], vec![Tensor::scalar(2i64)]),
        (vec![operand(0)], vec![integers(&[2, 0])]),
        (vec![operand(0)], vec![integers(&[2, 0, 2, -1])]),
        (vec![operand(0)], vec![integers(&[])]),
        (vec![operand(0), operand(1)], vec![integers(&[0, 2, 0]), integers(&[1, 0, 1])]),
        (vec![slice(None, Some(2), 1), operand(0)], vec![Tensor::from_vec(vec![0i64, 1, 1, 0], &[2, 2]).unwrap()]),
        (vec![operand(0)], vec![mask.clone()]),
        (vec![operand(0), IndexItem::At(0)], vec![mask]),
    ]
}

pub(super) fn indices(of: Of<'_>) {
    let x = || spread(&[3, 2], (-2.0, 2.0), 0);
    let attributes = |items: Vec<IndexItem>| with("index", Attribute::Index(items));
    of("index", &|c| {
        for (items, operands) in items() {
            let attributes = attributes(items);
            c.at([vec![x()], operands].concat(), move |x| Var::apply("index", x, attributes.clone()));
        }
    });
    for op in ["set_at", "add_at"] {
        of(op, &|c| {
            for (items, operands) in items() {
                // A scalar for every place, and one value for each.
                let all = Var::constant(x()).index(items.clone(), &operands.iter().cloned().map(Var::constant).collect::<Vec<_>>());
                let full = all.ty().unwrap().known_shape();
                let full = full.unwrap_or_else(|| panic!("{:?}", all.ty()));
                for shape in [&[][..], full.as_slice()] {
                    let attributes = attributes(items.clone());
                    let point = [vec![x(), spread(shape, (-2.0, 2.0), 1)], operands.clone()].concat();
                    c.at(point, move |x| Var::apply(op, x, attributes.clone()));
                }
            }
        });
    }
    let places = || integers(&[2, 0, 1, 1]);
    of("take_along_axis", &|c| {
        let rows = Tensor::from_vec(vec![2i64, 0, 1, 1], &[2, 2]).unwrap();
        c.at(vec![x(), rows], |x| x[0].take_along_axis(&x[1], 0));
        c.add(&[&[2, 2]], move |x| Var::apply("take_along_axis", &[x[0].clone(), Var::constant(places())], with("axis", Attribute::None)));
    });
    of("put_along_axis", &|c| {
        let rows = || Var::constant(Tensor::from_vec(vec![2i64, 0, 1, 1], &[2, 2]).unwrap());
        for values in [&[][..], &[2, 2]] {
            c.add(&[&[3, 2], values], move |x| x[0].put_along_axis(&rows(), &x[1], 0));
        }
    });
    of("put", &|c| c.add(&[&[3, 2], &[4]], move |x| apply("put", &[x[0].clone(), Var::constant(places()), x[1].clone()])));
    let flags = || Var::constant(Tensor::vector(vec![true, false, true]));
    of("compress", &|c| c.add(&[&[3, 2]], move |x| Var::apply("compress", &[flags(), x[0].clone()], with("axis", 0))));
    of("extract", &|c| c.add(&[&[3]], move |x| apply("extract", &[flags(), x[0].clone()])));
    of("choose", &|c| {
        c.add(&[&[3], &[2, 1]], |x| apply("choose", &[Var::constant(integers(&[1, 0, 1])), x[0].clone(), x[1].clone()]));
    });
    of("select", &|c| {
        c.add(&[&[3], &[3]], move |x| apply("select", &[flags(), flags().logical_not(), x[0].clone(), x[1].square()]));
    });
    of("take", &|c| {
        for mode in ["wrap", "clip"] {
            c.at(vec![x(), integers(&[-4, 1, 7])], move |x| Var::apply("take", x, with("axis", 0).with("mode", mode)));
        }
        let places = Tensor::from_vec(vec![1i64, 0, 1, -1], &[2, 2]).unwrap();
        for axis in [Attribute::None, Attribute::Int(0), Attribute::Int(-1)] {
            for indices in [places.clone(), Tensor::scalar(1i64), integers(&[])] {
                let attributes = with("axis", axis.clone());
                c.at(vec![x(), indices], move |x| Var::apply("take", x, attributes.clone()));
            }
        }
    });
}
