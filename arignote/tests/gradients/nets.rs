//! Cases of neural nets, signals and images.

use super::*;

pub(super) fn networks(of: Of<'_>) {
    for op in ["softmax", "log_softmax"] {
        of(op, &|c| {
            for axis in [0, -1] {
                for shape in [&[3][..], &[2, 3], &[1], &[2, 3, 2], &[0, 3], &[3, 0]] {
                    c.add(&[shape], move |x| Var::apply(op, x, with("axis", axis)));
                }
            }
        });
    }
    of("cross_entropy", &|c| {
        c.at(vec![spread(&[2, 4], (-2.0, 2.0), 0), integers(&[3, 0])], |x| x[0].cross_entropy(&x[1]));
        c.at(vec![spread(&[4], (-2.0, 2.0), 0), Tensor::scalar(2i64)], |x| x[0].cross_entropy(&x[1]));
        c.at(vec![spread(&[0, 4], (-2.0, 2.0), 0), integers(&[])], |x| x[0].cross_entropy(&x[1]));
        let labels = Tensor::from_vec(vec![0u8, 1, 2, 0, 1, 2], &[3, 2]).unwrap();
        c.at(vec![spread(&[3, 2, 3], (-2.0, 2.0), 0), labels], |x| x[0].cross_entropy(&x[1]));
    });
    of("cross_entropy_with_gradient", &|c| {
        // The losses alone do not depend on the weights.
        let case = |x: &[Var]| match Var::apply("cross_entropy_with_gradient", x, Attributes::new()).siblings().as_slice() {
            [losses, gradient] => losses.expand_dims(-1) + gradient,
            others => others[0].clone(),
        };
        c.at(vec![spread(&[2, 4], (-2.0, 2.0), 0), integers(&[3, 0]), spread(&[2], (-2.0, 2.0), 1)], case);
        c.at(vec![spread(&[0, 4], (-2.0, 2.0), 0), integers(&[]), spread(&[0], (-2.0, 2.0), 1)], case);
    });
    convolutions(of);
    pools(of);
    normalizations(of);
    transforms(of);
    let probabilities = (0.2, 0.8);
    for op in ["softmax_cross_entropy", "categorical_crossentropy", "binary_crossentropy", "sigmoid_binary_crossentropy", "kl_divergence"] {
        of(op, &|c| {
            for shape in [&[3][..], &[2, 3], &[0, 3]] {
                c.within(probabilities, &[shape, shape], move |x| apply(op, x));
            }
        });
    }
    of("categorical_crossentropy", &|c| {
        c.at(vec![spread(&[2, 3], probabilities, 0), integers(&[2, 0])], |x| apply("categorical_crossentropy", x));
    });
    of("huber_loss", &|c| {
        c.add(&[&[2, 3], &[3]], |x| Var::apply("huber_loss", x, with("delta", 5.0)));
        c.within((1.0, 2.0), &[&[2, 3], &[]], |x| Var::apply("huber_loss", &[&x[0] + 3.0, x[1].clone()], with("delta", 0.5)));
    });
    for op in ["leaky_relu", "relu6", "hard_tanh", "hard_swish", "mish", "celu"] {
        of(op, &|c| {
            for &shape in ONE {
                c.within((0.2, 0.9), &[shape], move |x| apply(op, x));
            }
            c.within((-0.9, -0.2), &[&[3]], move |x| apply(op, x));
        });
    }
    of("prelu", &|c| {
        c.within((0.2, 0.9), &[&[2, 3], &[3]], |x| apply("prelu", x));
        c.within((-0.9, -0.2), &[&[2, 3], &[3]], |x| apply("prelu", x));
    });
    of("glu", &|c| {
        c.add(&[&[3, 4]], |x| apply("glu", x));
        c.add(&[&[2, 0]], |x| Var::apply("glu", x, with("axis", 0)));
    });
    of("dropout", &|c| {
        let key = || Var::constant(Tensor::vector(vec![3u64, 4]));
        c.add(&[&[3, 4]], move |x| Var::apply("dropout", &[x[0].clone(), key()], with("rate", 0.3)));
    });
    of("embedding", &|c| {
        c.at(vec![integers(&[1, 0, 1]), spread(&[2, 3], (-2.0, 2.0), 0)], |x| apply("embedding", x));
    });
}

