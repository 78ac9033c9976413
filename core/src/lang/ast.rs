//! The syntax tree.
//!
//! Expressions refer to one another by [`ExprId`] into [`File::exprs`]; an expression always comes
//! after its parts. Names are spans of the source, so a tree of a million statements makes no
//! million strings.

use super::source::{Source, Span};

/// A parsed file.
#[derive(Clone, Debug)]
pub struct File {
    /// The text that it was parsed from.
    pub source: Source,
    /// All expressions; parts come before what they are part of.
    pub exprs: Vec<Expr>,
    /// Functions and rules, in order.
    pub items: Vec<Item>,
}

impl File {
    /// The expression with this id.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    /// The text of a name.
    pub fn name(&self, name: Name) -> &str {
        self.source.slice(name.span)
    }

    /// The functions, in order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.items.iter().filter_map(|item| match item {
            Item::Function(f) => Some(f),
            Item::Rule(_) => None,
        })
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.items.iter().filter_map(|item| match item {
            Item::Rule(r) => Some(r),
            Item::Function(_) => None,
        })
    }
}

/// A top-level item.
#[derive(Clone, Debug)]
pub enum Item {
    /// `fn name(...) {...}`
    Function(Function),
    /// `rule name [tags]: lhs => rhs where ...`
    Rule(Rule),
}

/// A name, as a place in the source; [`File::name`] gives its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Where it stands. For an attribute variable without its `$`.
    pub span: Span,
}

/// Refers to an expression of the same [`File`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExprId(pub u32);

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its statements. The last is a `return`, unless there is none.
    pub body: Vec<Stmt>,
    /// From `fn` to `}`.
    pub span: Span,
}

/// `name: type = default`, or without the type for a value of any dtype and rank.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Its type, if it has one.
    pub ty: Option<Type>,
    /// The value it takes where none is given.
    pub default: Option<ExprId>,
}

/// `f32[n, 64, ?]`
#[derive(Clone, Debug)]
pub struct Type {
    /// A word of [`DTYPES`](super::DTYPES).
    pub dtype: Name,
    /// The dims.
    pub dims: Vec<Dim>,
    /// The whole type.
    pub span: Span,
}

/// One dim of a [`Type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number.
    Known(u64),
    /// A name: equal names are equal sizes.
    Named(Name),
    /// `?`
    Unknown,
}

/// A rewrite rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// Its tags.
    pub tags: Vec<Name>,
    /// What it matches.
    pub lhs: ExprId,
    /// What it puts there.
    pub rhs: ExprId,
    /// The conditions after `where`, each a call.
    pub conditions: Vec<ExprId>,
    /// The whole rule.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// What it does.
    pub kind: StmtKind,
    /// The whole statement.
    pub span: Span,
}

/// What a statement does.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `state name: type = init`
    State {
        /// The state variable.
        name: Name,
        /// Its type.
        ty: Type,
        /// Its first value.
        init: ExprId,
    },
    /// `name <- value`
    Update {
        /// The state variable.
        name: Name,
        /// Its next value.
        value: ExprId,
    },
    /// `a, b = value`
    Assign {
        /// The names bound, at least one.
        targets: Vec<Name>,
        /// The value; it has as many results as there are names.
        value: ExprId,
    },
    /// `return a, loss=b`
    Return(Vec<Output>),
    /// `yield a, b`, in a `scan`
    Yield(Vec<ExprId>),
    /// `until condition`, in a `scan`
    Until(ExprId),
}

/// One value of a `return`.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// The name it was given.
    pub name: Option<Name>,
    /// The value.
    pub value: ExprId,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// An integer literal.
    Int(u64),
    /// A literal with a point or exponent, `inf` or `nan`.
    Float(f64),
    /// `2.5j`
    Imaginary(f64),
    /// `true` or `false`
    Bool(bool),
    /// `"..."`, without its escapes.
    Str(Box<str>),
    /// `None`
    None,
    /// A dtype as a value: `f32`.
    Dtype(Name),
    /// `f32(2.5)`: a constant with a dtype of its own.
    Typed {
        /// The dtype.
        dtype: Name,
        /// A literal.
        value: ExprId,
    },
    /// A name.
    Name(Name),
    /// `$a`: an attribute variable of a rule.
    AttrVar(Name),
    /// `[a, b]`
    List(Vec<ExprId>),
    /// `-x`, `~x`
    Unary(UnaryOp, ExprId),
    /// `a + b`
    Binary(BinaryOp, ExprId, ExprId),
    /// `op(x, axis=0)`, `plugin::op(x)`
    Call {
        /// The part before `::`.
        plugin: Option<Name>,
        /// The op or function.
        name: Name,
        /// What stands in the parentheses. No positional argument comes after a keyword.
        args: Vec<Arg>,
    },
    /// `x[1:, ..., None]`
    Index {
        /// What is indexed.
        base: ExprId,
        /// What stands in the brackets, at least one.
        items: Vec<IndexItem>,
    },
    /// `scan (...) {...}`
    Scan(Box<Scan>),
    /// `if c {...} else {...}`
    If(Box<If>),
    /// `checkpoint {...}`, `checkpoint(x)`, `recompute {...}`
    Inside(Box<Inside>),
    /// `custom_vjp (a = x) {...} vjp(y, dy) {...}`
    Custom(Box<Custom>),
}

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// The keyword, if it has one.
    pub name: Option<Name>,
    /// The value.
    pub value: ExprId,
}

