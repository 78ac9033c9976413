//! Plans by the signature of a call: the arguments' dtypes and shapes, and which of them may be overwritten.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use arignote_core::Result;
use arignote_core::plugin::Argument;
use arignote_core::tensor::{DType, Shape, Tensor};

use crate::plan::Plan;

/// Signatures that are remembered at most.
const PLANS: usize = 1024;

/// What a plan depends on, beside the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The shape of each argument.
    pub shapes: Vec<Shape>,
    /// Whether it may be overwritten.
    pub donated: Vec<bool>,
}

/// The plans of a program. That of the last call is found without a hash and without an allocation.
#[derive(Default)]
pub struct Plans {
    last: RwLock<Option<Arc<Last>>>,
    all: RwLock<HashMap<Signature, Option<Arc<Plan>>>>,
}

struct Last {
    signature: Signature,
    dtypes: Vec<DType>,
    plan: Arc<Plan>,
}

impl Plans {
    /// The plan of the last call if these arguments have its signature, which were then checked as these need not
    /// be.
    pub fn same(&self, arguments: &[Argument]) -> Option<Arc<Plan>> {
        self.last_of(arguments.iter().map(|argument| (argument.tensor.dtype, argument.tensor.shape.as_slice(), argument.donated)))
    }

    /// The same for tensors that are only read.
    pub fn same_of_tensors(&self, arguments: &[&Tensor]) -> Option<Arc<Plan>> {
        self.last_of(arguments.iter().map(|tensor| (tensor.dtype(), tensor.shape(), false)))
    }

    fn last_of<'a>(&self, arguments: impl ExactSizeIterator<Item = (DType, &'a [usize], bool)>) -> Option<Arc<Plan>> {
        let last = self.last.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let last = last.as_ref()?;
        let Signature { shapes, donated } = &last.signature;
        let alike = arguments.len() == shapes.len()
            && arguments.zip(shapes).zip(donated).zip(&last.dtypes).all(|((((dtype, shape, may), expected), donated), of)| {
                dtype == *of && shape == expected.as_slice() && may == *donated
            });
        alike.then(|| last.plan.clone())
    }

    /// The plan of a signature (`None` where shapes depend on values), and the last one from now on.
    ///
    /// # Errors
    /// Those of `make`, which is called for a signature that is not known.
    pub fn of(&self, signature: Signature, dtypes: Vec<DType>, make: impl FnOnce(&Signature) -> Result<Option<Plan>>) -> Result<Option<Arc<Plan>>> {
        let plan = self.get(&signature, make)?;
        if let Some(plan) = &plan {
            let last = Arc::new(Last { signature, dtypes, plan: plan.clone() });
            *self.last.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(last);
        }
        Ok(plan)
    }

    /// The plan of a signature.
    ///
    /// # Errors
    /// As [`Plans::of`].
    pub fn get(&self, signature: &Signature, make: impl FnOnce(&Signature) -> Result<Option<Plan>>) -> Result<Option<Arc<Plan>>> {
        if let Some(plan) = self.all.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(signature) {
            return Ok(plan.clone());
        }
        let plan = make(signature)?.map(Arc::new);
        let mut all = self.all.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if all.len() >= PLANS {
            all.clear();
        }
        all.insert(signature.clone(), plan.clone());
        Ok(plan)
    }

    /// All plans so far.
    pub fn all(&self) -> Vec<Arc<Plan>> {
        self.all.read().unwrap_or_else(|poisoned| poisoned.into_inner()).values().flatten().cloned().collect()
    }

    /// What `show` makes of each, sorted.
    pub fn texts(&self, show: impl Fn(&Signature, Option<&Plan>) -> String) -> Vec<String> {
        let all = self.all.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut texts: Vec<String> = all.iter().map(|(signature, plan)| show(signature, plan.as_deref())).collect();
        texts.sort();
        texts
    }
}
