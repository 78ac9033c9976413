//! Tensors of any rank: burn has the rank in the type.

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

/// An input, a state or a result.
#[derive(Clone)]
pub enum Value {
    F1(Tensor<1>),
    F2(Tensor<2>),
    F3(Tensor<3>),
    F4(Tensor<4>),
    Int(Tensor<1, Int>),
    Bool(Tensor<1, Bool>),
    /// Contiguous memory, for what burn's tensors do not promise.
    Data(TensorData),
}

/// A kind of tensor that values can be.
pub trait Kind: Sized {
    fn of(value: &Value) -> Option<Self>;
}

macro_rules! kinds {
    ($($variant:ident: $kind:ty,)*) => {
        $(
            impl Kind for $kind {
                fn of(value: &Value) -> Option<Self> {
                    match value {
                        Value::$variant(tensor) => Some(tensor.clone()),
                        _ => None,
                    }
                }
            }
            impl From<$kind> for Value {
                fn from(tensor: $kind) -> Value {
                    Value::$variant(tensor)
                }
            }
        )*
    };
}

kinds! {
    F1: Tensor<1>,
    F2: Tensor<2>,
    F3: Tensor<3>,
    F4: Tensor<4>,
    Int: Tensor<1, Int>,
    Bool: Tensor<1, Bool>,
    Data: TensorData,
}

impl Value {
    /// A tensor of floating-point numbers.
    pub fn load(data: TensorData, options: (&Device, DType)) -> Result<Value, String> {
        Ok(match data.shape().len() {
            1 => Value::F1(Tensor::from_data(data, options)),
            2 => Value::F2(Tensor::from_data(data, options)),
            3 => Value::F3(Tensor::from_data(data, options)),
            4 => Value::F4(Tensor::from_data(data, options)),
            rank => return Err(format!("no workload has inputs of {rank} axes")),
        })
    }

    /// The lengths of the axes and the numbers.
    pub fn unload(self) -> Result<(Vec<usize>, Vec<f64>), String> {
        let data = match self {
            Value::F1(tensor) => tensor.into_data(),
            Value::F2(tensor) => tensor.into_data(),
            Value::F3(tensor) => tensor.into_data(),
            Value::F4(tensor) => tensor.into_data(),
            Value::Int(tensor) => tensor.into_data(),
            Value::Bool(tensor) => tensor.int().into_data(),
            Value::Data(data) => data,
        };
        let shape = data.shape().to_vec();
        Ok((shape, data.iter::<f64>().collect()))
    }
}