fn convolutions(of: Of<'_>) {
    let ones = |list: &[i64]| with("stride", list.to_vec());
    for op in ["conv1d", "conv_transpose1d"] {
        of(op, &|c| {
            let kernel: &[usize] = if op == "conv1d" { &[4, 1, 3] } else { &[2, 2, 3] };
            for attributes in [with("stride", 1), with("stride", 2).with("padding", 1), with("padding", "full").with("dilation", 2), with("padding", "same").with("stride", 2)] {
                let attributes = attributes.with("groups", 2);
                c.add(&[&[2, 2, 5], kernel], move |x| Var::apply(op, x, attributes.clone()));
            }
        });
    }
    of("unshared_conv2d", &|c| {
        c.add(&[&[1, 2, 3, 3], &[2, 2, 2, 1, 2, 2]], move |x| Var::apply("unshared_conv2d", x, with("groups", 2).with("flip", true)));
    });
    of("h_softmax", &|c| {
        let shapes: [&[usize]; 5] = [&[3, 2], &[2, 3], &[3], &[3, 2, 2], &[3, 2]];
        c.add(&shapes, |x| apply("h_softmax", x));
        c.add(&shapes, |x| apply("h_softmax", &[x, &[Var::constant(Tensor::vector(vec![5i64, 0, 3]))]].concat()));
    });
    of("conv2d", &|c| {
        c.add(&[&[1, 2, 3, 4], &[2, 2, 2, 3]], move |x| Var::apply("conv2d", x, ones(&[2, 1]).with("padding", 1)));
    });
    of("conv3d", &|c| c.add(&[&[1, 1, 2, 3, 2], &[1, 1, 2, 2, 1]], |x| apply("conv3d", x)));
    // Of x, w and the cotangent g of their convolution: the gradients look at the shape alone of their own operand.
    let rows: [(&'static str, &'static str, [&'static [usize]; 3]); 3] = [
        ("conv1d_input_gradient", "conv1d_weight_gradient", [&[2, 2, 5], &[4, 1, 3], &[2, 4, 3]]),
        ("conv2d_input_gradient", "conv2d_weight_gradient", [&[1, 2, 3, 4], &[2, 1, 2, 3], &[1, 2, 2, 2]]),
        ("conv3d_input_gradient", "conv3d_weight_gradient", [&[1, 2, 2, 3, 2], &[2, 1, 2, 2, 1], &[1, 2, 1, 2, 2]]),
    ];
    for (of_input, of_weights, [x, w, g]) in rows {
        let like = |shape: &[usize]| Var::constant(Tensor::zeros(DType::F64, shape));
        of(of_input, &|c| {
            let x = like(x);
            c.add(&[w, g], move |v| Var::apply(of_input, &[x.clone(), v[0].clone(), v[1].clone()], with("groups", 2).with("flip", true)));
        });
        of(of_weights, &|c| {
            let w = like(w);
            c.add(&[x, g], move |v| Var::apply(of_weights, &[v[0].clone(), w.clone(), v[1].clone()], with("groups", 2).with("flip", true)));
        });
    }
    of("conv_transpose2d", &|c| {
        c.add(&[&[1, 2, 2, 2], &[2, 1, 2, 3]], move |x| Var::apply("conv_transpose2d", x, ones(&[2, 1]).with("padding", 1).with("output_padding", vec![1, 0])));
    });
    of("conv_transpose3d", &|c| c.add(&[&[1, 1, 1, 2, 2], &[1, 1, 2, 1, 2]], |x| apply("conv_transpose3d", x)));
}

fn pools(of: Of<'_>) {
    let rows: [(&'static str, &'static [usize]); 9] = [
        ("max_pool1d", &[2, 7]), ("sum_pool1d", &[2, 7]), ("avg_pool1d", &[2, 7]),
        ("max_pool2d", &[2, 4, 3]), ("sum_pool2d", &[2, 4, 3]), ("avg_pool2d", &[2, 4, 3]),
        ("max_pool3d", &[2, 3, 2]), ("sum_pool3d", &[2, 3, 2]), ("avg_pool3d", &[2, 3, 2]),
    ];
    for (op, shape) in rows {
        of(op, &|c| {
            c.add(&[shape], move |x| Var::apply(op, x, with("window", 2).with("stride", 1)));
            let overlapping = || with("window", 2).with("padding", 1).with("ceil_mode", true);
            c.add(&[shape], move |x| Var::apply(op, x, overlapping()));
            if op.starts_with("avg") {
                c.add(&[shape], move |x| Var::apply(op, x, overlapping().with("count_include_pad", false)));
            }
        });
    }
    // They are linear in their second operand, and of the first it is the largest elements that matter, or the shape.
    let gradients: [(&'static str, [&'static [usize]; 2]); 9] = [
        ("max_pool1d_gradient", [&[2, 7], &[2, 4]]), ("sum_pool1d_gradient", [&[2, 7], &[2, 4]]), ("avg_pool1d_gradient", [&[2, 7], &[2, 4]]),
        ("max_pool2d_gradient", [&[4, 3], &[3, 2]]), ("sum_pool2d_gradient", [&[4, 3], &[3, 2]]), ("avg_pool2d_gradient", [&[4, 3], &[3, 2]]),
        ("max_pool3d_gradient", [&[3, 2, 1], &[2, 2, 1]]), ("sum_pool3d_gradient", [&[3, 2, 1], &[2, 2, 1]]),
        ("avg_pool3d_gradient", [&[3, 2, 1], &[2, 2, 1]]),
    ];
    for (op, [x, g]) in gradients {
        of(op, &|c| {
            let x = Var::constant(spread(x, (-2.0, 2.0), 5));
            c.add(&[g], move |v| Var::apply(op, &[x.clone(), v[0].clone()], with("window", 2).with("padding", 1)));
        });
    }
    for (op, shape) in [("max_pool1d_tangent", &[2, 7][..]), ("max_pool2d_tangent", &[4, 3]), ("max_pool3d_tangent", &[3, 2, 1])] {
        of(op, &|c| {
            let x = Var::constant(spread(shape, (-2.0, 2.0), 5));
            c.add(&[shape], move |v| Var::apply(op, &[x.clone(), v[0].clone()], with("window", 2).with("padding", 1)));
        });
    }
}

fn normalizations(of: Of<'_>) {
    for (op, attributes) in [
        ("batch_norm", with("epsilon", 0.1)),
        ("layer_norm", with("axis", 1)),
        ("instance_norm", with("epsilon", 0.1)),
        ("group_norm", with("groups", 2)),
    ] {
        of(op, &|c| {
            let (own, more) = (attributes.clone(), attributes.clone());
            c.add(&[&[2, 4, 3]], move |x| Var::apply(op, x, own.clone()));
            c.add(&[&[2, 4, 3], &[4], &[4]], move |x| Var::apply(op, x, more.clone()));
        });
    }
    of("rms_norm", &|c| c.add(&[&[2, 3], &[3]], |x| apply("rms_norm", x)));
    of("batch_norm_inference", &|c| {
        c.within((0.4, 2.5), &[&[2, 3, 2], &[3], &[3], &[3], &[3]], |x| apply("batch_norm_inference", x));
    });
}

fn transforms(of: Of<'_>) {
    of("complex_dft", &|c| {
        c.add(&[&[3, 2]], |x| apply("complex_dft", x));
        c.add(&[&[4, 3, 2]], |x| Var::apply("complex_dft", x, with("axis", 0).with("inverse", true)));
    });
    for op in ["fft", "ifft", "irfft"] {
        of(op, &|c| {
            for attributes in [with("norm", "ortho"), with("n", 5), with("axis", vec![1, 0])] {
                // The last axis of complex values has length 2 whatever else is not known.
                c.add(&[&[3, 4, 2]], move |x| Var::apply(op, &[x[0].specify_shape(&[-1, -1, 2])], attributes.clone()));
            }
        });
    }
    of("rfft", &|c| {
        for attributes in [with("norm", "forward"), with("n", 6), with("n", 3), with("axis", vec![1, 0])] {
            c.add(&[&[3, 5]], move |x| Var::apply("rfft", x, attributes.clone()));
        }
    });
}

/// Indices with the number of integer or bool operands that they refer to, and whether a place occurs
/// twice.
pub(super) fn signals(of: Of<'_>) {
    for op in ["convolve", "convolve1d", "correlate", "convolve2d"] {
        of(op, &|c| {
            for mode in ["full", "same", "valid"] {
                let shapes: &[&[usize]] = if op == "convolve2d" { &[&[3, 4], &[2, 3]] } else { &[&[5], &[2]] };
                c.add(shapes, move |x| Var::apply(op, x, with("mode", mode)));
            }
        });
    }
    for op in ["fftshift", "ifftshift"] {
        of(op, &|c| c.add(&[&[5, 2]], move |x| apply(op, x)));
    }
}

pub(super) fn images(of: Of<'_>) {
    let pair = |sizes: [i64; 2]| with("neib_shape", sizes.to_vec());
    of("separable_conv2d", &|c| c.add(&[&[1, 2, 3, 3], &[4, 1, 2, 2], &[2, 4, 1, 1]], |x| apply("separable_conv2d", x)));
    of("separable_conv3d", &|c| c.add(&[&[1, 2, 2, 2, 3], &[2, 1, 1, 2, 2], &[1, 2, 1, 1, 1]], |x| apply("separable_conv3d", x)));
    of("causal_conv1d", &|c| c.add(&[&[2, 2, 4], &[1, 2, 2]], |x| Var::apply("causal_conv1d", x, with("dilation", 2i64))));
    of("bilinear_upsampling", &|c| c.add(&[&[1, 2, 2, 3]], |x| Var::apply("bilinear_upsampling", x, with("ratio", 2i64))));
    of("frac_bilinear_upsampling", &|c| {
        let ratios = Attribute::List(vec![vec![3i64, 2].into(), vec![4i64, 3].into()]);
        c.add(&[&[1, 2, 2, 3]], move |x| Var::apply("frac_bilinear_upsampling", x, with("frac_ratio", ratios.clone())));
    });
    of("max_pool_2d_same_size", &|c| {
        c.add(&[&[1, 2, 3, 4]], |x| Var::apply("max_pool_2d_same_size", x, with("patch_size", vec![2i64, 3])));
    });
    of("images2neibs", &|c| c.add(&[&[1, 2, 2, 4]], move |x| Var::apply("images2neibs", x, pair([2, 2]))));
    of("neibs2images", &|c| {
        let shape = || Var::constant(Tensor::vector(vec![1i64, 2, 2, 4]));
        c.add(&[&[4, 4]], move |x| Var::apply("neibs2images", &[x[0].clone(), shape()], pair([2, 2])));
    });
}