/// One entry between the brackets of an index.
#[derive(Clone, Copy, Debug)]
pub enum IndexItem {
    /// A position, an index array or a mask.
    At(ExprId),
    /// `start:stop:step`
    Slice {
        /// First element.
        start: Option<ExprId>,
        /// One past the last.
        stop: Option<ExprId>,
        /// Distance between elements.
        step: Option<ExprId>,
    },
    /// `...`
    Ellipsis,
    /// `None`: a new axis of length 1.
    NewAxis,
}

/// `scan (x_t in x, steps = n) {...}`
#[derive(Clone, Debug)]
pub struct Scan {
    /// The name of one step's slice, and the sequence.
    pub sequences: Vec<(Name, ExprId)>,
    /// The number of steps, where it is given.
    pub steps: Option<ExprId>,
    /// Whether the final states are results too, before what is yielded: `final = true`.
    pub finals: bool,
    /// What else stands in the head.
    pub options: ScanOptions,
    /// The statements of one step.
    pub body: Vec<Stmt>,
}

/// What is said in the head of a [`Scan`] about the loop.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// `keep = [1, 0]`
    pub keep: Vec<i64>,
    /// `truncate = 5`
    pub truncate: Option<i64>,
    /// `checkpoint = 10`
    pub checkpoint: Option<i64>,
    /// `reverse = true`
    pub reverse: bool,
}

/// A block of which derivatives differ.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The op: `checkpoint` or `recompute`.
    pub op: &'static str,
    /// What is inside.
    pub block: Block,
}

/// Values with a derivative of their own.
#[derive(Clone, Debug)]
pub struct Custom {
    /// The names of the inputs inside, and the inputs.
    pub inputs: Vec<(Name, ExprId)>,
    /// What is computed.
    pub forward: Block,
    /// The names of the results, and of their cotangents, in `backward`.
    pub given: Vec<Name>,
    /// The cotangents of the inputs.
    pub backward: Block,
}

/// `if cond {...} else {...}`
#[derive(Clone, Debug)]
pub struct If {
    /// The condition.
    pub cond: ExprId,
    /// What is computed where it holds.
    pub then: Block,
    /// What is computed where it does not.
    pub otherwise: Block,
}

/// A branch of an [`If`], or another block with results: assignments, then results.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its assignments.
    pub stmts: Vec<Stmt>,
    /// Its results, at least one.
    pub results: Vec<ExprId>,
}

/// A prefix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-x`
    Neg,
    /// `~x`
    Not,
}

/// An infix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // `symbol` says what each one is.
pub enum BinaryOp {
    Eq, Ne, Lt, Le, Gt, Ge, Or, Xor, And, Shl, Shr, Add, Sub, Mul, Div, FloorDiv, Mod, MatMul, Pow,
}

impl BinaryOp {
    /// Every operator.
    pub const ALL: [BinaryOp; 19] = {
        use BinaryOp::*;
        [Eq, Ne, Lt, Le, Gt, Ge, Or, Xor, And, Shl, Shr, Add, Sub, Mul, Div, FloorDiv, Mod, MatMul, Pow]
    };

    /// How it is written.
    pub fn symbol(self) -> &'static str {
        use BinaryOp::*;
        match self {
            Eq => "==", Ne => "!=", Lt => "<", Le => "<=", Gt => ">", Ge => ">=",
            Or => "|", Xor => "^", And => "&", Shl => "<<", Shr => ">>",
            Add => "+", Sub => "-", Mul => "*", Div => "/", FloorDiv => "//", Mod => "%", MatMul => "@",
            Pow => "**",
        }
    }

    /// How tightly it binds, as in Python: a higher number binds tighter.
    pub fn precedence(self) -> u8 {
        use BinaryOp::*;
        match self {
            Eq | Ne | Lt | Le | Gt | Ge => 1,
            Or => 2,
            Xor => 3,
            And => 4,
            Shl | Shr => 5,
            Add | Sub => 6,
            Mul | Div | FloorDiv | Mod | MatMul => 7,
            Pow => 9,
        }
    }

    /// The operator with this symbol.
    pub fn from_symbol(symbol: &str) -> Option<BinaryOp> {
        Self::ALL.into_iter().find(|op| op.symbol() == symbol)
    }
}

/// How tightly prefix operators bind: tighter than `*`, looser than `**`.
pub const UNARY_PRECEDENCE: u8 = 8;
